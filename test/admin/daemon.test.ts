// Tests of the way in for operators' calls at the running daemon: what its log tells of those that it refuses, and what a
// reload does with tokens. What is answered to whom is tested in calls.test.ts.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startGreymx } from '../support/greymx.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { post, raw } from './support.ts'

const TOKEN = '0123456789abcdefghij'

async function setUp(t: Parameters<typeof scratch>[0], mode = 0o600) {
  const dir = await scratch(t)
  const tokens = join(dir, 'tokens')
  writeFileSync(tokens, `monitoring ${TOKEN}\n`, { mode })
  const greymx = await startGreymx({ dir, settings: `store: "memory:"\nadmin_tokens: ${tokens}` })
  const said = (text: string) => greymx.log().filter((line) => line.includes(text))
  const call = async (token: string, headers = {}) =>
    (await post(greymx.adminPort, 'x', {}, { headers: { authorization: `Bearer ${token}`, ...headers } }))
      .status
  return { greymx, tokens, said, call }
}

test('each kind of refusal is logged once, without a token and without anything from the request', async (t) => {
  const { greymx, said, call } = await setUp(t)
  const wrong = 'wr0ng-t0ken-wr0ng-t0ken'
  for (let count = 0; count < 20; count += 1) {
    assert.equal(await call(wrong), 401)
    assert.equal(await call(TOKEN, { origin: 'https://evil.example' }), 403)
  }
  for (let count = 0; count < 3; count += 1) await raw({ path: greymx.adminSocket }, 'junk\r\n\r\n')
  assert.equal(await call(TOKEN), 404)
  await waitFor('the lines', () => said('nothing has changed').length === 3)
  await greymx.stop()
  const warning = (what: string, rest: string) =>
    `level=warn msg="${what} refused: nothing has changed" ${rest}`
  const [token, forged] = ['a call without a valid token was', 'a call that a web page may have sent was']
  const malformed = 'a request that is no call was'
  assert.deepEqual(said('nothing has changed').sort(), [
    warning(forged, 'peer=127.0.0.1'),
    warning(forged, 'peer=127.0.0.1 times=19'),
    warning(token, 'peer=127.0.0.1'),
    warning(token, 'peer=127.0.0.1 times=19'),
    warning(malformed, 'peer="unix socket"'),
    warning(malformed, 'peer="unix socket" times=2'),
  ])
  const log = greymx.log().join('\n')
  for (const secret of [TOKEN, wrong, 'evil.example', 'junk']) assert.ok(!log.includes(secret), secret)
})

test('a reload reads the tokens again, and is refused if they cannot be read', async (t) => {
  const { greymx, tokens, said, call } = await setUp(t, 0o644)
  assert.equal(said('others may read the tokens of admin_tokens').length, 1)
  writeFileSync(tokens, 'monitoring short\n')
  greymx.signal('SIGHUP')
  await waitFor('the refusal', () => said('reload refused').length === 1)
  assert.match(said('reload refused')[0] ?? '', /line 1: the token of monitoring has 5 characters/)
  assert.equal(await call(TOKEN), 401)
  await waitFor('the problem', () => said('no token counts until it can').length === 1)
  writeFileSync(tokens, `other ${TOKEN}x\n`)
  greymx.signal('SIGHUP')
  await waitFor('the reload', () => said('configuration read again').length === 1)
  assert.deepEqual([await call(TOKEN), await call(`${TOKEN}x`)], [401, 404])
})

test('a daemon at a socket that another one serves says so, and greylists all the same', async (t) => {
  const { greymx } = await setUp(t)
  const settings = `store: "memory:"\nadmin_socket: ${greymx.adminSocket}`
  const second = await startGreymx({ dir: await scratch(t), settings })
  const problem = `Cannot listen on unix:${greymx.adminSocket}: another process listens there`
  assert.ok(second.log().some((line) => line.includes(problem)))
  const { warnings } = (await (await fetch(`http://127.0.0.1:${second.adminPort}/healthz`)).json()) as {
    warnings: string[]
  }
  assert.deepEqual(warnings, [`commands cannot reach greymx: ${problem}`])
  ;(await second.connect()).quit()
  await second.stop()
  assert.equal((await post(greymx.adminSocket, 'x', {})).status, 404)
})
