// A worker: the suite's client. It runs the tests it is told to and posts the raw results.
// A worker each, because the suite keeps its results and its base address in module variables.
import { parentPort, workerData } from 'node:worker_threads'
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const { base, only, dump } = workerData

const chosen = suites.map(suite => ({
  ...suite,
  tests: suite.tests.filter(test => !only || only.has(test.id))
}))
for (const test of chosen.flatMap(suite => suite.tests)) test.dump = test.id === dump

// All at once: most of the time goes into pauses of three seconds, which chunks would put in a row.
const CHUNK = Infinity
await runTests(chosen, fetch, false, base, CHUNK)
parentPort.postMessage(getResults())
