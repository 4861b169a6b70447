// First deferrals that no tally has yet: what a process notes of them, and that tallies come out as if each had been
// written at once, but for one deferral of each host.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { TALLY_WINDOW } from '../../src/greylist/evidence.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import { UntalliedNames } from '../../src/greylist/untallied.ts'
import { parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test('a name has one deferral, until it is taken or its window is over', () => {
  const clock = { now: 1000 }
  const names = new UntalliedNames(() => clock.now)
  assert.equal(names.ageOf('network:192.0.2.0/24'), undefined)
  names.note('network:192.0.2.0/24')
  clock.now += 5
  assert.equal(names.ageOf('network:192.0.2.0/24'), 5)
  assert.equal(names.ageOf('network:192.0.3.0/24'), undefined)
  assert.equal(names.take('network:192.0.2.0/24'), 5)
  assert.equal(names.take('network:192.0.2.0/24'), undefined)
  names.note('spf:example.org')
  clock.now += TALLY_WINDOW - 1
  assert.equal(names.ageOf('spf:example.org'), TALLY_WINDOW - 1)
  clock.now += 1
  assert.equal(names.ageOf('spf:example.org'), undefined)
  assert.equal(names.take('spf:example.org'), undefined)
})

test('of many names, those are forgotten whose slot another name has, and each process forgets others', () => {
  const all = Array.from({ length: 100_000 }, (_, index) => `network:${index >> 8}.${index & 255}.2.0/24`)
  const kept = [1, 2].map(() => {
    const names = new UntalliedNames(() => 0)
    for (const name of all) names.note(name)
    return new Set(all.filter((name) => names.ageOf(name) !== undefined))
  })
  const [one, other] = kept
  assert.ok(one && other)
  // Of 100,000 balls in 131,072 slots, 70,000 are the last one in theirs.
  for (const { size } of kept) assert.ok(size > 68_000 && size < 72_000, String(size))
  const inBoth = [...one].filter((name) => other.has(name)).length
  assert.ok(inBoth > 45_000 && inBoth < 55_000, String(inBoth))
})

test('no name is taken for another, though one character makes the difference, and whatever is drawn', () => {
  // Even factors would leave nothing of the first characters.
  for (const seeds of [undefined, Uint32Array.of(1, 2, 0x9e370000, 0x85eb0000)]) {
    const names = new UntalliedNames(() => 0, seeds)
    for (const name of ['ax', 'bx', 'xa', 'xb']) {
      names.note(name)
      for (const other of ['ax', 'bx', 'xa', 'xb', 'a', 'x', ''])
        if (other !== name) assert.equal(names.ageOf(other), undefined, `${name} and ${other}`)
      assert.equal(names.take(name), 0)
    }
    const noted = Array.from({ length: 20_000 }, (_, index) => `network:${index >> 8}.${index & 255}.2.0/24`)
    for (const name of noted) names.note(name)
    // Of 20,000 balls in 131,072 slots, 18,600 are the last one in theirs.
    const kept = noted.filter((name) => names.ageOf(name) !== undefined).length
    assert.ok(kept > 18_000, String(kept))
    const others = noted.filter((name) => names.ageOf(name.replace('network', 'host')) !== undefined)
    assert.deepEqual(others, [])
  }
})

test('a name that has no tag by its hash is told from an empty slot, before it is noted and after it is taken', () => {
  const names = new UntalliedNames(() => 7, Uint32Array.of(0, 0, 1, 1))
  assert.equal(names.ageOf(''), undefined)
  names.note('')
  assert.equal(names.take(''), 0)
  assert.equal(names.ageOf(''), undefined)
})

const SETTINGS: GreylistSettings = {
  times: { delay: 3 * MINUTE, retryWindow: 20 * HOUR, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  maxDeferrals: 4,
  maxPending: 1000,
  onStoreError: 'tempfail',
}

const NETWORK = 'network:192.0.2.0/24'
const TALLY = `o:${NETWORK}`
const RETURN = 100_000_000

function setUp(settings: Partial<GreylistSettings> = {}) {
  const clock = { now: 1 }
  const store = new MemoryStore(() => clock.now)
  const newHost = () => {
    const { judge } = createGreylister({
      settings: { ...SETTINGS, ...settings },
      exempt: () => undefined,
      investigate: async (_, { domain }) => {
        const names = domain === 'spf.test' ? ['spf:spf.test', NETWORK] : [NETWORK]
        const spf = names.length === 2 ? ('pass' as const) : ('none' as const)
        const identity = { id: names[0] ?? '', names, carriers: [], network: NETWORK, spf, isNamed: false }
        return { identity, exemption: undefined }
      },
      stores: { store },
      now: () => clock.now,
    })
    return (sender: string): Promise<Outcome> =>
      judge({
        client: { address: parseIp('192.0.2.7') },
        authenticated: false,
        sender: parseAddress(sender),
        recipient: parseAddress('u@example.com'),
      })
  }
  return {
    store,
    newHost,
    tally: async (key = TALLY) => (await store.counts([key]))[0],
    wait(milliseconds: number) {
      clock.now += milliseconds
    },
  }
}

test('the second deferral under a name writes both, and a tally ends as if the first had begun it', async () => {
  const { newHost, tally, wait } = setUp()
  const judge = newHost()
  await judge('a@one.test')
  assert.equal(await tally(), 0)
  wait(DAY)
  assert.equal((await judge('b@one.test')).retryIn, 3 * MINUTE)
  assert.equal(await tally(), 2)
  await judge('c@one.test')
  assert.equal(await tally(), 3)
  wait(DAY - 1)
  assert.equal(await tally(), 3)
  wait(1)
  assert.equal(await tally(), 0)
})

test('a retry counts nothing, and a return writes what it has returned from', async () => {
  for (const isRestarted of [false, true]) {
    const { newHost, tally, wait } = setUp()
    const judge = newHost()
    await judge('a@one.test')
    wait(MINUTE)
    await judge('a@one.test')
    assert.equal(await tally(), 0)
    wait(2 * MINUTE)
    const later = isRestarted ? newHost() : judge
    assert.equal((await later('a@one.test')).reason, 'retry')
    assert.equal(await tally(), RETURN + 1)
    await later('b@one.test')
    assert.equal(await tally(), RETURN + 2)
  }
})

test('each name has its own first deferral', async () => {
  const { newHost, tally } = setUp()
  const judge = newHost()
  await judge('a@spf.test')
  await judge('a@one.test')
  assert.deepEqual([await tally(), await tally('o:spf:spf.test')], [2, 0])
  await judge('b@spf.test')
  assert.deepEqual([await tally(), await tally('o:spf:spf.test')], [3, 2])
})

test('of many at once none is lost, and of several hosts one each at most', async () => {
  for (const hosts of [1, 2, 3]) {
    const { newHost, tally } = setUp()
    const judges = Array.from({ length: hosts }, newHost)
    const count = 12
    const senders = Array.from({ length: count }, (_, index) => `a@s${index}.test`)
    await Promise.all(senders.map((sender, index) => judges[index % hosts]?.(sender)))
    const found = (await tally()) ?? 0
    assert.ok(found <= count && found >= count - hosts, `${hosts} hosts: ${found}`)
    // A host pays what it owes with its next deferral.
    for (const [index, judge] of judges.entries()) await judge(`a@t${index}.test`)
    assert.equal(await tally(), count + hosts)
  }
})

test('a crowd is one from its fifth on, as if each had been counted at once', async () => {
  const { newHost } = setUp()
  const judge = newHost()
  const waits: number[] = []
  for (let bot = 0; bot < 6; bot += 1) waits.push((await judge(`a@s${bot}.test`)).retryIn / MINUTE)
  assert.deepEqual(waits, [3, 3, 3, 3, 60, 60])
})

test('with credit, which is withheld for one deferral, all hosts know of the first', async () => {
  const { newHost, tally } = setUp({ credit: { messages: 1, perNetwork: 9 } })
  const judge = newHost()
  const sender = 'a@spf.test'
  assert.equal((await judge(sender)).reason, 'credit')
  assert.equal((await judge(sender)).reason, 'new')
  assert.deepEqual([await tally(), await tally('o:spf:spf.test')], [1, 1])
})
