// Tests of the image and the compose files: their contents, and docker/trial with both MTAs. On a machine that cannot
// run containers, docker/trial is skipped and the test says why.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { freePort } from '../support/scratch.ts'

const run = promisify(execFile)

/** Exit status of docker/trial when it could run nothing. */
const NOT_RUN = 77

interface Service {
  readonly ports?: readonly unknown[]
  readonly read_only?: boolean
  readonly healthcheck?: unknown
}

for (const [mta, file] of [
  ['Postfix', 'docker/compose.yaml'],
  ['Sendmail', 'docker/compose.sendmail.yaml'],
] as const) {
  test(`the compose file for ${mta} is valid, and publishes nothing but SMTP`, async () => {
    const { stdout } = await run('docker-compose', ['-f', file, '--profile', 'try', 'config'])
    const services: Record<string, Service> = parse(stdout).services
    assert.deepEqual(Object.keys(services).sort(), ['greymx1', 'greymx2', 'mx1', 'mx2', 'redis', 'try'])
    const publishing = Object.entries(services).filter(([, { ports = [] }]) => ports.length > 0)
    assert.deepEqual(publishing.map(([name]) => name).sort(), ['mx1', 'mx2'])
    for (const name of ['greymx1', 'greymx2']) assert.equal(services[name]?.read_only, true)
  })
}

test('docker/trial: 451 at one MX and 250 at the other, mail without Redis, and an orderly stop', async (t) => {
  const [mx1, mx2] = [await freePort(), await freePort()]
  const child = spawn('docker/trial', {
    // Other tests run at the same time, so that what it measures may take longer than it promises.
    env: { ...process.env, MX1_SMTP: `127.0.0.1:${mx1}`, MX2_SMTP: `127.0.0.1:${mx2}`, SLACK: '4' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray())
  const [status] = await once(child, 'close')
  const output = [...((await stdout) ?? []), ...((await stderr) ?? [])].join('').trimEnd()
  if (status === NOT_RUN) return t.skip(output)
  for (const line of output.split('\n')) t.diagnostic(line)
  assert.equal(status, 0, output)
})
