// Tests of the mutation run itself, on one small file, so that it goes on working.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readEquivalents } from './equivalent.ts'
import { formatReport, problemsOf } from './report.ts'
import { runMutants } from './run.ts'

const OPTIONS = {
  root: process.cwd(),
  files: (file: string) => file === 'src/greylist/deadline.ts',
  tests: (file: string) => file === 'test/greylist/deadline.test.ts',
  jobs: 1,
  say: () => undefined,
}

test('a sample of mutants is killed by the tests of their file', async () => {
  const list = await readFile(join(process.cwd(), 'test/mutants/equivalent.yaml'), 'utf8')
  const options = { ...OPTIONS, sample: 4, seed: 1, equivalents: readEquivalents(list) }
  const report = await runMutants(options)
  assert.equal(report.trials.length, 4)
  assert.deepEqual(problemsOf(report), [], formatReport(report))
})

test('mutants that no test notices are named, and so are entries of the list that are wrong', () => {
  const mutant = {
    file: 'src/a.js',
    start: 0,
    end: 1,
    replacement: '2',
    reachedAt: 0,
    line: 7,
    before: 'f(1)',
    after: 'f(2)',
  }
  const listed = { file: 'src/a.ts', before: 'f(1)', after: 'f(0)', reason: 'the same' }
  const killed = { mutant, isKilled: true, isReached: true, isEquivalent: false }
  const survived = { ...killed, isKilled: false, isReached: false }
  const equivalent = { ...killed, isKilled: false, isEquivalent: true }
  const report = { trials: [...new Array(18).fill(killed), survived, equivalent], unmade: [] }
  assert.match(formatReport(report), /^src\/a\.ts +20 +18 +1 +1 +5\.3$/m)
  assert.match(formatReport(report), /^src\/a\.ts:7 {2}f\(1\) → f\(2\) {2}\(no test gets there\)$/m)
  assert.deepEqual(problemsOf(report), ['5.3 % survive: expected 5.0 % at most'])
  assert.deepEqual(problemsOf({ trials: [killed, { ...equivalent, isKilled: true }], unmade: [listed] }), [
    'listed in equivalent.yaml, but killed: src/a.ts:7  f(1) → f(2)',
    'listed in equivalent.yaml, but not made: src/a.ts  f(1) → f(0)',
  ])
  assert.throws(() => readEquivalents('- { file: src/a.ts, before: f(1), after: f(0) }'), {
    message: 'Cannot read entry 1 of equivalent.yaml: expected a text for reason',
  })
})
