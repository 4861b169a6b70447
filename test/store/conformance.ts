// The conformance suite that every store runs: the promises of src/store/store.ts and records.ts. Windows are short, as the tests have
// to wait for stores with a clock of their own; they move the clocks of the others.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Entry } from '../../src/store/entry.ts'
import type { KeptKey, RecordStore } from '../../src/store/records.ts'
import { lookIn, type SharedStore, type Store, writeTo } from '../../src/store/store.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** The same state as another host sees it. */
  readonly other: Store
  /** Whether it is the fallback of a shared store, which keeps no holders. */
  readonly isFallback?: true
  /** Lets `milliseconds` pass by the store's clock. */
  advance(milliseconds: number): Promise<void>
}

export interface SetBackStoreUnderTest extends SharedStoreUnderTest {
  /** Sets the store's clock back by `milliseconds`, so that as much more is left of what is under `keys`. */
  setBack(milliseconds: number, keys: readonly string[]): Promise<void>
}

export interface SharedStoreUnderTest extends StoreUnderTest {
  readonly store: SharedStore
  readonly other: SharedStore
}

export interface RecordStoreUnderTest extends Pick<StoreUnderTest, 'store' | 'advance'> {
  readonly records: RecordStore
  /** The same state as another host sees it. */
  readonly otherRecords: RecordStore
}

const WINDOW = 1000
/** Longer, as a change of a record takes several round trips, and all suites run beside others. */
const RECORD_WINDOW = 2000
const HOUR = 3_600_000
const DAY = 24 * HOUR
const HOLDER = '1234567890123456'
const OTHER_HOLDER = '5503599627370495'

/** Defines the suite; `tolerance` is what the store's clock may advance by itself, in milliseconds. */
export function describeStore(
  name: string,
  tolerance: number,
  open: (t: TestContext) => Promise<StoreUnderTest>,
): void {
  const assertAge = assertAgeWithin(tolerance)

  /** Finds the entry, and adds one if there is none, as an attempt does. */
  const visit = async (store: Store, key: string, window: number) => {
    const [found] = await store.find([key])
    return found ? { ...found, added: false } : { passed: false, age: 0, added: await store.add(key, window) }
  }
  const look = async (store: Store) => (await store.find(['a']))[0]

  // The tests run concurrently, as they mostly wait for the store's own clock.
  describe(`${name} keeps the promises of a store:`, { concurrency: true }, () => {
    test('a key is added once, as pending, and then found with its age', async (t) => {
      const { store, advance } = await open(t)
      assert.deepEqual(await visit(store, 'a', DAY), { passed: false, age: 0, added: true })
      await advance(300)
      const { age, ...found } = await visit(store, 'a', DAY)
      assert.deepEqual(found, { passed: false, added: false })
      assertAge(age, 300)
    })

    test('finding a pending key again does not restart its clock', async (t) => {
      const { store, advance } = await open(t)
      await visit(store, 'a', DAY)
      await advance(200)
      await visit(store, 'a', DAY)
      await advance(200)
      assertAge((await visit(store, 'a', DAY)).age, 400)
    })

    test('a pending key is gone after its window, and starts over', async (t) => {
      const { store, advance } = await open(t)
      await visit(store, 'a', WINDOW)
      await advance(WINDOW + 100)
      assert.equal(await look(store), undefined)
      assert.equal((await visit(store, 'a', WINDOW)).added, true)
    })

    test('a window set before a change of settings stays what it was', async (t) => {
      const { store, advance } = await open(t)
      await visit(store, 'a', DAY)
      await advance(300)
      assertAge((await visit(store, 'a', 2 * DAY)).age, 300)
      assertAge((await visit(store, 'a', DAY / 2)).age, 300)
    })

    test('a passed key has passed, its age counted from the pass', async (t) => {
      const { store, advance } = await open(t)
      await visit(store, 'a', DAY)
      await advance(200)
      await store.pass('a', DAY)
      await advance(300)
      const { age, ...found } = await visit(store, 'a', DAY)
      assert.deepEqual(found, { passed: true, added: false })
      assertAge(age, 300)
    })

    test('a pass ends with its lifetime, and each pass begins a new one', async (t) => {
      const { store, advance } = await open(t)
      await store.pass('a', WINDOW)
      await advance(WINDOW * 0.6)
      await store.pass('a', WINDOW)
      await advance(WINDOW * 0.6)
      assert.equal((await look(store))?.passed, true)
      await advance(WINDOW * 0.6)
      assert.equal(await look(store), undefined)
      assert.equal((await visit(store, 'a', DAY)).added, true)
    })

    test('a look finds entries and counts at once, and leaves out no more than ages', async (t) => {
      const { store, other, advance } = await open(t)
      await store.pass('p', DAY)
      await store.add('w', DAY)
      await store.count('n', DAY, 3)
      await advance(300)
      for (const asked of [store, other]) {
        const { entries, counts } = await lookIn(asked, ['none', 'p', 'w'], ['n', 'none'])
        assert.deepEqual(counts, { answers: [3, 0], away: new Set() })
        const [none, pass, wait] = entries.answers
        assert.deepEqual([none, pass?.passed, wait?.passed, entries.away.size], [undefined, true, false, 0])
        assert.ok((pass?.age ?? 0) >= 300 && (pass?.age ?? DAY + 1) <= DAY)
        if (wait?.age !== undefined) assertAge(wait.age, 300)
      }
    })

    test('several writes at once do what each does by itself, and tell what came of each', async (t) => {
      const { store, other } = await open(t)
      await store.add('known', DAY)
      const written = await writeTo(store, [
        { kind: 'add', key: 'new', retryWindow: DAY, age: HOUR },
        { kind: 'add', key: 'known', retryWindow: DAY },
        { kind: 'pass', key: 'p', lifetime: DAY },
        { kind: 'count', key: 'n', window: DAY },
        { kind: 'count', key: 'n', window: DAY, by: 4 },
      ])
      assert.deepEqual(written, [true, false, undefined, 1, 5])
      const [added, pass] = await other.find(['new', 'p'])
      assertAge(added?.age, HOUR)
      assert.equal(pass?.passed, true)
      assert.deepEqual(await other.counts(['n']), [5])
      assert.deepEqual(await writeTo(store, []), [])
    })

    test('looking and forgetting', async (t) => {
      const { store } = await open(t)
      assert.equal(await look(store), undefined)
      await visit(store, 'a', DAY)
      assert.equal((await look(store))?.passed, false)
      await store.forget('a')
      await store.forget('a')
      assert.equal(await look(store), undefined)
    })

    test('of many attempts at once, through two frontends, exactly one adds', async (t) => {
      const { store, other } = await open(t)
      for (const key of ['a', 'b', 'c']) {
        const all = await Promise.all(
          Array.from({ length: 50 }, (_, index) => (index % 2 ? store : other).add(key, DAY)),
        )
        assert.equal(all.filter(Boolean).length, 1, key)
        const [found] = await other.find([key])
        assert.equal(found?.passed, false)
        assertAge(found?.age, 0)
      }
    })

    test('what one frontend passed, the other finds passed', async (t) => {
      const { store, other } = await open(t)
      await visit(store, 'a', DAY)
      await store.pass('a', DAY)
      assert.equal((await visit(other, 'a', DAY)).passed, true)
    })

    test('several keys are looked at together, in their order', async (t) => {
      const { store, advance } = await open(t)
      assert.deepEqual(await store.find(['a', 'b']), [undefined, undefined])
      await visit(store, 'b', DAY)
      await store.pass('c', DAY)
      await advance(300)
      const [first, second, third] = await store.find(['a', 'b', 'c'])
      assert.deepEqual([first, second?.passed, third?.passed], [undefined, false, true])
      assertAge(second?.age, 300)
      assertAge(third?.age, 300)
    })

    test('a key can be added with an age, which counts against its window', async (t) => {
      const { store, advance } = await open(t)
      assert.equal(await store.add('a', WINDOW, 600), true)
      assertAge((await look(store))?.age, 600)
      await advance(200)
      assert.equal(await store.add('a', WINDOW, 100), false)
      assertAge((await look(store))?.age, 800)
      await advance(300)
      assert.equal(await look(store), undefined)
    })

    test('a key can be added with a holder, which is found with it until it passes', async (t) => {
      const { store, other, advance, isFallback } = await open(t)
      const kept = isFallback ? {} : { holder: HOLDER }
      // The text of a TTL that is 1 to 99 of a unit differs from that of any other.
      for (const [key, ttl] of [
        ['a', 20 * HOUR],
        ['b', DAY + 1],
        ['c', 300 * DAY],
        ['d', 99_000],
      ] as const) {
        assert.equal(await store.add(key, ttl, 0, HOLDER), !isFallback, key)
        assert.equal(await other.add(key, ttl, 0, OTHER_HOLDER), false)
        await advance(100)
        const [found] = await other.find([key])
        assertAge(found?.age, 100)
        assert.deepEqual(found, { passed: false, age: found?.age, ...kept })
        await store.pass(key, DAY)
        const [passed] = await other.find([key])
        assert.deepEqual(passed, { passed: true, age: passed?.age })
        await store.forget(key)
        assert.deepEqual(await other.find([key]), [undefined])
      }
      await store.add('e', WINDOW, 600, HOLDER)
      assertAge((await store.find(['e']))[0]?.age, 600)
      await advance(500)
      assert.deepEqual(await other.find(['e']), [undefined])
    })

    test('of many holders at once, through two frontends, exactly one is kept, and told so', async (t) => {
      const { store, other, isFallback } = await open(t)
      const holders = Array.from({ length: 50 }, (_, index) => `${1_000_000_000_000_000 + index}`)
      const all = await Promise.all(
        holders.map((holder, index) => (index % 2 ? store : other).add('a', DAY, 0, holder)),
      )
      const told = holders.filter((_, index) => all[index])
      const [found] = await other.find(['a'])
      assert.deepEqual(told, isFallback ? [] : [found?.holder])
    })

    test('a count goes up by one, whoever counts, and ends a window after its first', async (t) => {
      const { store, other, advance } = await open(t)
      const sums = await Promise.all(
        Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).count('a', WINDOW)),
      )
      assert.deepEqual(
        sums.toSorted((a, b) => a - b),
        Array.from({ length: 20 }, (_, index) => index + 1),
      )
      await advance(WINDOW * 0.6)
      assert.equal(await other.count('a', WINDOW), 21)
      assert.equal(await store.count('b', WINDOW), 1)
      await advance(WINDOW * 0.6)
      assert.equal(await store.count('a', WINDOW), 1)
      await store.forget('a')
      assert.equal(await store.count('a', WINDOW), 1)
    })

    test('counts are read together, and go up by what is given', async (t) => {
      const { store, other, advance } = await open(t)
      await store.count('a', WINDOW, 1_000_000)
      await Promise.all([store.count('a', WINDOW), other.count('a', WINDOW, 2)])
      await other.count('c', DAY)
      assert.deepEqual(await store.counts(['a', 'b', 'c', 'a']), [1_000_003, 0, 1, 1_000_003])
      await advance(WINDOW + 100)
      assert.deepEqual(await other.counts(['a', 'c']), [0, 1])
      await store.forget('c')
      assert.deepEqual(await other.counts(['c']), [0])
    })

    test('keys are told apart to the last character, whatever they consist of', async (t) => {
      const { store } = await open(t)
      const keys = [
        't:a|b',
        't:a|b ',
        't:a|B',
        't:a\\u007cb',
        `t:${'x'.repeat(590)}1`,
        `t:${'x'.repeat(590)}2`,
        't:ю|я',
        't:*',
      ]
      for (const key of keys) assert.equal((await visit(store, key, DAY)).added, true, key)
      for (const key of keys) assert.equal((await visit(store, key, DAY)).added, false, key)
    })

    test('it can be asked whether it is there, and closed', async (t) => {
      const { store } = await open(t)
      await store.check()
      await store.close()
    })
  })
}

/** Defines the suite of `describeStore`, and the promises of a store that merges what others have learnt. */
export function describeSharedStore(
  name: string,
  tolerance: number,
  open: (t: TestContext) => Promise<SharedStoreUnderTest>,
): void {
  const assertAge = assertAgeWithin(tolerance)
  describeStore(name, tolerance, open)

  describe(`${name} keeps the promises of a shared store:`, () => {
    test('what was learnt elsewhere is taken in: the earlier first sight, the later pass', async (t) => {
      const DAYS = { passed: false, ttl: 2 * DAY }
      const MONTH = { passed: true, ttl: 36 * DAY }
      const young = { ...DAYS, left: 2 * DAY - 1000 }
      const old = { ...DAYS, left: 2 * DAY - 5000 }
      const wider = { passed: false, ttl: 3 * DAY, left: 3 * DAY - 5000 }
      const used = { ...MONTH, left: 36 * DAY - 3000 }
      const unused = { ...MONTH, left: 36 * DAY - 9000 }
      const { store, other } = await open(t)
      const cases = [
        ['nothing, pending', [young], false, 1000],
        ['nothing, passed', [used], true, 3000],
        ['pending, pending longer', [young, old], false, 5000],
        ['pending, pending shorter', [old, young], false, 5000],
        ['pending, pending longer with another window', [young, wider], false, 5000],
        ['pending, passed', [old, used], true, 3000],
        ['passed, pending', [used, old], true, 3000],
        ['passed, passed later', [unused, used], true, 3000],
        ['passed, passed before', [used, unused], true, 3000],
        ['the same twice', [young, young], false, 1000],
      ] as const
      for (const [name, learnt, passed, age] of cases) {
        for (const each of learnt) await store.merge(name, each)
        const [found] = await other.find([name])
        assert.equal(found?.passed, passed, name)
        assertAge(found?.age, age)
      }
    })

    test('an entry with a holder keeps its own wait, and gives way to a pass', async (t) => {
      const { store, other } = await open(t)
      const ttl = 2 * DAY
      for (const key of ['a', 'b']) {
        await store.add(key, key === 'a' ? ttl : ttl + 1, 0, HOLDER)
        await other.merge(key, { passed: false, ttl, left: ttl - 5000 })
        const [found] = await store.find([key])
        assert.equal(found?.holder, HOLDER)
        assertAge(found?.age, 0)
        await other.merge(key, { passed: true, ttl: DAY, left: DAY - 5000 })
        const [passed] = await store.find([key])
        assert.deepEqual(passed, { passed: true, age: passed?.age })
        assertAge(passed?.age, 5000)
      }
    })

    test('a holder is taken in with its wait, and of two holders the one that is there remains', async (t) => {
      const { store, other } = await open(t)
      const ttl = 2 * DAY
      const held = { passed: false, ttl, left: ttl - 3000, holder: HOLDER }
      for (const [key, there] of [
        ['nothing', undefined],
        ['the same holder', HOLDER],
      ] as const) {
        if (there) await store.add(key, ttl, 0, there)
        await other.merge(key, held)
        const [found] = await store.find([key])
        assert.equal(found?.holder, HOLDER, key)
        assertAge(found?.age, 3000)
      }
      await store.add('another', ttl, 0, OTHER_HOLDER)
      await store.add('none', ttl)
      for (const [key, there] of [
        ['another', OTHER_HOLDER],
        ['none', undefined],
      ] as const) {
        await other.merge(key, held)
        const [found] = await store.find([key])
        assert.equal(found?.holder, there, key)
        assertAge(found?.age, 0)
      }
    })

    test('what was taken in ends when it should', async (t) => {
      const { store, advance } = await open(t)
      await store.merge('a', { passed: true, ttl: DAY, left: WINDOW / 2 })
      await store.merge('b', { passed: false, ttl: WINDOW, left: WINDOW / 2 })
      await store.add('c', WINDOW)
      await store.merge('c', { passed: false, ttl: WINDOW, left: WINDOW / 2 })
      assert.equal((await store.find(['a', 'b', 'c'])).filter(Boolean).length, 3)
      await advance(WINDOW / 2 + 100)
      assert.deepEqual(await store.find(['a', 'b', 'c']), [undefined, undefined, undefined])
    })

    test('counts add up, and end when the first of them would', async (t) => {
      const { store, other, advance } = await open(t)
      await store.count('a', WINDOW)
      await Promise.all([
        store.merge('a', { counted: 2, left: DAY }),
        other.merge('a', { counted: 3, left: DAY }),
      ])
      await store.merge('b', { counted: 4, left: WINDOW })
      assert.deepEqual(await other.counts(['a', 'b']), [6, 4])
      assert.equal(await store.count('a', WINDOW), 7)
      assert.equal(await store.count('b', DAY), 5)
      await advance(WINDOW + 100)
      assert.equal(await store.count('a', WINDOW), 1)
      assert.equal(await store.count('b', WINDOW), 1)
    })

    test('of counts that were seen elsewhere, the larger one remains, however often it is taken in', async (t) => {
      const { store, other, advance } = await open(t)
      await store.count('fewer', WINDOW, 2)
      await store.count('more', WINDOW, 9)
      for (const each of [store, other, store]) {
        for (const key of ['fewer', 'more', 'none']) await each.merge(key, { seen: 5, left: DAY })
        await each.merge('none', { seen: 3, left: DAY })
        await each.merge('ends', { seen: 4, left: WINDOW })
      }
      assert.deepEqual(await other.counts(['fewer', 'more', 'none', 'ends']), [5, 9, 5, 4])
      await advance(WINDOW + 100)
      assert.deepEqual(await other.counts(['fewer', 'more', 'none', 'ends']), [0, 0, 5, 0])
    })

    test('of what is taken in while a key passes, the pass remains', async (t) => {
      const { store, other } = await open(t)
      const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`)
      await Promise.all(
        keys.flatMap((key) => [
          other.add(key, DAY),
          store.merge(key, { passed: false, ttl: DAY, left: DAY / 2 }),
          other.pass(key, DAY),
          store.merge(key, { passed: false, ttl: DAY, left: DAY / 2 }),
        ]),
      )
      assert.ok((await store.find(keys)).every((entry) => entry?.passed))
    })
  })
}

/** Defines the promises of a store whose clock is the date of a machine, which may be set back. */
export function describeSetBackStore(
  name: string,
  tolerance: number,
  open: (t: TestContext) => Promise<SetBackStoreUnderTest>,
): void {
  const assertAge = assertAgeWithin(tolerance)
  const look = async (store: Store) => (await store.find(['a']))[0]
  /** A window that is still open after the clock was set back, even on a busy machine. */
  const LONG_WINDOW = 3 * WINDOW

  describe(`${name} believes no date, when its clock is set back:`, { concurrency: true }, () => {
    test('who waits, waits the delay once from then on, and not for the difference', async (t) => {
      const { store, other, advance, setBack } = await open(t)
      await store.add('a', 2 * DAY)
      await advance(300)
      await setBack(DAY, ['a'])
      const found = await look(store)
      assert.equal(found?.passed, false)
      assertAge(found?.age, 0)
      await advance(300)
      assertAge((await look(other))?.age, 300)
      await advance(300)
      assertAge((await look(store))?.age, 600)
    })

    test('a holder has waited for nothing, and is found all the same', async (t) => {
      const { store, other, advance, setBack } = await open(t)
      await store.add('a', 2 * DAY, 0, HOLDER)
      await store.add('b', 2 * DAY + 1, 0, HOLDER)
      await advance(300)
      await setBack(DAY, ['a', 'b'])
      await store.merge('b', { passed: false, ttl: 2 * DAY, left: DAY })
      for (const key of ['a', 'b']) {
        const [found] = await other.find([key])
        assert.equal(found?.holder, HOLDER)
        assertAge(found?.age, 0)
      }
    })

    test('a pass stays one, for its lifetime from then on', async (t) => {
      const { store, advance, setBack } = await open(t)
      await store.pass('a', LONG_WINDOW)
      await setBack(DAY, ['a'])
      const found = await look(store)
      assert.equal(found?.passed, true)
      assertAge(found?.age, 0)
      await advance(LONG_WINDOW + 100)
      assert.equal(await look(store), undefined)
    })

    test('what is added again without being looked at ends a window later', async (t) => {
      const { store, advance, setBack } = await open(t)
      await store.add('a', LONG_WINDOW)
      await setBack(DAY, ['a'])
      assert.equal(await store.add('a', LONG_WINDOW), false)
      await advance(LONG_WINDOW + 100)
      assert.equal(await store.add('a', LONG_WINDOW), true)
    })

    test('a count goes on, and ends a window later', async (t) => {
      const { store, advance, setBack } = await open(t)
      await store.count('a', LONG_WINDOW)
      await store.count('b', LONG_WINDOW)
      await setBack(DAY, ['a', 'b'])
      assert.equal(await store.count('a', LONG_WINDOW), 2)
      await store.merge('b', { counted: 2, left: LONG_WINDOW })
      await advance(LONG_WINDOW + 100)
      assert.equal(await store.count('a', LONG_WINDOW), 1)
      assert.equal(await store.count('b', LONG_WINDOW), 1)
    })

    test('what was learnt elsewhere is taken in, and nothing of it is older or later than now', async (t) => {
      const { store, advance, setBack } = await open(t)
      const ttl = LONG_WINDOW
      for (const key of ['a', 'b', 'd']) await store.add(key, ttl)
      await store.pass('c', ttl)
      await setBack(DAY, ['a', 'b', 'c', 'd'])
      await store.merge('a', { passed: false, ttl, left: ttl - 500 })
      await store.merge('b', { passed: false, ttl, left: ttl + DAY })
      await store.merge('c', { passed: true, ttl, left: ttl - 500 })
      await store.merge('d', { passed: true, ttl, left: ttl + DAY })
      await store.merge('e', { passed: false, ttl, left: ttl + DAY })
      const found = await store.find(['a', 'b', 'c', 'd', 'e'])
      assert.deepEqual(
        found.map((entry) => entry?.passed),
        [false, false, true, true, false],
      )
      for (const [index, age] of [500, 0, 0, 0, 0].entries()) assertAge(found[index]?.age, age)
      await advance(LONG_WINDOW + 100)
      assert.ok((await store.find(['a', 'b', 'c', 'd', 'e'])).every((entry) => entry === undefined))
    })

    test('a clock that is set back by less than has gone by changes nothing but the age', async (t) => {
      const { store, advance, setBack } = await open(t)
      await store.add('a', DAY, 100_000)
      await setBack(40_000, ['a'])
      const { age = 0 } = (await look(store)) ?? {}
      assert.ok(age >= 60_000 - 2 && age < 80_000, `age ${age}`)
      await advance(200)
      assert.ok(((await look(store))?.age ?? 0) >= age + 200 - 2)
    })

    test('whoever passes meanwhile, through another frontend, has passed for the whole lifetime', async (t) => {
      const { store, other, setBack } = await open(t)
      const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
      await Promise.all(keys.map((key) => store.add(key, 2 * DAY)))
      await setBack(DAY, keys)
      await Promise.all(
        keys.flatMap((key) => [store.find([key]), other.pass(key, 36 * DAY), store.find([key])]),
      )
      for (const found of await store.find(keys)) {
        assert.equal(found?.passed, true)
        assertAge(found?.age, 0)
      }
    })
  })
}

/** Defines the promises of a store that keeps records; `tolerance` as for `describeStore`. */
export function describeRecordStore(
  name: string,
  tolerance: number,
  open: (t: TestContext) => Promise<RecordStoreUnderTest>,
): void {
  const assertAge = assertAgeWithin(tolerance)
  const { signal } = new AbortController()
  const read = async (records: RecordStore, record: string) =>
    Object.fromEntries(await records.readRecord(record))
  const change = (records: RecordStore, record: string, changes: object, lifetime?: number) =>
    records.changeRecord(record, new Map<string, string | undefined>(Object.entries(changes)), lifetime)
  const add = (records: RecordStore, record: string, by: object, lifetime = DAY) =>
    records.addToRecord(record, new Map<string, number>(Object.entries(by)), lifetime)
  const scan = async (records: RecordStore) => {
    const found = new Map<string, KeptKey>()
    for await (const batch of records.scanKeys(signal)) for (const kept of batch) found.set(kept.key, kept)
    return found
  }

  describe(`${name} keeps the promises of a store of records:`, { concurrency: true }, () => {
    test('fields are set, set again and removed, whoever asks', async (t) => {
      const { records, otherRecords } = await open(t)
      assert.deepEqual(await read(records, 'rules'), {})
      await change(records, 'rules', { a: '1', b: '2', c: '' })
      assert.deepEqual(await read(otherRecords, 'rules'), { a: '1', b: '2', c: '' })
      await change(otherRecords, 'rules', { a: 'one', b: undefined, d: '4', absent: undefined })
      assert.deepEqual(await read(records, 'rules'), { a: 'one', c: '', d: '4' })
      await change(records, 'rules', { a: undefined, c: undefined, d: undefined })
      assert.deepEqual(await read(records, 'rules'), {})
      await change(records, 'rules', {})
      assert.deepEqual(await read(records, 'rules'), {})
    })

    test('records are told apart to the last character, whatever their names and fields consist of', async (t) => {
      const { records } = await open(t)
      const names = ['a', 'a:', 'a:b', 'a;', '1:a', 'A', '{a}', 'ю', '*', 'a b', 'x'.repeat(900)]
      for (const record of names) await change(records, record, { a: record, 'a:b': '', [record]: 'it' })
      for (const record of names) {
        const expected = { 'a:b': '', ...(record === 'a:b' ? {} : { a: record }), [record]: 'it' }
        assert.deepEqual(await read(records, record), { a: record, ...expected }, record)
      }
      await change(records, 'text', { field: '1:pending:5\nü\u0000 "' })
      assert.deepEqual(await read(records, 'text'), { field: '1:pending:5\nü\u0000 "' })
    })

    test('what no store can keep is refused, and says why', async (t) => {
      const { records } = await open(t)
      for (const wrong of ['', 'a\nb', 'x'.repeat(1801), 'ü'.repeat(901)]) {
        const refusal =
          /^Cannot use ".* as (name of a record|field of the record "a"): expected 1 to 1800 bytes/
        await assert.rejects(records.readRecord(wrong), { message: refusal })
        await assert.rejects(records.revisionOf(wrong), { message: refusal })
        await assert.rejects(change(records, wrong, { a: '1' }), { message: refusal })
        await assert.rejects(change(records, 'a', { b: '1', [wrong]: '1' }), { message: refusal })
        await assert.rejects(add(records, 'a', { b: 1, [wrong]: 1 }), { message: refusal })
      }
      await assert.rejects(
        change(records, 'a', { b: 'x'.repeat(65_537) }),
        /expected 65536 characters at most/,
      )
      await assert.rejects(add(records, 'a', { b: 1.5 }), /^Error: Cannot add 1.5 to "b".*whole number/)
      assert.deepEqual(await read(records, 'a'), {})
      assert.equal(await records.revisionOf('a'), '')
    })

    test('each change gives a revision that was not there before, also where nothing differs', async (t) => {
      const { records, otherRecords, advance } = await open(t)
      const seen = new Set([await records.revisionOf('rules')])
      assert.deepEqual([...seen], [''])
      for (let time = 0; time < 5; time += 1) {
        await change(time % 2 ? records : otherRecords, 'rules', time === 4 ? { a: undefined } : { a: '1' })
        const revision = await records.revisionOf('rules')
        assert.equal(await otherRecords.revisionOf('rules'), revision)
        assert.ok(!seen.has(revision))
        seen.add(revision)
        await add(records, 'rules', { count: 1 }, RECORD_WINDOW)
        assert.equal(await records.revisionOf('rules'), revision)
      }
      await advance(RECORD_WINDOW + 100)
      assert.equal(await records.revisionOf('rules'), '')
      await change(records, 'rules', { a: '1' })
      assert.ok(!seen.has(await otherRecords.revisionOf('rules')))
    })

    test('a record expires as a whole, a lifetime after its last change', async (t) => {
      const { records, otherRecords, advance } = await open(t)
      await change(records, 'a', { first: '1' }, RECORD_WINDOW)
      await advance(RECORD_WINDOW * 0.6)
      await change(otherRecords, 'a', { second: '2' }, RECORD_WINDOW)
      await advance(RECORD_WINDOW * 0.6)
      assert.deepEqual(await read(records, 'a'), { first: '1', second: '2' })
      await advance(RECORD_WINDOW * 0.6)
      assert.deepEqual(await read(records, 'a'), {})
      await change(records, 'a', { third: '3' })
      assert.deepEqual(await read(records, 'a'), { third: '3' })
    })

    test('without a lifetime a record is kept, also one that had a lifetime', async (t) => {
      const { records, advance } = await open(t)
      await change(records, 'a', { first: '1' }, RECORD_WINDOW)
      await change(records, 'a', { second: '2' })
      await change(records, 'b', { first: '1' })
      await change(records, 'b', { second: '2' }, RECORD_WINDOW)
      await advance(RECORD_WINDOW + 200)
      assert.deepEqual(await read(records, 'a'), { first: '1', second: '2' })
      assert.deepEqual(await read(records, 'b'), {})
    })

    test('numbers add up, whoever adds, and are kept for a lifetime after the last time', async (t) => {
      const { records, otherRecords, advance } = await open(t)
      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          add(
            index % 2 ? records : otherRecords,
            'sums',
            { a: 1, b: 1000, [`c${index % 5}`]: -2 },
            RECORD_WINDOW,
          ),
        ),
      )
      const sums = { a: '50', b: '50000', c0: '-20', c1: '-20', c2: '-20', c3: '-20', c4: '-20' }
      assert.deepEqual(await read(records, 'sums'), sums)
      assert.equal(await records.revisionOf('sums'), '')
      await advance(RECORD_WINDOW * 0.6)
      await add(records, 'sums', { a: 1_000_000_000_000 }, RECORD_WINDOW)
      await advance(RECORD_WINDOW * 0.6)
      assert.deepEqual(await read(otherRecords, 'sums'), { ...sums, a: '1000000000050' })
      await advance(RECORD_WINDOW * 0.6)
      assert.deepEqual(await read(otherRecords, 'sums'), {})
      await add(records, 'sums', { a: 1 }, RECORD_WINDOW)
      assert.deepEqual(await read(records, 'sums'), { a: '1' })
    })

    test('nothing is added to what is no number, and that is said', async (t) => {
      const { records } = await open(t)
      await change(records, 'a', { text: 'some text', count: '3' })
      await assert.rejects(add(records, 'a', { text: 1 }), /record "a".*whole number/)
      assert.deepEqual(await read(records, 'a'), { text: 'some text', count: '3' })
      await add(records, 'a', { count: 1 })
      assert.equal((await read(records, 'a')).count, '4')
    })

    test('all keys of mail are scanned, with what is under them now, and records are not', async (t) => {
      const { store, records, advance } = await open(t)
      const empty = await scan(records)
      assert.deepEqual(empty, new Map())
      const begun = performance.now()
      await store.add('t:ended', RECORD_WINDOW / 2)
      await store.add('t:pending', DAY)
      await store.add('t:aged', DAY, 5000)
      await store.add('f:held', 20 * HOUR, 0, HOLDER)
      await store.pass('w:passed', DAY)
      await store.count('o:count', DAY, 1_000_000)
      await store.add('t:ю|*?[x]\\', DAY)
      await change(records, 'rules', { a: '1' })
      await add(records, 'sums', { a: 1 })
      await advance(RECORD_WINDOW * 0.6)
      const found = await scan(records)
      // Writes take their time, and a scan opens connections of its own.
      const late = Math.max(0, performance.now() - begun - RECORD_WINDOW * 0.6)
      const keys = ['f:held', 'o:count', 't:aged', 't:pending', 't:ю|*?[x]\\', 'w:passed']
      assert.deepEqual([...found.keys()].sort(), keys)
      assert.equal(found.get('o:count')?.value, 1_000_000)
      const entry = (key: string) => found.get(key)?.value as Entry
      for (const [key, ttl] of [
        ['f:held', 20 * HOUR],
        ['t:aged', DAY],
        ['t:pending', DAY],
        ['w:passed', DAY],
      ] as const)
        assert.equal(Math.round(entry(key).age + (found.get(key)?.left ?? 0)), ttl, key)
      assertAge(DAY - (found.get('o:count')?.left ?? 0), RECORD_WINDOW * 0.6, late)
      assertAge(entry('t:aged').age, 5000 + RECORD_WINDOW * 0.6, late)
      assertAge(entry('t:pending').age, RECORD_WINDOW * 0.6, late)
      assertAge(entry('w:passed').age, RECORD_WINDOW * 0.6, late)
      assert.deepEqual([entry('t:pending').passed, entry('w:passed').passed], [false, true])
      assert.deepEqual([entry('f:held').holder, entry('t:pending').holder], [HOLDER, undefined])
      await store.forget('t:aged')
      assert.ok(!(await scan(records)).has('t:aged'))
    })

    test('the clock of the store is that of this machine', async (t) => {
      const { records } = await open(t)
      const offset = await records.clockOffset()
      assert.ok(Math.abs(offset) < 500, `${offset}`)
    })
  })

  // One after the other, as they keep this process busy.
  describe(`${name} keeps the promises for much at once:`, () => {
    test('a change is seen as a whole or not at all, also one of a record of many fields', async (t) => {
      const { records, otherRecords } = await open(t)
      for (const size of [3, 5000]) {
        const changeTo = (text: string) => {
          const fields = Array.from({ length: size }, (_, index) => [
            `${text === '0' ? 'x' : 'y'}${index}`,
            text,
          ])
          const gone = Array.from({ length: size }, (_, index) => [
            `${text === '0' ? 'y' : 'x'}${index}`,
            undefined,
          ])
          return change(records, `size ${size}`, Object.fromEntries([...fields, ...gone]))
        }
        await changeTo('0')
        let isChanging = true
        const reads = (async () => {
          let number = 0
          for (; isChanging; number += 1) {
            const found = await otherRecords.readRecord(`size ${size}`)
            assert.equal(found.size, size)
            assert.equal(new Set(found.values()).size, 1)
          }
          return number
        })()
        for (let time = 1; time < 20; time += 1) await changeTo(String(time % 2))
        isChanging = false
        assert.ok((await reads) > 0)
      }
    })

    test('a record larger than any that greymx keeps is refused', async (t) => {
      const { records } = await open(t)
      const text = 'x'.repeat(65_000)
      for (let part = 0; part < 4; part += 1) {
        const fields = Array.from({ length: 64 }, (_, index) => [`${part} ${index}`, text])
        await change(records, 'large', Object.fromEntries(fields))
      }
      assert.equal((await records.readRecord('large')).size, 256)
      await change(records, 'large', { a: text, b: text, c: text })
      await assert.rejects(
        records.readRecord('large'),
        /Cannot read the record "large": expected 16777216 characters at most/,
      )
      await change(records, 'large', { a: undefined, b: undefined, c: undefined })
      assert.equal((await records.readRecord('large')).size, 256)
    })

    test('many keys come in batches, and the caller may leave, or abort, in the middle', async (t) => {
      const { store, records } = await open(t)
      const keys = Array.from({ length: 6000 }, (_, index) => `${index % 3 ? 't' : 'q'}:${index}`)
      for (let from = 0; from < keys.length; from += 500)
        await Promise.all(keys.slice(from, from + 500).map((key) => store.add(key, DAY)))
      const sizes: number[] = []
      const found = new Set<string>()
      for await (const batch of records.scanKeys(signal)) {
        sizes.push(batch.length)
        for (const { key } of batch) found.add(key)
      }
      assert.deepEqual([...found].sort(), keys.toSorted())
      assert.ok(Math.max(...sizes) <= 2000, `${sizes}`)
      const wanted: string[] = []
      for await (const batch of records.scanKeys(signal, (key) => key.startsWith('q:')))
        wanted.push(...batch.map(({ key }) => key))
      assert.deepEqual(wanted.sort(), keys.filter((key) => key.startsWith('q:')).sort())
      for await (const batch of records.scanKeys(signal)) {
        assert.ok(batch.length > 0)
        break
      }
      const end = new AbortController()
      let batches = 0
      const aborted = async () => {
        for await (const _ of records.scanKeys(end.signal)) {
          batches += 1
          end.abort()
        }
      }
      await assert.rejects(aborted(), { name: 'AbortError' })
      assert.equal(batches, 1)
      await assert.rejects(aborted(), { name: 'AbortError' })
      assert.equal(batches, 1)
    })
  })
}

function assertAgeWithin(tolerance: number) {
  return (age: number | undefined, expected: number, more = 0) => {
    assert.ok(
      age !== undefined && age >= expected - 2 && age <= expected + tolerance + more,
      `age ${age}, expected ${expected}`,
    )
  }
}
