// docs/conformance.md, from the expectations and the results that met them.
import { PROFILES } from './expected.mjs'
import { VERSION } from './suite.mjs'

const WEIGHTS = ['required', 'optional', 'informational']

/** The results of one profile in short, by weight: `140/157`, or `44 yes, 35 no, 7 others`. */
export function counted (tests, verdicts) {
  const outcomesOf = weight => tests.filter(test => test.weight === weight).map(test => verdicts.get(test.id).outcome)
  const count = (outcomes, wanted) => outcomes.filter(outcome => outcome === wanted).length
  const passed = outcomes => `${count(outcomes, 'pass')}/${outcomes.length}`
  const answered = outcomes => {
    const [yes, no] = [count(outcomes, 'yes'), count(outcomes, 'no')]
    return `${yes} yes, ${no} no, ${outcomes.length - yes - no} others`
  }
  return {
    required: passed(outcomesOf('required')),
    optional: passed(outcomesOf('optional')),
    informational: answered(outcomesOf('informational'))
  }
}

/** The whole document. */
export function compose ({ groups, byId }, { verdicts, withDefaultLifetime, tests }) {
  const listed = tests.filter(test => byId.has(test.id))
  const of = weight => listed.filter(test => test.weight === weight)
  return [
    HEAD,
    section('Results', TOLD_BY_RESULTS, results(tests, verdicts)),
    section('Where the profiles differ', DIFFERENCES, ...explained(groups, listed.filter(test => differs(byId.get(test.id))))),
    section('The default lifetime', defaultLifetime(tests, verdicts.safe, withDefaultLifetime), ...explained(groups, listed.filter(test => byId.get(test.id).with_default_lifetime), 'with_default_lifetime')),
    section('Required tests that do not pass', REQUIRED, ...explained(groups, of('required'))),
    section('Optional tests that do not pass', OPTIONAL, ...explained(groups, of('optional'))),
    section('Informational tests', INFORMATIONAL, ...explained(groups, of('informational')))
  ].join('\n\n') + '\n'
}

const HEAD = `<!-- Written by conformance/run --write from conformance/expected.toml. -->

# Conformance

The public HTTP cache tests, \`http-cache-tests\` ${VERSION}, are the common yardstick of HTTP caches: <https://cache-tests.fyi> has them, with the results of browsers, proxies and CDNs. \`conformance/run\` runs the 329 that concern a reverse proxy against the release binary and compares each result with [expected.toml](../conformance/expected.toml): this page is that file in the order of the suite. A result that is not a pass has its reason there, and a result that changes fails the run, for the better too.`

const TOLD_BY_RESULTS = `Each result has the name that the suite's own display gives it. A test depends on others, and where one of those does not pass, the suite does not judge it: \`dependency_fail\`. \`setup_fail\` means that a request before the one of interest, or an assumption of the test, did not come out as the test takes for granted; \`retry\` that the origin saw one request twice. The display cannot tell an error of the harness from an answer; here it counts as \`harness_fail\`, and there is none.`

const DIFFERENCES = 'Responses that are probably personal, and server errors, are kept less readily in the profile `safe`; `rfc9111` takes every choice as the RFC has it. Every other result is the same in both.'

function defaultLifetime (tests, without, withIt) {
  const isUnjudged = (test, verdicts) => verdicts.get(test.id).outcome === 'dependency_fail'
  const unjudged = tests.filter(test => isUnjudged(test, withIt) && !isUnjudged(test, without)).length
  return `The suite is run with \`--cache-ttl 0\`: it takes a cache that reuses a response without any lifetime for one that cannot be tested, and leaves ${unjudged} tests unjudged. In a third run the options are as they come, with five minutes; what each test says for itself is then compared with the profile \`safe\`. This is all that differs:`
}

const REQUIRED = 'What HTTP demands, as the suite reads it.'

const OPTIONAL = 'What an optimal cache would do, as the suite sees it.'

const INFORMATIONAL = 'Questions without a right answer: what the cache does, and why.'

function section (title, ...parts) {
  return [`## ${title}`, ...parts].join('\n\n')
}

function results (tests, verdicts) {
  const outcomes = [...new Set(PROFILES.flatMap(profile => tests.map(test => verdicts[profile].get(test.id).outcome)))]
  const rows = WEIGHTS.flatMap(weight => outcomes.flatMap(outcome => {
    const numbers = PROFILES.map(profile =>
      tests.filter(test => test.weight === weight && verdicts[profile].get(test.id).outcome === outcome).length)
    return numbers.some(Boolean) ? [[weight, `\`${outcome}\``, ...numbers]] : []
  }))
  const all = PROFILES.map(profile => counted(tests, verdicts[profile]))
  const short = WEIGHTS.map(weight => [weight, ...all.map(each => each[weight])])
  return [table(['', ...PROFILES.map(code)], short), table(['tests', 'result', ...PROFILES.map(code)], rows)].join('\n\n')
}

function differs (group) {
  return PROFILES.some(profile => profile in group)
}

/** A reason and the tests it holds for, in the order of the suite. */
function explained (groups, tests, key) {
  return groups
    .map(group => [group, tests.filter(test => group.tests.includes(test.id))])
    .filter(([, its]) => its.length)
    .map(([group, its]) => [
      its.map(test => `- \`${test.id}\`: ${oneLine(test.name)}`).join('\n'),
      `${resultOf(group, key)} ${oneLine(group.why)}`,
      ...quoted(group)
    ].join('\n\n'))
}

function resultOf (group, key) {
  if (key) return `**${group[key]}**, without it ${group.result ?? group.safe}.`
  if (!differs(group)) return `**${group.result}.**`
  return `**${PROFILES.map(profile => `${group[profile]} in \`${profile}\``).join(', ')}.**`
}

function quoted ({ quote, section }) {
  if (!quote) return []
  const [rfc, anchor] = section.split('#')
  const name = `${rfc.replace('rfc', 'RFC ')} ${anchor.replace('section-', '§').replace('appendix-', 'appendix ')}`
  return [`> ${oneLine(quote)}\n>\n> — [${name}](https://www.rfc-editor.org/rfc/${section})`]
}

function table (head, rows) {
  const line = cells => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function code (text) {
  return `\`${text}\``
}

function oneLine (text) {
  return text.replace(/\s+/g, ' ').trim()
}
