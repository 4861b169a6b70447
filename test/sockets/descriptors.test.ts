// Tests of the number of connections that file descriptors allow.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { connectionsWithin } from '../../src/sockets/descriptors.ts'

test('connectionsWithin() leaves 64 for everything else, and half of few', () => {
  assert.deepEqual([36, 128, 1024, 524_288].map(connectionsWithin), [18, 64, 960, 524_224])
  assert.equal(connectionsWithin(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY)
})

test('descriptorLimit() is the hard limit, which Node makes its own', async () => {
  const module = new URL('../../src/sockets/descriptors.js', import.meta.url).href
  const program = `import(${JSON.stringify(module)}).then(({ descriptorLimit }) => console.log(descriptorLimit()))`
  const { stdout } = await promisify(execFile)('prlimit', [
    '--nofile=100:200',
    ...[process.execPath, '-e', program],
  ])
  assert.equal(stdout, '200\n')
})
