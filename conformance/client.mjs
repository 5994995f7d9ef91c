// A worker: the suite's client. It runs the tests it is told to and posts the raw results, and by how much
// the machine was late with its timers.
// A worker each, because the suite keeps its results and its base address in module variables.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import nodeFetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const { base, only, dump } = workerData

/**
 * The suite starts tests in chunks, each chunk at once. Most tests then pause for three seconds, and all
 * go on at the same moment; on a busy machine some would wait longer for their turn than the second that
 * is left of their response's lifetime. So there is one chunk, and its tests begin one after the other.
 */
const CHUNK = Infinity
const APART_MS = 20

/**
 * A test pauses for three seconds and then expects an age of more than two. Node rounds both ends of a timer
 * down to milliseconds, so three seconds may be some microseconds short of that: an age of two. The shortest
 * lifetimes that end or go on after a pause are a second away.
 */
const LONGER_MS = 50

const { setTimeout: exactly } = globalThis
globalThis.setTimeout = (callback, ms, ...rest) => exactly(callback, ms >= 1000 ? ms + LONGER_MS : ms, ...rest)

let begun = 0

/** The first thing a test does is to tell the origin its configuration. */
async function fetch (url, init) {
  if (new URL(url).pathname.startsWith('/config/')) await sleep(APART_MS * begun++)
  return nodeFetch(url, init)
}

const chosen = suites.map(suite => ({
  ...suite,
  tests: suite.tests.filter(test => !only || only.has(test.id))
}))
for (const test of chosen.flatMap(suite => suite.tests)) test.dump = test.id === dump

const delay = monitorEventLoopDelay({ resolution: 20 })
delay.enable()
await runTests(chosen, fetch, false, base, CHUNK)
delay.disable()
parentPort.postMessage({ raw: getResults(), lateMs: delay.max / 1e6 })
