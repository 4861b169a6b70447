// greymx as a judge: its own rules, by the clock of the world.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'
import { createGreymxJudge } from '../../src/simulate/greymx.ts'
import { Zone } from '../../src/simulate/world/zone.ts'

const MINUTE = 60_000
const DAY = 86_400_000

const zone = new Zone()
zone.setSpf('sender.example', ['ip4:192.0.2.0/24', 'ip4:198.51.100.0/24'])

function judgeWith(settings = '') {
  const loaded = parseConfig('milter.yaml', settings)
  assert.ok(loaded.kind === 'config')
  const lists = { clients: [], senders: [], recipients: [] }
  const judge = createGreymxJudge('greymx', loaded.config, lists, (settings, now) =>
    createIdentify(settings, zone.resolver(now), now),
  )
  return {
    judge,
    verdict: (at: number, sender: string, address: string, recipient = 'u@example.com') =>
      judge.judge(
        {
          client: { address: parseIp(address), helo: 'mx.sender.example' },
          authenticated: false,
          sender: parseAddress(sender),
          recipient: parseAddress(recipient),
        },
        at,
      ),
  }
}

test('a retry passes from the delay on and within the window, from any host that the record names', async () => {
  const { verdict } = judgeWith('greylist: {delay: 4m}')
  assert.equal(await verdict(0, 'a@sender.example', '192.0.2.7'), 'tempfail')
  assert.equal(await verdict(4 * MINUTE - 1, 'a@sender.example', '198.51.100.7'), 'tempfail')
  assert.equal(await verdict(4 * MINUTE, 'a@sender.example', '198.51.100.7'), 'pass')
  assert.equal(await verdict(5 * MINUTE, 'a@other.example', '192.0.2.7'), 'tempfail')
  assert.equal(await verdict(5 * MINUTE + 2 * DAY, 'a@other.example', '192.0.2.7'), 'tempfail')
  assert.equal(await verdict(35 * DAY, 'a@sender.example', '192.0.2.7'), 'pass')
})

test('settings are those of the configuration', async () => {
  const { verdict, judge } = judgeWith('greylist: {delay: 1m, key: [client, sender], null_sender_at: rcpt}')
  assert.equal(judge.judgesAtData(parseAddress('<>')), false)
  const bounces = judgeWith().judge
  for (const [sender, isAtData] of [
    ['<>', true],
    ['double-bounce@sender.example', true],
    ['a@sender.example', false],
  ] as const)
    assert.equal(bounces.judgesAtData(parseAddress(sender)), isAtData, sender)
  assert.equal(await verdict(0, 'a@sender.example', '192.0.2.7'), 'tempfail')
  // The key has no recipient.
  assert.equal(await verdict(MINUTE, 'a@sender.example', '192.0.2.7', 'other@example.com'), 'pass')
  const exempting = judgeWith('exempt: {senders: [sender.example], recipients: [v@example.com]}')
  assert.equal(await exempting.verdict(0, 'a@sender.example', '203.0.113.1'), 'pass')
  assert.equal(await exempting.verdict(0, 'a@other.example', '203.0.113.1', 'v@example.com'), 'pass')
})

test('the state is told in keys and bytes, without what has ended', async () => {
  const { verdict, judge } = judgeWith('greylist: {max_deferrals: 0}')
  assert.deepEqual(judge.stateSize(), { keys: 0, bytes: 0 })
  await verdict(0, 'a@other.example', '203.0.113.1')
  // The triplet alone, as its network has no second deferral.
  const { keys, bytes } = judge.stateSize()
  assert.equal(keys, 1)
  assert.ok(bytes > 200 && bytes < 300, String(bytes))
  await verdict(3 * DAY, 'b@other.example', '203.0.113.1')
  assert.equal(judge.stateSize().keys, 1)
  // The next triplet, and the tally of both.
  await verdict(3 * DAY, 'c@other.example', '203.0.113.1')
  assert.equal(judge.stateSize().keys, 3)
})
