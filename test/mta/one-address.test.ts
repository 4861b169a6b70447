// Tests, through a real Postfix, that log, /healthz and check tell of one address for all clients, as behind a gateway.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGreymx, startGreymx } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { rcptOnce } from './scenarios.ts'

const WARNING = 'mail of 10 sender domains came from 172.18.0.1, which is a private address: '

test('behind a gateway, the operator is told once; a stranger with many domains brings no such thing about', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"' })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const health = async () => {
    const response = await fetch(`http://127.0.0.1:${greymx.adminPort}/healthz`)
    assert.equal(response.status, 200)
    return ((await response.json()) as { warnings: string[] }).warnings
  }
  const check = async () => {
    const { status, stderr } = await runGreymx(['check', '--config', greymx.configFile])
    assert.equal(status, 0)
    return stderr.split('\n').filter((line) => line.includes('private address'))
  }
  const send = async (address: string, domains: number) => {
    const client = await startSession(mta, { ADDR: address, NAME: '[UNAVAILABLE]' })
    for (let domain = 1; domain <= domains; domain += 1) {
      assert.match(await rcptOnce(client, `a@d${domain}.test`, 'u@example.com'), /^[24]5/)
    }
    await client.quit()
  }

  await send('198.51.100.7', 60)
  await send('172.18.0.1', 9)
  assert.deepEqual([await health(), await check()], [[], []])
  await send('172.18.0.1', 12)
  const [warning = '', ...others] = await health()
  assert.ok(warning.startsWith(WARNING), warning)
  assert.match(warning, /smtpd_upstream_proxy_protocol = haproxy.*userland-proxy.*trusted_relays/)
  assert.deepEqual(others, [])
  assert.deepEqual(await check(), [`http://127.0.0.1:${greymx.adminPort}/healthz: warning: ${warning}`])

  await send('172.18.0.1', 20)
  await send('198.51.100.7', 20)
  const said = () => greymx.log().filter((line) => line.includes('all clients seem to have one address'))
  await waitFor('the log', () => greymx.outcomes('a@d20.test').length === 3)
  assert.equal(said().length, 1)
  assert.match(
    said()[0] ?? '',
    /^level=warn msg="all clients seem to have one address" client=172\.18\.0\.1 warning="/,
  )
})
