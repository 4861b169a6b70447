// Tests of the file of tokens, on real files. What can be wrong in it is tested with the setting, in config/load.test.ts.

import assert from 'node:assert/strict'
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { TokenFile } from '../../src/admin/tokens.ts'
import { scratch } from '../support/scratch.ts'

const A = 'a'.repeat(20)
const B = 'b'.repeat(20)

async function setUp(t: TestContext, text: string, mode = 0o600) {
  const path = join(await scratch(t), 'tokens')
  const write = (content: string) => {
    writeFileSync(`${path}.new`, content, { mode })
    chmodSync(`${path}.new`, mode)
    renameSync(`${path}.new`, path)
  }
  write(text)
  const told: string[] = []
  const file = new TokenFile(path, {
    onWarning: (warning) => told.push(warning),
    onProblem: (problem) => told.push(problem),
  })
  return { path, write, told, file }
}

test('a token has a name, and no part or extension of it has', async (t) => {
  const { file } = await setUp(t, `# two\nanna ${A}\n\n  bert\t${B}\r\n`)
  assert.deepEqual([file.nameOf(A), file.nameOf(B)], ['anna', 'bert'])
  for (const wrong of ['', A.slice(1), `${A}a`, A.toUpperCase(), `anna ${A}`, ' '])
    assert.equal(file.nameOf(wrong), undefined, wrong)
})

test('a file that is replaced, broken or removed counts as it is now', async (t) => {
  const { file, write, path, told } = await setUp(t, `anna ${A}\n`)
  write(`bert ${A}\n`)
  assert.equal(file.nameOf(A), 'bert')
  write(`bert ${B}\n`)
  assert.deepEqual([file.nameOf(A), file.nameOf(B)], [undefined, 'bert'])
  write('bert\n')
  assert.deepEqual([file.nameOf(B), file.nameOf(B)], [undefined, undefined])
  rmSync(path)
  assert.equal(file.nameOf(B), undefined)
  assert.deepEqual(told, [`${path}: line 1: it has 1 words: expected NAME TOKEN`, `${path}: no such file`])
  write(`anna ${A}\n`)
  assert.equal(file.nameOf(A), 'anna')
})

test('a file that everybody may read is warned of, at the start and when it changes', async (t) => {
  const { file, write, told, path } = await setUp(t, `anna ${A}\n`, 0o644)
  file.warn()
  const warning = `every user of this host may read ${path}: expected mode 0640 or 0600`
  assert.deepEqual(told, [warning])
  write(`anna ${B}\n`)
  assert.equal(file.nameOf(B), 'anna')
  assert.deepEqual(told, [warning, warning])
  rmSync(path)
  file.warn()
})

test('a file that its group may read is as it should be', async (t) => {
  const { file, told } = await setUp(t, `anna ${A}\n`, 0o640)
  file.warn()
  assert.deepEqual(told, [])
})
