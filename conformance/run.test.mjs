// The runner as a whole, against the release binary: what it exits with, and what it leaves behind.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('main.mjs', import.meta.url))
const binary = process.env.CONFORMANCE_BINARY

let scratch
beforeEach(() => { scratch = mkdtempSync(path.join(tmpdir(), 'conformance-test-')) })
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

/** A quick test without pauses that passes. */
const QUICK = 'conditional-etag-strong-respond'

/** Starts the runner with what it needs; its temporary files go to the scratch directory. */
function start (args) {
  const chosen = args.includes('--binary') || !binary ? args : [...args, '--binary', binary]
  const child = spawn(process.execPath, ['--no-warnings', main, ...chosen], {
    env: { ...process.env, TMPDIR: scratch },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', text => { output += text })
  const ended = once(child, 'close').then(([code]) => ({ code, output }))
  return { child, ended }
}

function write (name, text) {
  const file = path.join(scratch, name)
  writeFileSync(file, text)
  return file
}

function leftovers () {
  return readdirSync(scratch).filter(name => name.startsWith('conformance-'))
}

test('one test that does what is expected', async () => {
  const { code, output } = await start(['--id', QUICK]).ended
  assert.equal(code, 0, output)
  assert.match(output, /Client response 2/)
  assert.deepEqual(leftovers(), [])
})

test('an expectation that is wrong ends in 1 and names the test', async () => {
  const wrong = write('expected.toml', `[[expect]]\ntests = ["${QUICK}"]\nresult = "fail"\nwhy = "so"\n`)
  const { code, output } = await start(['--id', QUICK, '--expected', wrong]).ended
  assert.equal(code, 1, output)
  assert.match(output, new RegExp(`${QUICK} \\(safe\\): pass`))
  assert.match(output, new RegExp(`${QUICK} \\(rfc9111\\): pass`))
})

test('an entry without a reason ends in 1', async () => {
  const unexplained = write('expected.toml', '[[expect]]\ntests = ["method-POST"]\nresult = "optional_fail"\nwhy = ""\n')
  const { code, output } = await start(['--id', QUICK, '--expected', unexplained]).ended
  assert.equal(code, 1, output)
  assert.match(output, /needs a why/)
})

test('a proxy that does not start is an error and no result', async () => {
  const broken = write('broken', '#!/bin/sh\necho cannot start >&2\nexit 7\n')
  chmodSync(broken, 0o755)
  const { code, output } = await start(['--id', QUICK, '--binary', broken]).ended
  assert.equal(code, 1, output)
  assert.match(output, /broken ended with 7\ncannot start/)
  assert.deepEqual(leftovers(), [])
})

for (const args of [['--profile', 'fast'], ['--id', 'no-such-test'], ['--write', '--profile', 'safe'], ['--binary', '/nowhere'], ['more']]) {
  test(`${args.join(' ')} makes no sense`, async () => {
    const { code, output } = await start(args).ended
    assert.equal(code, 2, output)
  })
}

test('an interrupted run leaves nothing behind', async () => {
  // Tells its process id, and stays the process that the runner started.
  const told = path.join(scratch, 'pid')
  const slow = write('slow', `#!/bin/sh\necho $$ >${told}\nexec sleep 100\n`)
  chmodSync(slow, 0o755)
  const { child, ended } = start(['--id', QUICK, '--binary', slow])
  const pid = await until(() => Number(readFileSync(told, 'utf8')))
  child.kill('SIGINT')
  assert.equal((await ended).code, 130)
  await until(() => isGone(pid))
  assert.deepEqual(leftovers(), [])
})

async function until (found) {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const value = found()
      if (value) return value
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
    await sleep(50)
  }
  throw new Error('waited in vain')
}

function isGone (pid) {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}
