// The comparison on its own: what makes a run fail.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differences, differencesOfDefaultLifetime, read, skeleton } from './expected.mjs'
import { classify, tests as suite, withDependencies } from './suite.mjs'

const tests = [
  { id: 'must', name: 'It must', weight: 'required' },
  { id: 'may', name: 'It may', weight: 'optional' },
  { id: 'does', name: 'Does it?', weight: 'informational' }
]

const DOES = '[[expect]]\ntests = ["does"]\nresult = "yes"\nwhy = "so"\n'

function verdicts (outcomes) {
  const all = { must: 'pass', may: 'pass', does: 'yes', ...outcomes }
  return new Map(Object.entries(all).map(([id, outcome]) => [id, { outcome, itself: outcome, message: '' }]))
}

function found (text, outcomes) {
  const { byId, faults } = read(text, tests)
  assert.deepEqual(faults, [])
  return differences(byId, tests, 'safe', verdicts(outcomes)).map(({ test, outcome, expected }) => [test.id, outcome, expected])
}

test('a test that is not listed has to pass', () => {
  assert.deepEqual(found(DOES, {}), [])
  assert.deepEqual(found(DOES, { must: 'fail' }), [['must', 'fail', 'pass']])
  assert.deepEqual(found(DOES, { must: 'setup_fail' }), [['must', 'setup_fail', 'pass']])
  assert.deepEqual(found(DOES, { may: 'untested' }), [['may', 'untested', 'pass']])
})

test('an informational test that is not listed needs a decision', () => {
  assert.deepEqual(found('', {}), [['does', 'yes', undefined]])
})

test('an expectation that is wrong is a difference, also where the test passes', () => {
  const wrong = DOES + '[[expect]]\ntests = ["must"]\nresult = "fail"\nwhy = "so"\n'
  assert.deepEqual(found(wrong, { must: 'fail' }), [])
  assert.deepEqual(found(wrong, { must: 'pass' }), [['must', 'pass', 'fail']])
  assert.deepEqual(found(wrong, { must: 'harness_fail' }), [['must', 'harness_fail', 'fail']])
})

test('each profile has its own expectation where they differ', () => {
  const apart = DOES + '[[expect]]\ntests = ["may"]\nsafe = "optional_fail"\nrfc9111 = "pass"\nwhy = "so"\n'
  const { byId } = read(apart, tests)
  assert.deepEqual(differences(byId, tests, 'rfc9111', verdicts({})), [])
  assert.equal(differences(byId, tests, 'safe', verdicts({})).length, 1)
})

test('what the default lifetime changes has to be announced', () => {
  const announced = DOES.replace('why', 'with_default_lifetime = "no"\nwhy')
  const changes = (text, outcomes) =>
    differencesOfDefaultLifetime(read(text, tests).byId, tests, verdicts({}), verdicts(outcomes)).map(({ test }) => test.id)
  assert.deepEqual(changes(DOES, {}), [])
  assert.deepEqual(changes(DOES, { does: 'no' }), ['does'])
  assert.deepEqual(changes(announced, { does: 'no' }), [])
  assert.deepEqual(changes(announced, {}), ['does'])
})

for (const [what, entry, fault] of [
  ['no reason', 'tests = ["must"]\nresult = "fail"', /needs a why/],
  ['an empty reason', 'tests = ["must"]\nresult = "fail"\nwhy = " "', /needs a why/],
  ['no test', 'tests = []\nresult = "fail"\nwhy = "so"', /tests is empty/],
  ['a test the suite does not have', 'tests = ["old"]\nresult = "fail"\nwhy = "so"', /has no test old/],
  ['a test twice', 'tests = ["must", "must"]\nresult = "fail"\nwhy = "so"', /listed twice/],
  ['a pass', 'tests = ["must"]\nresult = "pass"\nwhy = "so"', /not listed/],
  ['a result nobody knows', 'tests = ["must"]\nresult = "no idea"\nwhy = "so"', /is no result/],
  ['no result', 'tests = ["must"]\nwhy = "so"', /is no result/],
  ['one profile only', 'tests = ["must"]\nsafe = "fail"\nwhy = "so"', /give either/],
  ['profiles that do not differ', 'tests = ["must"]\nsafe = "fail"\nrfc9111 = "fail"\nwhy = "so"', /give result/],
  ['a quote from nowhere', 'tests = ["must"]\nresult = "fail"\nwhy = "so"\nquote = "MUST"', /need each other/],
  ['a section that cannot be linked', 'tests = ["must"]\nresult = "fail"\nwhy = "so"\nquote = "MUST"\nsection = "5.1"', /is not like/],
  ['a word that is misspelt', 'tests = ["must"]\nresult = "fail"\nwhy = "so"\nqoute = "MUST"', /there is no key/],
  ['no TOML', 'tests =', /expected.toml/]
]) {
  test(`an entry with ${what} is refused`, () => {
    const { faults } = read(`[[expect]]\n${entry}\n`, tests)
    assert.match(faults.join('\n'), fault)
  })
}

test('what is added for a new test is refused until somebody has explained it', () => {
  const added = skeleton(tests, new Map([['must', { safe: 'fail', rfc9111: 'pass' }]]))
  const { byId, faults } = read(added, tests)
  assert.equal(byId.get('must').safe, 'fail')
  assert.deepEqual(faults, ['[[expect]] of must: a result that is not a pass needs a why'])
})

test('the suite has 329 tests for a reverse proxy', () => {
  const count = weight => suite.filter(test => test.weight === weight).length
  assert.deepEqual([count('required'), count('optional'), count('informational')], [157, 86, 86])
})

test('results have the names that the display of the suite gives them', () => {
  const raw = Object.fromEntries(suite.map(test => [test.id, true]))
  raw['age-parse-float'] = ['Assertion', 'Response 2 comes from cache']
  raw['headers-store-Set-Cookie'] = ['Setup', 'Response 1 status is 502, not 200']
  raw['304-etag-update-response-ETag'] = ['Setup', 'retry']
  raw['method-POST'] = ['Assertion', 'no']
  raw['freshness-none'] = ['Assertion', 'no']
  raw['stale-close'] = ['FetchError', 'socket hang up']
  delete raw['other-set-cookie']
  const verdicts = classify(raw)
  const outcome = id => verdicts.get(id).outcome
  assert.deepEqual(outcome('freshness-none'), 'no')
  assert.deepEqual(outcome('freshness-max-age'), 'dependency_fail')
  assert.deepEqual(verdicts.get('freshness-max-age').itself, 'pass')
  assert.deepEqual(outcome('age-parse-float'), 'dependency_fail')
  assert.deepEqual(verdicts.get('age-parse-float').itself, 'fail')
  assert.deepEqual(outcome('headers-store-Set-Cookie'), 'setup_fail')
  assert.deepEqual(outcome('304-etag-update-response-ETag'), 'retry')
  assert.deepEqual(outcome('method-POST'), 'optional_fail')
  assert.deepEqual(outcome('stale-close'), 'harness_fail')
  assert.deepEqual(outcome('stale-503'), 'yes')
  assert.deepEqual(outcome('other-set-cookie'), 'untested')
})

test('a test brings along those it depends on', () => {
  assert.deepEqual([...withDependencies('freshness-max-age-date')].sort(), ['freshness-max-age', 'freshness-max-age-date', 'freshness-none'])
  assert.throws(() => withDependencies('no-such-test'), /no test no-such-test/)
})
