// Tests how many packages an operator has to trust, as each of them can read other people's mail.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

/**
 * Largest number of installed packages, with those of ioredis, lmdb and prom-client and those built for this machine.
 */
const MAX_PACKAGES = 34

test('greymx runs on few packages', async () => {
  const { stdout } = await promisify(execFile)('npm', ['ls', '--omit=dev', '--all', '--parseable'])
  const [, ...packages] = new Set(stdout.trim().split('\n'))
  assert.ok(packages.length > 10, stdout)
  assert.ok(packages.length <= MAX_PACKAGES, `${packages.length} packages: ${packages.join(' ')}`)
})
