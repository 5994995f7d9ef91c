// One run of the suite: its origin, our proxy and its client, on ports from the system, and the end of all three.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'

/** How long a run may take before something is wrong; it needs eleven seconds on an idle machine. */
const PATIENCE = 120_000

/** What has to go when this process ends, however it ends. Workers end by themselves. */
const leftovers = new Set()
process.on('exit', () => leftovers.forEach(remove => remove()))
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
  process.on(signal, () => process.exit(code))
}

/**
 * Runs the tests in `only`, or all of them, against the binary with these options, and resolves to
 * `{ raw, lateMs }`: the raw results, and by how much the machine was late at worst. `dump` names a test
 * whose messages are shown.
 */
export async function perform ({ binary, options, only, dump }) {
  const undo = []
  const later = step => {
    leftovers.add(step)
    undo.unshift(step)
  }
  try {
    const directory = mkdtempSync(path.join(tmpdir(), 'conformance-'))
    later(() => remove(directory))

    const origin = startWorker('origin.mjs', {}, dump)
    later(() => origin.terminate())
    const port = await message(origin)

    const proxy = startProxy(binary, [...options, '--origin', `http://127.0.0.1:${port}`, '--cache-dir', directory])
    later(() => proxy.end())
    const base = await Promise.race([proxy.ready, proxy.died, tooLong()])

    const client = startWorker('client.mjs', { base, only, dump }, dump)
    later(() => client.terminate())
    return await Promise.race([message(client), proxy.died, tooLong()])
  } finally {
    for (const step of undo) {
      await step()
      leftovers.delete(step)
    }
  }
}

/** Synchronous, because nothing else is possible while the process ends. */
function remove (directory) {
  for (let triesLeft = 40; ; triesLeft--) {
    try {
      return rmSync(directory, { recursive: true, force: true })
    } catch (error) {
      // A proxy that was killed this moment may still have created a file.
      if (triesLeft === 0) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
}

function startWorker (file, workerData, dump) {
  const worker = new Worker(new URL(file, import.meta.url), { workerData, stdout: !dump })
  // The suite talks on standard output; that is of interest only where one test is looked at.
  if (!dump) worker.stdout.resume()
  return worker
}

async function message (worker) {
  // `once` also rejects with what the worker threw.
  const [value] = await Promise.race([
    once(worker, 'message'),
    once(worker, 'exit').then(([code]) => { throw new Error(`a worker ended with code ${code}`) })
  ])
  return value
}

function startProxy (binary, options) {
  const child = spawn(binary, ['--port', '0', '--log', 'info', ...options], {
    env: withoutOptions(process.env),
    stdio: ['ignore', 'ignore', 'pipe']
  })
  const ended = once(child, 'exit')

  const said = []
  const ready = new Promise(resolve => {
    createInterface({ input: child.stderr }).on('line', line => {
      said.push(line)
      const url = readyUrl(line)
      if (url) resolve(url)
    })
  })
  const died = ended.then(([code, signal]) => {
    throw new Error([`${binary} ended with ${code ?? signal}`, ...said.slice(-20)].join('\n'))
  })
  // At the end it is asked to die, and nobody listens any more.
  died.catch(() => {})

  const end = () => {
    child.kill('SIGKILL')
    return ended.catch(() => {})
  }
  return { ready, died, end }
}

/** The tests say what the proxy is told; the environment of whoever runs them does not. */
function withoutOptions (env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('CACHING_PROXY_')))
}

function readyUrl (line) {
  try {
    const { event, url } = JSON.parse(line)
    return event === 'ready' ? url : undefined
  } catch {
    return undefined
  }
}

function tooLong () {
  return new Promise((resolve, reject) => {
    const error = new Error(`the run did not end within ${PATIENCE / 1000} s`)
    setTimeout(() => reject(error), PATIENCE).unref()
  })
}
