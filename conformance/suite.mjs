// The public suite: which of its tests concern a reverse proxy, and what a result of theirs is called.
import suites from 'http-cache-tests/tests/index.mjs'
import { determineTestResult } from 'http-cache-tests/lib/display.mjs'

export const VERSION = '0.4.5'

/** The suite's own words for how much a test weighs, and ours. */
const WEIGHTS = { required: 'required', optimal: 'optional', check: 'informational' }

/** Every result the suite tells apart, by the symbol that stands for it in its display. */
const OUTCOMES = {
  '-': 'untested',
  '✅': 'pass',
  '⛔️': 'fail',
  '⚠️': 'optional_fail',
  Y: 'yes',
  N: 'no',
  '🔹': 'setup_fail',
  '⁉️': 'harness_fail',
  '⚪️': 'dependency_fail',
  '↻': 'retry'
}

export const OUTCOME_NAMES = Object.values(OUTCOMES)

/** The tests for a reverse proxy, in the suite's order. */
export const tests = suites.flatMap(suite =>
  suite.tests
    .filter(test => !test.browser_only)
    .map(test => ({
      id: test.id,
      name: test.name,
      suite: suite.name,
      weight: WEIGHTS[test.kind ?? 'required'],
      dependsOn: test.depends_on ?? []
    }))
)

const byId = new Map(tests.map(test => [test.id, test]))

/** The named test and every test it depends on, directly or not. */
export function withDependencies (id) {
  const found = new Set()
  const visit = each => {
    if (found.has(each)) return
    if (!byId.has(each)) throw new Error(`the suite has no test ${each} for a reverse proxy`)
    found.add(each)
    byId.get(each).dependsOn.forEach(visit)
  }
  visit(id)
  return found
}

/**
 * What the suite's display makes of the raw results, test by test: `{ outcome, itself, message }`.
 * `itself` is what the test alone says, whatever became of those it depends on.
 */
export function classify (raw) {
  const verdicts = new Map()
  for (const { id } of tests) {
    const message = Array.isArray(raw[id]) ? raw[id][1] : ''
    verdicts.set(id, { outcome: outcome(id, raw, true), itself: outcome(id, raw, false), message })
  }
  return verdicts
}

function outcome (id, raw, honorDependencies) {
  const shown = OUTCOMES[determineTestResult(suites, id, raw, honorDependencies)[2]]
  // The display means to set errors of the harness apart but looks for a result of `false`, which the
  // harness never reports: an exception would count as an answer.
  return isException(raw[id]) && shown !== 'dependency_fail' ? 'harness_fail' : shown
}

function isException (result) {
  return Array.isArray(result) && !['Assertion', 'Setup'].includes(result[0])
}
