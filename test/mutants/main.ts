// npm run mutants: changes the code that decides in one place at a time, runs the unit tests that reach the place, and
// prints which changes no test notices. It ends with status 1 if more than 5 % of the mutants survive, save those in
// equivalent.yaml, or if an entry of equivalent.yaml is wrong.
//
//   npm run mutants -- [--files PATTERN] [--tests PATTERN] [--sample N] [--seed 1] [--jobs 1]
//
// PATTERN is a regular expression, matched with paths like src/greylist/decide.ts and test/greylist/decide.test.ts.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readEquivalents } from './equivalent.ts'
import { formatReport, problemsOf } from './report.ts'
import { runMutants } from './run.ts'

/** What decides: the greylister, the identity of clients, and what all doors do with a message. */
const DECISION_CODE = '^src/(greylist|identity|doors/(message|client|reply)\\.ts$)'
/** Tests of other parts run this code as well, but ask less of it. */
const DECISION_TESTS = '^test/(greylist|identity|doors)/'

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: DECISION_CODE },
    tests: { type: 'string', default: DECISION_TESTS },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
  },
})

// An interrupted run removes its copies of the build, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const root = process.cwd()
const [files, tests] = [new RegExp(values.files), new RegExp(values.tests)]
const report = await runMutants({
  root,
  files: (file) => files.test(file),
  tests: (file) => tests.test(file),
  sample: values.sample === undefined ? undefined : wholeNumber('sample', values.sample),
  seed: wholeNumber('seed', values.seed),
  jobs: wholeNumber('jobs', values.jobs),
  equivalents: readEquivalents(await readFile(join(root, 'test/mutants/equivalent.yaml'), 'utf8')),
  say: console.error,
})
console.log(formatReport(report))
const problems = problemsOf(report)
for (const problem of problems) console.log(problem)
if (problems.length > 0) process.exitCode = 1

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`Cannot read --${option} ${text}: expected a number from 1`)
  return Number(text)
}
