// Tests of the decision with a store and a clock that the test moves: John Rudd's steps, their boundaries, and random
// histories against a model that knows only the promises.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Decision, decide, isExtensionDue, strongest, type Times } from '../../src/greylist/decide.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const TIMES: Times = { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY }

/** One triplet over time. */
function startLife(times = TIMES) {
  let now = 0
  const settings = { ...times }
  const store = new MemoryStore(() => now)
  return {
    /** The times, which the test may change, as a reload does. */
    settings,
    wait(milliseconds: number) {
      now += milliseconds
    },
    async attempt(): Promise<Decision> {
      const entry = strongest(await store.find(['key']))
      if (entry.added) await store.add('key', settings.retryWindow)
      const decision = decide(entry, settings)
      if (decision.verdict === 'pass' && decision.keep) await store.pass('key', settings.lifetime)
      return decision
    },
  }
}

const NEW = { verdict: 'tempfail', reason: 'new', waited: 0, retryIn: TIMES.delay }

test('step 1a: a triplet that was never seen is deferred, for the whole delay', async () => {
  const life = startLife()
  assert.deepEqual(await life.attempt(), NEW)
})

test('step 1b: a retry before the delay is deferred, and the clock is not restarted', async () => {
  const life = startLife()
  await life.attempt()
  for (const minutes of [1, 2, 3]) {
    life.wait(MINUTE)
    assert.deepEqual(await life.attempt(), {
      verdict: 'tempfail',
      reason: 'early',
      waited: minutes * MINUTE,
      retryIn: (4 - minutes) * MINUTE,
    })
  }
  life.wait(MINUTE)
  assert.deepEqual(await life.attempt(), { verdict: 'pass', reason: 'retry', waited: 4 * MINUTE, keep: true })
})

test('step 1c: a retry after the retry window is a first attempt again', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(2 * DAY)
  assert.deepEqual(await life.attempt(), NEW)
  life.wait(3 * MINUTE)
  assert.equal((await life.attempt()).waited, 3 * MINUTE)
})

test('step 1d: a retry between delay and retry window passes, and so does all that follows', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(HOUR)
  assert.deepEqual(await life.attempt(), { verdict: 'pass', reason: 'retry', waited: HOUR, keep: true })
  assert.deepEqual(await life.attempt(), { verdict: 'pass', reason: 'known', waited: 0, keep: false })
})

test('step 2: a pass lasts for the lifetime after its last use, and then all begins again', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(HOUR)
  await life.attempt()
  for (let use = 0; use < 5; use += 1) {
    life.wait(35 * DAY)
    assert.equal((await life.attempt()).reason, 'known')
  }
  life.wait(36 * DAY)
  assert.deepEqual(await life.attempt(), NEW)
})

for (const factor of [2, 3]) {
  test(`with ${factor}X for a retry window, a retry from X to just below ${factor}X passes`, async () => {
    const times = { ...TIMES, retryWindow: factor * TIMES.delay }
    const cases: Array<[wait: number, reason: string]> = [
      [times.delay - 1, 'early'],
      [times.delay, 'retry'],
      [factor * times.delay - 1, 'retry'],
      [factor * times.delay, 'new'],
    ]
    for (const [wait, reason] of cases) {
      const life = startLife(times)
      await life.attempt()
      life.wait(wait)
      assert.equal((await life.attempt()).reason, reason, `after ${wait} ms`)
    }
  })
}

test('decide() lets a retry pass right at the delay, and not a millisecond before', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(TIMES.delay - 1)
  assert.deepEqual(await life.attempt(), {
    verdict: 'tempfail',
    reason: 'early',
    waited: TIMES.delay - 1,
    retryIn: 1,
  })
  life.wait(1)
  assert.equal((await life.attempt()).reason, 'retry')
})

test('a second first attempt in the same millisecond is early, not new', async () => {
  const life = startLife()
  await life.attempt()
  assert.deepEqual(await life.attempt(), { ...NEW, reason: 'early' })
})

test('a delay that is changed holds at once, for those who wait already', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(5 * MINUTE)
  life.settings.delay = 10 * MINUTE
  assert.deepEqual(await life.attempt(), {
    verdict: 'tempfail',
    reason: 'early',
    waited: 5 * MINUTE,
    retryIn: 5 * MINUTE,
  })
  life.settings.delay = MINUTE
  assert.equal((await life.attempt()).reason, 'retry')
})

test('a retry window or lifetime that is changed rewrites no history', async () => {
  const life = startLife()
  await life.attempt()
  life.settings.retryWindow = 10 * MINUTE
  life.wait(DAY)
  assert.deepEqual(await life.attempt(), { verdict: 'pass', reason: 'retry', waited: DAY, keep: true })
  life.settings.lifetime = MINUTE
  life.wait(35 * DAY)
  assert.equal((await life.attempt()).reason, 'known')
  // The new lifetime counts from this use on.
  life.wait(MINUTE)
  assert.deepEqual(await life.attempt(), { ...NEW, retryIn: life.settings.delay })
})

test('a pass in constant use is written once an hour at most, and an unused one not at all', async () => {
  const life = startLife()
  await life.attempt()
  life.wait(HOUR)
  await life.attempt()
  let written = 0
  for (let second = 0; second < DAY / 1000; second += 10) {
    life.wait(10_000)
    const decision = await life.attempt()
    if (decision.verdict === 'pass' && decision.keep) written += 1
  }
  assert.equal(written, 24)
})

interface Step {
  readonly wait: number
  readonly settings?: Times
}

const ANY_TIMES: fc.Arbitrary<Times> = fc
  .tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 3000 }))
  .map(([delay, more, lifetime]) => ({ delay, retryWindow: delay + more, lifetime }))

const ANY_STEP: fc.Arbitrary<Step> = fc.record(
  {
    wait: fc.oneof(fc.nat(10), fc.nat(100), fc.nat(4000)),
    settings: ANY_TIMES,
  },
  { requiredKeys: ['wait'] },
)

// Property, for attempts at any times and settings that change between them: a pending triplet is judged by the current
// delay and by the window of its first attempt. A pass ends a lifetime after its last use, or sooner by at most a 64th
// of the current lifetime and an hour, as not every use is written. Nothing else passes.
test('random histories are judged as the promises say', async () => {
  await fc.assert(
    fc.asyncProperty(ANY_TIMES, fc.array(ANY_STEP, { maxLength: 40 }), async (times, steps) => {
      const life = startLife(times)
      let now = 0
      let pending: { firstAt: number; window: number } | undefined
      let passed: { usedAt: number; lifetime: number; slack: number } | undefined
      for (const { wait, settings } of steps) {
        Object.assign(life.settings, settings)
        life.wait(wait)
        now += wait
        const { delay, retryWindow, lifetime } = life.settings
        const decision = await life.attempt()
        const told = `${decision.reason} at ${now}`
        if (passed) {
          const unused = now - passed.usedAt
          if (unused >= passed.lifetime) assert.equal(decision.reason, 'new', told)
          else if (unused < passed.lifetime - passed.slack) assert.equal(decision.reason, 'known', told)
          if (decision.verdict === 'pass') {
            // If this use was not written, the lifetime of an earlier one still holds.
            passed = decision.keep
              ? { usedAt: now, lifetime, slack: 0 }
              : { ...passed, usedAt: now, slack: Math.max(passed.slack, Math.min(lifetime / 64, HOUR)) }
            continue
          }
          passed = undefined
        }
        if (pending && now - pending.firstAt >= pending.window) pending = undefined
        const waited: number = pending ? now - pending.firstAt : 0
        if (waited >= delay) {
          assert.deepEqual(decision, { verdict: 'pass', reason: 'retry', waited, keep: true }, told)
          passed = { usedAt: now, lifetime, slack: 0 }
          pending = undefined
        } else {
          const reason = pending ? 'early' : 'new'
          assert.deepEqual(decision, { verdict: 'tempfail', reason, waited, retryIn: delay - waited }, told)
          pending ??= { firstAt: now, window: retryWindow }
        }
      }
    }),
    { numRuns: 1000 },
  )
})

test('of several entries, a pass speaks most, and else the longest wait, in whatever order they are', () => {
  const [short, long] = [
    { passed: false, age: 1 },
    { passed: false, age: 5 },
  ]
  const [used, older] = [
    { passed: true, age: 2 },
    { passed: true, age: 9 },
  ]
  for (const entries of [
    [short, undefined, long],
    [long, short, undefined],
  ])
    assert.deepEqual(strongest(entries), { ...long, added: false })
  assert.deepEqual(strongest([long, used, short]), { ...used, added: false })
  // A pass that was extended long ago is due for another one.
  for (const entries of [
    [used, older],
    [older, used],
  ])
    assert.deepEqual(strongest(entries), { ...older, added: false })
  assert.deepEqual(strongest([undefined]), { passed: false, age: 0, added: true })
})

test('a pass in use is written again after a 64th of its lifetime, or after an hour where that is less', () => {
  for (const [lifetime, due] of [
    [64_000, 1000],
    [64 * HOUR, HOUR],
    [36 * DAY, HOUR],
  ] as const)
    assert.deepEqual([isExtensionDue(due - 1, lifetime), isExtensionDue(due, lifetime)], [false, true])
})
