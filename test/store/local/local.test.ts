// LocalStore runs the conformance suite. The other tests are about its use beside a shared store: it knows what has to
// be merged, keeps to its limit, and restores everything after a restart.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLmdbJournal } from '../../../src/store/lmdb/lmdb.ts'
import type { Journal } from '../../../src/store/local/journal.ts'
import { LocalStore } from '../../../src/store/local/local.ts'
import { journalIn, steady } from '../../support/journal.ts'
import { endWith, scratch } from '../../support/scratch.ts'
import { describeStore } from '../conformance.ts'

const DAY = 86_400_000
const TIMES = { retryWindow: 2 * DAY, lifetime: 36 * DAY }

const SILENT = { onMovedAside() {} }

async function setUp(limit = 1000, journal?: Journal) {
  const clock = { now: 1_700_000_000_000.5 }
  const local = new LocalStore(() => clock.now, limit, TIMES, journal && steady(journal))
  await local.restore()
  return { clock, local }
}

const opened = async (journal?: Journal) => {
  const { clock, local } = await setUp(1000, journal)
  return {
    store: local,
    other: local,
    isFallback: true as const,
    async advance(milliseconds: number) {
      clock.now += milliseconds
    },
  }
}

describeStore('LocalStore', 0, () => opened())

describeStore('LocalStore with a journal in LMDB', 0, async (t) => {
  const dir = await scratch(t)
  const { store, ...rest } = await opened(await openLmdbJournal(dir, SILENT))
  endWith(dir, () => store.close())
  return { store, ...rest }
})

test('LocalStore begins anew what its journal has from a date that was set back since, once', async (t) => {
  const dir = await scratch(t)
  const restart = async (journal: Journal, now: number) => {
    const clock = { now }
    const local = new LocalStore(() => clock.now, 1000, TIMES, steady(journal))
    await local.restore()
    return { local, clock }
  }
  const NOW = 1_700_000_000_000
  const { local: first } = await restart(await openLmdbJournal(dir, SILENT), NOW)
  await first.add('pending', DAY)
  await first.pass('passed', 36 * DAY)
  await first.count('count', DAY)
  await first.close()

  const { local: second } = await restart(await openLmdbJournal(dir, SILENT), NOW - 100 * DAY)
  assert.deepEqual(await second.find(['pending', 'passed']), [
    { passed: false, age: 0 },
    { passed: true, age: 0 },
  ])
  for (const { learnt } of second.unmerged(10)) assert.ok(learnt.left <= 36 * DAY)
  await second.close()

  const { local: third, clock } = await restart(await openLmdbJournal(dir, SILENT), NOW - 100 * DAY + 500)
  assert.deepEqual(await third.find(['pending', 'passed']), [
    { passed: false, age: 500 },
    { passed: true, age: 500 },
  ])
  assert.equal(await third.count('count', DAY), 2)
  clock.now += DAY
  assert.equal(await third.count('count', DAY), 1)
  await third.close()
})

test('LocalStore finds everything again in its journal, and what is still to be merged', async (t) => {
  const dir = await scratch(t)
  const { local: first } = await setUp(1000, await openLmdbJournal(dir, SILENT))
  await first.add('new', DAY)
  await first.pass('passed', DAY)
  first.counted('count', 4, DAY)
  await first.count('count', DAY)
  first.heard('known', { passed: true, age: 1000 })
  first.added('forgotten', DAY)
  await first.forget('forgotten')
  first.added('short', 10)
  await first.close()

  const journal = await openLmdbJournal(dir, SILENT)
  await journal.put('foreign', 'something else')
  const again = await setUp(1000, journal)
  again.clock.now += 500
  assert.deepEqual(await again.local.find(['new', 'passed', 'known', 'forgotten', 'foreign']), [
    { passed: false, age: 500 },
    { passed: true, age: 500 },
    { passed: true, age: 1500 },
    undefined,
    undefined,
  ])
  assert.deepEqual(
    again.local
      .unmerged(10)
      .map(({ key, learnt }) => [key, learnt])
      .sort(),
    [
      ['count', { counted: 1, left: DAY - 500 }],
      ['new', { passed: false, ttl: DAY, left: DAY - 500 }],
      ['passed', { passed: true, ttl: DAY, left: DAY - 500 }],
    ],
  )
  assert.equal(await again.local.count('count', DAY), 6)
  await again.local.close()
})

test('LocalStore holds so many entries; what is to be merged gives way to nothing, and fails when there is no room', async () => {
  const kept = new Map<string, string>()
  const { local, clock } = await setUp(100, journalIn(kept))
  for (let index = 0; index < 1000; index += 1) local.heard(`seen ${index}`, { passed: false, age: 0 })
  for (let index = 0; index < 100; index += 1) await local.add(`new ${index}`, DAY)
  assert.deepEqual([local.size, local.unmergedSize, kept.size], [100, 100, 100])
  await assert.rejects(local.add('one more', DAY), /the local store is full: of its 100 entries, 100 are not/)
  await assert.rejects(local.count('a count', DAY), /the local store is full/)
  assert.equal(local.refused, 2)
  await local.pass('new 1', 36 * DAY) // room is there, as its key is kept already
  local.heard('seen', { passed: true, age: 0 })
  assert.deepEqual([local.size, local.unmergedSize], [100, 100])
  clock.now += DAY
  await local.add('one more', DAY)
  assert.equal(local.size, 100)
})

// Regression: one long-lived entry in front kept all expired ones behind it, and every new write was refused.
test('LocalStore makes room of expired entries, wherever they stand among those that are to be merged', async () => {
  for (const passes of [1, 500]) {
    const { local, clock } = await setUp(1000)
    for (let index = 0; index < passes; index += 1) await local.pass(`passed ${index}`, 36 * DAY)
    for (let index = passes; index < 1000; index += 1) await local.add(`waits ${index}`, DAY)
    await assert.rejects(local.add('one more', DAY), /the local store is full/)
    clock.now += DAY
    let added = 0
    for (let index = 0; index < 1000; index += 1)
      if (await local.add(`new ${index}`, DAY).catch(() => false)) added += 1
    assert.equal(local.size, 1000)
    // Each write looks at 256 entries at most, so that few are refused until the first expired one is found.
    assert.ok(added >= 1000 - passes - 2, `added: ${added}`)
    const found = await local.find(Array.from({ length: passes }, (_, index) => `passed ${index}`))
    assert.ok(found.every((entry) => entry?.passed))
  }
})

test('LocalStore keeps copies of passes for half of its room, whatever floods in', async () => {
  const { local } = await setUp(100)
  for (let index = 0; index < 90; index += 1) local.heard(`known ${index}`, { passed: true, age: 0 })
  local.heard('known 0', { passed: true, age: 0 }) // the most recently used one is not dropped first
  for (let index = 0; index < 1000; index += 1) local.added(`seen ${index}`, DAY)
  let learnt = 0
  while (await local.add(`new ${learnt}`, DAY).catch(() => false)) learnt += 1
  assert.equal(learnt, 50)
  const passes = await local.find(Array.from({ length: 90 }, (_, index) => `known ${index}`))
  assert.equal(passes.filter((entry) => entry?.passed).length, 50)
  assert.ok(passes[0])
  local.heard('known too', { passed: true, age: 0 })
  assert.deepEqual(await local.find(['known too']), [{ passed: true, age: 0 }])
})

test('LocalStore gives up copies for a lower limit, passes last, and nothing that is to be merged', async () => {
  const { local } = await setUp(100)
  for (let index = 0; index < 10; index += 1) {
    await local.add(`learnt ${index}`, DAY)
    local.added(`waits ${index}`, DAY)
    local.passed(`passed ${index}`, DAY)
  }
  local.use(15, TIMES)
  assert.deepEqual([local.size, local.unmergedSize], [15, 10])
  assert.ok(['passed 9', 'passed 5', 'learnt 0'].every((key) => local.has(key)))
  local.use(5, TIMES)
  assert.deepEqual([local.size, local.unmergedSize], [10, 10])
  await assert.rejects(local.add('one more', DAY), /is full: of its 5 entries, 10 are not merged yet/)
})

test('LocalStore keeps what it hears for the times in effect', async () => {
  const { clock, local } = await setUp()
  local.use(1000, { retryWindow: DAY, lifetime: 2 * DAY })
  local.heard('pending', { passed: false, age: 0 })
  local.heard('passed', { passed: true, age: 0 })
  clock.now += DAY
  assert.deepEqual(await local.find(['pending', 'passed']), [undefined, { passed: true, age: DAY }])
  clock.now += DAY
  assert.deepEqual(await local.find(['passed']), [undefined])
})

test('LocalStore forgets a copy of what the shared store has forgotten', async () => {
  const { local } = await setUp()
  local.heard('a', { passed: true, age: 0 })
  assert.equal(local.heard('a', undefined), undefined)
  assert.deepEqual(await local.find(['a']), [undefined])
  await local.pass('b', DAY)
  assert.deepEqual(local.heard('b', undefined), { passed: true, age: 0 })
  assert.deepEqual(local.heard('b', { passed: false, age: 5 }), { passed: true, age: 0 })
})

test('LocalStore holds what was learnt while a merge was under way as still to be merged', async () => {
  const { local } = await setUp()
  await local.add('entry', DAY)
  await local.count('count', DAY)
  const batch = local.unmerged(10)
  await local.pass('entry', DAY)
  await local.count('count', DAY)
  await local.count('count', DAY)
  for (const { key, kept } of batch) await local.merged(key, kept)
  assert.deepEqual(
    local.unmerged(10).map(({ key, learnt }) => [key, learnt]),
    [
      ['entry', { passed: true, ttl: DAY, left: DAY }],
      ['count', { counted: 2, left: DAY }],
    ],
  )
})
