// Runs the suite in both profiles, compares every result with expected.toml, and keeps the document in step.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compose, counted } from './document.mjs'
import { PROFILES, differences, differencesOfDefaultLifetime, read, skeleton } from './expected.mjs'
import { perform } from './stage.mjs'
import { VERSION, classify, tests, withDependencies } from './suite.mjs'

const USAGE = `Runs the public HTTP cache tests (http-cache-tests ${VERSION}) against the release binary and compares
each result with expected.toml.

conformance/run [--profile safe|rfc9111] [--id TEST] [--binary PATH] [--expected PATH] [--write]
conformance/run --self-test

  --profile NAME    only this profile; both otherwise
  --id TEST         only this test, with the messages it exchanges
  --binary PATH     what to test instead of target/release/caching-proxy
  --expected PATH   what to compare with instead of conformance/expected.toml
  --write           write docs/conformance.md, and add what nobody has explained to expected.toml
  --self-test       the runner's own tests

Exit codes: 0 when every result is the expected one, 1 when not, 2 for arguments that make no sense.`

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.dirname(here)
const DOCUMENT = path.join(root, 'docs/conformance.md')

/**
 * The suite takes a cache that reuses responses without any lifetime for one that cannot be tested, and
 * calls a quarter of the tests `dependency_fail`. So it is run without the default lifetime, and what that one changes
 * is asked apart.
 */
const NO_DEFAULT_LIFETIME = ['--cache-ttl', '0']

/** A timer that is later than this can cost a response its lifetime. */
const STANDSTILL_MS = 300
const ATTEMPTS = 3

async function main () {
  const wanted = parseOptions()
  const text = readFileSync(wanted.expected, 'utf8')
  const expectations = read(text, tests)
  const { run, found } = await judged(wanted, expectations)
  console.log(summary(run))
  expectations.faults.forEach(fault => console.log(fault))
  found.forEach(difference => console.log(told(difference)))
  if (wanted.write) addUnexplained(wanted.expected, expectations, run)

  const isRight = expectations.faults.length === 0 && found.length === 0
  const isInStep = !isWhole(wanted) || !isRight || keepDocument(wanted, expectations, run)
  if (isRight && isInStep) console.log('every result is the expected one')
  process.exitCode = isRight && isInStep ? 0 : 1
}

function parseOptions () {
  try {
    const { values } = parseArgs({
      options: {
        profile: { type: 'string' },
        id: { type: 'string' },
        binary: { type: 'string', default: releaseBinary() },
        expected: { type: 'string', default: path.join(here, 'expected.toml') },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false }
      }
    })
    if (values.help) {
      console.log(USAGE)
      process.exit(0)
    }
    refuseNonsense(values)
    return values
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`)
    process.exit(2)
  }
}

function releaseBinary () {
  return path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'release', 'caching-proxy')
}

function refuseNonsense (wanted) {
  if (wanted.profile && !PROFILES.includes(wanted.profile)) throw new Error(`there is no profile ${wanted.profile}`)
  if (wanted.write && !isWhole(wanted)) throw new Error('--write needs both profiles and every test')
  if (wanted.id) withDependencies(wanted.id)
  if (!existsSync(wanted.binary)) throw new Error(`${wanted.binary} is not there: cargo build --release`)
}

/** Whether everything is run, so that there is something to say in the document. */
function isWhole ({ profile, id }) {
  return !profile && !id
}

function profilesOf ({ profile }) {
  return profile ? [profile] : PROFILES
}

/**
 * Lifetimes of two seconds are among what the tests measure. Where something differs and the machine stood
 * still meanwhile, that says nothing, and the run is repeated; a difference on a machine in time is final.
 */
async function judged (wanted, expectations) {
  for (let attempt = 1; ; attempt++) {
    const run = wanted.id ? await runOne(wanted) : await runAll(wanted)
    const found = compare(expectations, run)
    if (found.length === 0 || run.lateMs < STANDSTILL_MS || attempt === ATTEMPTS) return { run, found }
    const some = found.slice(0, 3).map(({ test }) => test.id).join(', ')
    console.log(`the machine stood still for ${Math.round(run.lateMs)} ms, and ${found.length} results differ (${some}): once more`)
  }
}

/** One test in one profile after the other, because the messages are to be read. */
async function runOne (wanted) {
  const verdicts = {}
  let lateMs = 0
  for (const profile of profilesOf(wanted)) {
    console.log(`==== ${wanted.id}, profile ${profile}`)
    const which = { only: withDependencies(wanted.id), dump: wanted.id }
    const done = await perform({ binary: wanted.binary, options: optionsOf(profile), ...which })
    verdicts[profile] = classify(done.raw)
    lateMs = Math.max(lateMs, done.lateMs)
  }
  return { verdicts, lateMs, tests: tests.filter(test => test.id === wanted.id) }
}

/** Every test, all profiles at once: most of the time is spent in the pauses between requests. */
async function runAll (wanted) {
  const profiles = profilesOf(wanted)
  const options = [...profiles.map(optionsOf), ...isWhole(wanted) ? [[]] : []]
  const done = await Promise.all(options.map(each => perform({ binary: wanted.binary, options: each })))
  const all = done.map(({ raw }) => classify(raw))
  return {
    verdicts: Object.fromEntries(profiles.map((profile, at) => [profile, all[at]])),
    withDefaultLifetime: all[profiles.length],
    lateMs: Math.max(...done.map(({ lateMs }) => lateMs)),
    tests
  }
}

function optionsOf (profile) {
  return [...NO_DEFAULT_LIFETIME, '--profile', profile]
}

function compare ({ byId }, { verdicts, withDefaultLifetime, tests }) {
  const found = Object.entries(verdicts).flatMap(([profile, its]) => differences(byId, tests, profile, its))
  if (!withDefaultLifetime) return found
  return [...found, ...differencesOfDefaultLifetime(byId, tests, verdicts.safe, withDefaultLifetime)]
}

function told ({ test, profile, outcome, expected, message }) {
  const wanted = expected ?? 'nothing yet: it needs a decision in expected.toml'
  return [
    `\n${test.id} (${profile}): ${outcome}${message && `, “${message}”`}`,
    `  ${test.name}`,
    `  expected ${wanted}${expected === 'pass' ? ', for it is not in expected.toml' : ''}`
  ].join('\n')
}

function summary ({ verdicts, tests }) {
  const rows = Object.entries(verdicts).map(([profile, its]) => {
    const { required, optional, informational } = counted(tests, its)
    return `${profile.padEnd(8)} required ${required}, optional ${optional}, informational ${informational}`
  })
  return [`http-cache-tests ${VERSION}, ${tests.length} ${tests.length === 1 ? 'test' : 'tests'}`, ...rows].join('\n')
}

function addUnexplained (file, { byId }, { verdicts }) {
  const outcomes = test => Object.fromEntries(PROFILES.map(profile => [profile, verdicts[profile].get(test.id).outcome]))
  const unexplained = new Map(tests
    .filter(test => !byId.has(test.id))
    .map(test => [test.id, outcomes(test)])
    .filter(([, each]) => Object.values(each).some(outcome => outcome !== 'pass')))
  if (unexplained.size === 0) return
  appendFileSync(file, skeleton(tests, unexplained))
  console.log(`added to ${path.basename(file)}, each in need of a why: ${[...unexplained.keys()].join(', ')}`)
}

/** Writes the document, or tells whether it is what would be written. */
function keepDocument ({ write, expected }, expectations, run) {
  const text = compose(expectations, run)
  const name = path.relative(root, DOCUMENT)
  if (write) {
    writeFileSync(DOCUMENT, text)
    console.log(`wrote ${name}`)
    return true
  }
  if (existsSync(DOCUMENT) && readFileSync(DOCUMENT, 'utf8') === text) return true
  console.log(`${name} does not say what ${path.basename(expected)} says: conformance/run --write`)
  return false
}

await main()
