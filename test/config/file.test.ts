// Tests of configuration files that are no regular ones, with the built program: pipes that end are read, and what does
// not end is refused in time.

import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'

const PROGRAM = join(process.cwd(), 'dist/main.js')

/** The end of a command of bash, in which `$GREYMX` is the program. It is killed after the time that a start may take. */
function bash(
  cwd: string,
  command: string,
): Promise<{ status: number | string; stdout: string; stderr: string }> {
  const env = { ...process.env, GREYMX: `${process.execPath} ${PROGRAM}` }
  return new Promise((resolve) => {
    execFile('bash', ['-c', command], { cwd, env, timeout: 10_000 }, (error, stdout, stderr) =>
      resolve({ status: error ? (error.code ?? `${error.signal}`) : 0, stdout, stderr }),
    )
  })
}

const ENDLESS = /it has not ended after 5 s \(nothing came\): expected a file, or a pipe with settings/

// Regression: the start waited for ever, deaf to SIGTERM.
test('a FIFO that nobody writes into ends the start with its name, in time', async (t) => {
  const dir = await scratch(t)
  execFileSync('mkfifo', [join(dir, 'fifo')])
  const [checked, served, silent] = await Promise.all([
    bash(dir, 'exec $GREYMX check --config fifo'),
    bash(dir, 'exec $GREYMX serve --config fifo'),
    bash(dir, 'exec $GREYMX check --config <(exec sleep 12)'),
  ])
  for (const { status, stderr } of [checked, served]) {
    assert.match(stderr, /^fifo: /)
    assert.match(stderr, ENDLESS)
    assert.equal(status, 78)
  }
  assert.match(silent.stderr, ENDLESS)
  assert.equal(silent.status, 78)
})

test('what comes through a pipe is read to its end, also when it comes late', async (t) => {
  const dir = await scratch(t)
  execFileSync('mkfifo', [join(dir, 'fifo')])
  await writeFile(
    join(dir, 'settings.yaml'),
    `store: "memory:"\n${'# a comment\n'.repeat(20_000)}admin: 10.0.0.1:7\n`,
  )
  for (const command of [
    '$GREYMX check --print --config <(cat settings.yaml)',
    '$GREYMX check --print --config <(head -c 1000 settings.yaml; sleep 1; tail -c +1001 settings.yaml)',
    'cat settings.yaml | $GREYMX check --print --config /dev/stdin',
    '{ sleep 1; cat settings.yaml > fifo; } & $GREYMX check --print --config fifo',
  ]) {
    const { status, stdout, stderr } = await bash(dir, command)
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^admin: 10\.0\.0\.1:7 # \S+:20002$/m, command)
  }
})

// Regression: greymx went by its defaults, as after a command that failed.
test('an empty pipe is refused, and an empty device is not', async (t) => {
  const dir = await scratch(t)
  const empty = await bash(dir, '$GREYMX check --config <(false)')
  assert.equal(empty.status, 78)
  assert.match(empty.stderr, /: nothing came: expected a file, or a pipe with settings/)
  const device = await runGreymx(['check', '--config', '/dev/null'])
  assert.equal(device.status, 0, device.stderr)
  const endless = await runGreymx(['check', '--config', '/dev/zero'])
  assert.equal(endless.status, 78)
  assert.match(endless.stderr, /^\/dev\/zero: it does not end within 16 MiB: /)
})
