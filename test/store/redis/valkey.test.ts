// Runs files of this folder against Valkey, where there is one; see support/debian.ts. When the variable REDIS_SERVER
// names the server for the whole suite, they are not run again.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { valkeyServer } from '../../support/valkey.ts'

const run = promisify(execFile)

const folder = dirname(fileURLToPath(import.meta.url))

/**
 * The files that ask the server most. The others are about what lies before it, or wait for minutes. One runs after the
 * other, as timings would suffer otherwise.
 */
const FILES = ['access', 'cluster', 'merge', 'records', 'redis', 'replies'] as const

test('what runs against Redis runs against Valkey as well', { skip: leftOut() }, async (t) => {
  const { stdout: version } = await run(valkeyServer, ['--version'])
  t.diagnostic(version.trim())
  assert.match(version, /^Valkey server v=\d/)
  const startedAt = performance.now()
  for (const file of FILES) await t.test(file, (each) => runFile(each, `${file}.test.js`))
  t.diagnostic(`all files took ${((performance.now() - startedAt) / 1000).toFixed()} s`)
})

async function runFile(t: TestContext, file: string): Promise<void> {
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env // the file is to run by itself
  const ran = run(process.execPath, ['--enable-source-maps', '--test', join(folder, file)], {
    env: { ...environment, REDIS_SERVER: valkeyServer },
    signal: t.signal,
    maxBuffer: 64 * 1024 * 1024,
  })
  const { stdout } = await ran.catch((error: Error & { stdout?: string }) => {
    throw new Error(`${file} against Valkey: ${error.stdout || error.message}`)
  })
  const passed = Number(/^# pass (\d+)$/m.exec(stdout)?.[1])
  assert.ok(passed > 0, stdout)
  t.diagnostic(`${passed} tests passed`)
}

function leftOut(): string | false {
  if (process.env.REDIS_SERVER !== undefined)
    return `the whole suite runs against ${process.env.REDIS_SERVER}`
  return existsSync(valkeyServer) ? false : 'there is no Valkey here: apt has it from Debian 13 on'
}
