// The conformance suite that every store runs: the promises of src/store/store.ts. Windows are short, as the tests have
// to wait for stores with a clock of their own; they move the clocks of the others.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { SharedStore, Store } from '../../src/store/store.ts'

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

const WINDOW = 1000
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

function assertAgeWithin(tolerance: number) {
  return (age: number | undefined, expected: number) => {
    assert.ok(
      age !== undefined && age >= expected - 2 && age <= expected + tolerance,
      `age ${age}, expected ${expected}`,
    )
  }
}
