// Tests of addresses that are hashed in the store: what is kept has none, and neither a change of the key nor the change
// from addresses to hashes greylists anybody again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { createGreylister } from '../../src/greylist/greylister.ts'
import { isConcealed, type PrivacyKey } from '../../src/greylist/privacy.ts'
import { parseIp } from '../../src/ip.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const [OLD, NEW] = ['o'.repeat(32), 'n'.repeat(32)]

function setUp() {
  const clock = { now: 0 }
  const now = () => clock.now
  const store = new MemoryStore(now)
  /** A greylister with these keys, as after a restart. */
  const begin = (privacy?: readonly PrivacyKey[]) => {
    const greylister = createGreylister({
      settings: {
        times: { delay: 4 * MINUTE, retryWindow: DAY, lifetime: 36 * DAY },
        widensBySpf: true,
        prefixes: { ipv4: 24, ipv6: 64 },
        normalizeSender: true,
        maxDeferrals: 4,
        maxPending: 100,
        learnReplies: 30 * DAY,
        onStoreError: 'accept',
        ...(privacy ? { privacy } : {}),
      },
      exempt: ({ authenticated }) => (authenticated ? { reason: 'authenticated', rule: '' } : undefined),
      investigate: (_client, { domain }) => {
        const network = 'network:198.51.100.0/24'
        const id = domain === 'spf.test' ? `spf:${domain}` : network
        const names = id === network ? [network] : [id, network]
        const spf = id === network ? 'none' : 'pass'
        return { identity: { id, names, carriers: [], network, spf, isNamed: true }, exemption: undefined }
      },
      stores: { store },
      now,
    })
    return async (sender: string, recipient = 'b@example.com', authenticated = false) => {
      const attempt = {
        client: { address: parseIp('198.51.100.7') },
        authenticated,
        sender: parseAddress(sender),
        recipient: parseAddress(recipient),
      }
      const outcome = await greylister.judge(attempt)
      assert.equal(outcome.attempt, attempt, 'log and reply have the addresses')
      return outcome.reason
    }
  }
  return { clock, store, begin }
}

test('no key and no value of the store has an address, and greylisting goes as ever', async () => {
  const { clock, store, begin } = setUp()
  const judge = begin([NEW])
  for (const sender of ['plain@example.org', 'vouched@spf.test', `${'long'.repeat(60)}@example.org`]) {
    assert.equal(await judge(sender), 'new')
    clock.now += 4 * MINUTE
    assert.equal(await judge(sender.toUpperCase()), 'retry')
    assert.equal(await judge(sender), 'known')
  }
  await judge('user@example.com', 'friend@spf.test', true)
  const kept = [...store.alive()].flat().join('\n')
  assert.doesNotMatch(kept, /plain|vouched|long|friend|b@example|user@/)
  assert.ok(kept.split('\n').some((key) => isConcealed(key.split('|')[1] ?? '')))
})

for (const [change, before, after] of [
  ['a new key', [OLD], [NEW, OLD]],
  ['addresses to hashes', undefined, [NEW, 'none']],
] as const) {
  test(`the change from ${change} greylists nobody again who waits or has passed`, async () => {
    const { clock, begin } = setUp()
    const first = begin(before)
    assert.equal(await first('known@example.org'), 'new')
    assert.equal(await first('alice@spf.test', 'c@example.com'), 'new')
    clock.now += 4 * MINUTE
    assert.equal(await first('known@example.org'), 'retry')
    assert.equal(await first('waits@example.org'), 'new')
    assert.equal(await first('waits@spf.test', 'd@example.com'), 'new')
    await first('user@example.com', 'friend@spf.test', true)

    const second = begin(after)
    assert.equal(await second('known@example.org'), 'known')
    assert.equal(await second('waits@example.org'), 'early')
    assert.equal(await second('friend@spf.test', 'user@example.com'), 'written-to')
    clock.now += 4 * MINUTE
    assert.equal(await second('waits@example.org'), 'retry')
    assert.equal(await second('waits@spf.test', 'd@example.com'), 'retry')
    // From then on the former key is not needed any more.
    const third = begin([NEW])
    for (const sender of ['known@example.org', 'waits@example.org'])
      assert.equal(await third(sender), 'known')
  })
}
