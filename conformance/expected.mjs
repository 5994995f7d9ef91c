// What we expect of every test, and why: expected.toml, checked, and compared with what a run brought.
import { parse, TomlError } from 'smol-toml'
import { OUTCOME_NAMES } from './suite.mjs'

export const PROFILES = ['safe', 'rfc9111']

const KEYS = ['tests', 'result', ...PROFILES, 'with_default_lifetime', 'why', 'quote', 'section']
const SECTION = /^rfc\d+#(section-[\d.]*\d|appendix-[A-Z])$/

/**
 * Reads the expectations: `{ groups, byId, faults }`. A group is one reason and the tests it holds for.
 * A test without a group is expected to pass; an informational one has no right answer and needs a group.
 */
export function read (text, tests) {
  const { document, fault } = parsed(text)
  if (fault) return { groups: [], byId: new Map(), faults: [fault] }
  const { expect: groups = [], ...others } = document
  const faults = Object.keys(others).map(key => `there is no ${key} in expected.toml; write [[expect]]`)
  const known = new Set(tests.map(test => test.id))
  const byId = new Map()
  for (const group of groups) {
    const where = `[[expect]] of ${group.tests?.[0] ?? 'no test'}`
    faults.push(...Array.from(faultsOf(group), fault => `${where}: ${fault}`))
    for (const id of group.tests ?? []) {
      if (!known.has(id)) faults.push(`${where}: the suite has no test ${id}`)
      if (byId.has(id)) faults.push(`${where}: ${id} is listed twice`)
      byId.set(id, group)
    }
  }
  return { groups, byId, faults }
}

function parsed (text) {
  try {
    return { document: parse(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    return { fault: `expected.toml: ${error.message}` }
  }
}

function * faultsOf (group) {
  for (const key of Object.keys(group)) {
    if (!KEYS.includes(key)) yield `there is no key ${key}`
  }
  if (!Array.isArray(group.tests) || group.tests.length === 0) yield 'tests is empty'
  if (!group.why?.trim()) yield 'a result that is not a pass needs a why'
  if ((group.quote === undefined) !== (group.section === undefined)) yield 'quote and section need each other'
  if (group.section !== undefined && !SECTION.test(group.section)) yield `${group.section} is not like rfc9111#section-5.1`
  yield * faultsOfResults(group)
}

function * faultsOfResults (group) {
  const apart = PROFILES.filter(profile => profile in group)
  const expected = apart.length ? apart.map(profile => group[profile]) : [group.result]
  if (apart.length && ('result' in group || apart.length !== PROFILES.length)) {
    yield `give either result, or each of ${PROFILES.join(' and ')}`
  }
  for (const outcome of expected) {
    if (!OUTCOME_NAMES.includes(outcome)) yield `${outcome} is no result; there are ${OUTCOME_NAMES.join(', ')}`
  }
  if (apart.length && new Set(expected).size === 1) yield 'both profiles are the same: give result'
  if (expected.every(outcome => outcome === 'pass')) yield 'tests that pass are not listed'
}

/** What a test should come to, or undefined where nobody has decided. */
export function expectedOutcome (byId, test, profile) {
  const group = byId.get(test.id)
  if (group) return group[profile] ?? group.result
  return test.weight === 'informational' ? undefined : 'pass'
}

/** Every test whose verdict is not the expected one. */
export function differences (byId, tests, profile, verdicts) {
  return tests.flatMap(test => {
    const { outcome, message } = verdicts.get(test.id)
    const expected = expectedOutcome(byId, test, profile)
    return outcome === expected ? [] : [{ test, profile, outcome, expected, message }]
  })
}

/**
 * What the default lifetime changes: the tests that say something else with it than without, compared
 * with the entries that announce it. Each test is asked for itself, without those it depends on.
 */
export function differencesOfDefaultLifetime (byId, tests, without, withIt) {
  return tests.flatMap(test => {
    const { itself: outcome, message } = withIt.get(test.id)
    const expected = byId.get(test.id)?.with_default_lifetime ?? without.get(test.id).itself
    return outcome === expected ? [] : [{ test, profile: 'default lifetime', outcome, expected, message }]
  })
}

/** Entries for tests nobody has explained yet; the empty `why` is refused until somebody has. */
export function skeleton (tests, unexplained) {
  return tests
    .filter(test => unexplained.has(test.id))
    .map(test => {
      const outcomes = unexplained.get(test.id)
      const results = new Set(Object.values(outcomes)).size === 1
        ? [`result = "${Object.values(outcomes)[0]}"`]
        : PROFILES.map(profile => `${profile} = "${outcomes[profile]}"`)
      return ['', '[[expect]]', `# ${test.name}`, `tests = ["${test.id}"]`, ...results, 'why = ""', ''].join('\n')
    })
    .join('')
}
