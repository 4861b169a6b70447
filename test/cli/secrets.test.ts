// Tests that greymx shows no password, wherever it was set and whatever goes wrong: all output and all answers are
// searched.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startDaemon } from '../support/daemon.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { endWith, freePort, scratch, waitFor } from '../support/scratch.ts'

const SECRET = 'Tr0ub4dor'
const dir = await scratch({ after })
const passwordFile = join(dir, 'password')
await writeFile(passwordFile, `${SECRET}\n`)
const redis = await startRedis({ dir, args: ['--requirepass', 'another'] })
const open = await startRedis({ dir, args: ['--requirepass', SECRET] })
// Redis quotes a command that it does not know, with its arguments.
const renamed = ['--rename-command', 'HELLO', '', '--rename-command', 'AUTH', '']
const forgetful = await startRedis({ dir, args: renamed })

const cases: Array<[name: string, settings: string, logged: RegExp, environment?: Record<string, string>]> = [
  ['right', `store: redis://:${SECRET}@127.0.0.1:${open.port}`, /msg="store is up"/],
  ['wrong, from a file', `store: ${redis.url}\nredis: { password_file: ${passwordFile} }`, /WRONGPASS/],
  ['wrong, from the environment', `store: ${redis.url}`, /WRONGPASS/, { GREYMX_REDIS_PASSWORD: SECRET }],
  [
    'for a server that does not know AUTH',
    `store: redis://:${SECRET}@127.0.0.1:${forgetful.port}`,
    /unknown command 'auth'.*\*\*\*/,
  ],
  ['for no cluster', `store: redis+cluster://u:${SECRET}@127.0.0.1:1`, /ECONNREFUSED/],
  [
    'for a Sentinel',
    `store: redis+sentinel://u:${SECRET}@127.0.0.1:${redis.port}/m\nredis: { sentinel: { password: ${SECRET} } }`,
    /Sentinel .*WRONGPASS/,
  ],
]

for (const [name, settings, logged, environment] of cases) {
  test(`a password shows nowhere: ${name}`, async () => {
    const [port, adminPort] = [await freePort(), await freePort()]
    const file = join(dir, `${port}.yaml`)
    const base = `listen: inet:${port}@127.0.0.1\nadmin: 127.0.0.1:${adminPort}\nlog: { level: debug }\n${settings}\n`
    await writeFile(file, base)
    const env = { ...process.env, ...environment }
    const checked = spawnSync(process.execPath, [PROGRAM, 'check', '--config', file], {
      encoding: 'utf8',
      env,
    })
    assert.equal(checked.status, 0, checked.stderr)
    const daemon = await startDaemon({
      command: process.execPath,
      args: [PROGRAM, 'serve', '--config', file],
      cwd: dir,
      env,
      ready: (output) => output.includes('INPUT_MAIL_FILTER'),
    })
    endWith(dir, () => daemon.stop())
    await waitFor('the state of the store', () => logged.test(daemon.output()))
    const pages = []
    for (const path of ['/healthz', '/metrics']) {
      pages.push(await (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text())
    }
    await writeFile(file, `${base}header: maybe\n`)
    daemon.signal('SIGHUP')
    await waitFor('the fault', () => daemon.output().includes('reload refused, configuration unchanged'))
    await writeFile(file, base.replace('/m\n', '/n\n').replace(SECRET, `${SECRET}2`))
    daemon.signal('SIGHUP')
    const change = /configuration read again|Cannot use store/
    await waitFor('the change', () => change.test(daemon.output()))
    await daemon.stop()
    const all = [checked.stdout, checked.stderr, daemon.output(), ...pages].join('\n')
    assert.ok(!all.includes(SECRET), all)
  })
}
