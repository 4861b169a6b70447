// What the engine asks a judge, and what it makes of the verdicts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Attempt } from '../../src/attempt.ts'
import { type Fate, runWorld } from '../../src/simulate/engine.ts'
import type { Judge } from '../../src/simulate/judge.ts'
import { seedOf, unitAt } from '../../src/simulate/random.ts'
import { makeWorld, type World } from '../../src/simulate/world/world.ts'
import { sizeOf, worldData } from './world/support.ts'

const MINUTE = 60_000

/** A judge that is a function. */
function judgeBy(verdict: (attempt: Attempt, at: number) => boolean, stage: 'rcpt' | 'data' = 'data'): Judge {
  return {
    name: 'test',
    judgesAtData: ({ text }) => stage === 'data' && text === '',
    judge: async (attempt, at) => (verdict(attempt, at) ? 'pass' : 'tempfail'),
  }
}

const WORLD = makeWorld(worldData(), sizeOf({ recipients: 20, days: 2 }))

function classOf(world: World, index: number) {
  return world.classes[world.mails[index]?.classIndex ?? -1]
}

test('a judge gets all attempts in the order of time, and a message that passes at once has one', async () => {
  let last = 0
  let asked = 0
  const { fates, attempts } = await runWorld(
    WORLD,
    judgeBy((_, at) => {
      assert.ok(at >= last)
      last = at
      asked += 1
      return true
    }),
  )
  assert.equal(attempts, WORLD.mails.length)
  const unasked = WORLD.mails.filter(
    ({ sender }, index) => sender === '' && classOf(WORLD, index)?.kind === 'callout',
  )
  assert.equal(asked, attempts - unasked.length)
  for (const [index, fate] of fates.entries())
    assert.deepEqual(fate, { attempts: 1, passedAt: WORLD.mails[index]?.at, lastDeferredAfter: undefined })
})

test('a message whose attempts are all deferred ends when its sender gives up', async () => {
  const lasts = new Map<number, number>()
  const { fates } = await runWorld(
    WORLD,
    judgeBy((_, at) => {
      lasts.set(at, (lasts.get(at) ?? 0) + 1)
      return false
    }),
  )
  for (const [index, fate] of fates.entries()) {
    const mail = WORLD.mails[index]
    assert.ok(mail)
    if (fate.passedAt !== undefined) continue
    const { until } = mail.source.schedule
    assert.ok((fate.lastDeferredAfter ?? 0) <= until)
    const isOnce = classOf(WORLD, index)?.name === 'programs-without-queue'
    if (isOnce) assert.equal(fate.attempts, 1)
  }
})

test('callouts find a valid recipient where the null sender is judged at DATA, and only there', async () => {
  const world = makeWorld(
    worldData('senders: {callouts: {from: "<>", organisations: 400}}'),
    sizeOf({ recipients: 20 }),
  )
  const passedOf = async (stage: 'rcpt' | 'data') => {
    const { fates } = await runWorld(
      world,
      judgeBy(({ sender }) => sender.text !== '', stage),
    )
    const callouts = fates.filter((_, index) => classOf(world, index)?.kind === 'callout')
    assert.ok(callouts.length > 10)
    return callouts.filter(({ passedAt }) => passedAt !== undefined).length / callouts.length
  }
  assert.equal(await passedOf('data'), 1)
  assert.equal(await passedOf('rcpt'), 0)
})

test('only bots that do so change the sender between two attempts', async () => {
  const senders = new Map<string, Set<string>>()
  await runWorld(
    WORLD,
    judgeBy(({ client, recipient, sender }, at) => {
      // The same machine writes to the same recipient within half an hour.
      const key = `${client.address?.text} ${recipient?.text} ${Math.floor(at / (30 * MINUTE))}`
      senders.set(key, (senders.get(key) ?? new Set()).add(sender.normal))
      return false
    }),
  )
  const changers = WORLD.mails.filter((_, index) => classOf(WORLD, index)?.name === 'other-sender')
  const changed = changers.filter(({ source, seed, recipient, at }) => {
    const { address } = source.pool.clientAt(seed, 0, source.machine)
    return (
      (senders.get(`${address?.text} ${recipient.text} ${Math.floor(at / (30 * MINUTE))}`)?.size ?? 0) > 1
    )
  })
  assert.ok(changed.length > changers.length / 3)
})

// What is drawn for a message depends on the message alone. So a judge whose verdicts on some messages differ leaves the
// fates of all others as they are, and the figures of two judges differ by their verdicts only.
test('the fate of a message does not depend on verdicts on other messages', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer(), async (seed, other) => {
      // Verdicts depend on the recipient's half, so that both judges agree on one of them.
      const isFirstHalf = (text: string) => text < 'g'
      const judge = (ownSeed: number) =>
        judgeBy(({ recipient, sender }, at) => {
          const half = isFirstHalf(recipient?.text ?? '') ? seed : ownSeed
          return unitAt(seedOf(half, sender.text, recipient?.text ?? ''), at) < 0.3
        })
      const [one, two] = [await runWorld(WORLD, judge(1)), await runWorld(WORLD, judge(other))]
      const own = (fates: readonly Fate[]) =>
        fates.filter((_, index) => isFirstHalf(WORLD.mails[index]?.recipient.text ?? ''))
      assert.ok(own(one.fates).length > 100)
      assert.deepEqual(own(one.fates), own(two.fates))
    }),
    { numRuns: 5 },
  )
})

test('a watch hears of each day once, and of the part that is done', async () => {
  let days = 0
  const parts: number[] = []
  await runWorld(
    WORLD,
    judgeBy(() => true),
    {
      onDay: () => {
        days += 1
      },
      onProgress: (done) => {
        parts.push(done)
      },
    },
  )
  assert.ok(days === 2 || days === 3, String(days))
  assert.ok(parts.every((part, index) => part >= (parts[index - 1] ?? 0) && part <= 1))
})
