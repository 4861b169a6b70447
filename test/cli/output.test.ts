// What commands print is complete, whatever it is printed into.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'

const OUTPUT = join(import.meta.dirname, '../../src/cli/output.js')
const LENGTH = 1_000_000

// A program that shares the pipe may have made it non-blocking: then a write fails while the pipe is full.
test('print() waits for the reader of a pipe that another program has made non-blocking', async () => {
  const program = `
    import { complain, print } from ${JSON.stringify(OUTPUT)}
    process.stdout // opening it makes the pipe non-blocking
    complain('printing')
    print('x'.repeat(${LENGTH}))
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program])
  const ended = once(child, 'close')
  await once(child.stderr, 'data')
  const printed = (await child.stdout.setEncoding('utf8').toArray()).join('')
  assert.equal(printed.length, LENGTH)
  assert.deepEqual(await ended, [0, null])
})
