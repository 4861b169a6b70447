// Tests of what a door gets for one message: its reply, and its header. The greylister is one that gives what the test
// has put down, as greylist/ has tests of the decision.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { type Answer, Message } from '../../src/doors/message.ts'
import { parseReplyTemplate } from '../../src/doors/reply.ts'
import type { Outcome } from '../../src/outcome.ts'

type Given = Omit<Outcome, 'attempt'>

const DEFERRAL: Given = { verdict: 'tempfail', reason: 'new', waited: 0, retryIn: 180_000, ref: '0123abcd' }
const PASS: Given = { verdict: 'pass', reason: 'retry', waited: 240_000, retryIn: 0 }

/** A message whose recipients get these outcomes in turn. */
function messageWith(
  outcomes: readonly Given[],
  reply = '451 4.7.1 {ref} {seconds} {recipient} {domain} {host}',
) {
  const next = outcomes.values()
  const reported: Outcome[] = []
  const times: number[] = []
  const message = new Message(
    {
      greylister: {
        prepare: () => undefined,
        judge: async (attempt) => ({ ...(next.next().value ?? assert.fail('no outcome is left')), attempt }),
      },
      report: (outcome, time) => {
        reported.push(outcome)
        times.push(time)
      },
      reply: parseReplyTemplate(reply),
      hostName: 'greymx.example.com',
      now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
    },
    {
      client: {},
      sender: parseAddress('a@example.org'),
      authenticated: false,
      certificate: undefined,
    },
  )
  return { message, reported, times }
}

function textOf(answer: Answer): string {
  return answer.kind === 'defer' ? answer.reply.lines.join('\n') : answer.kind
}

const user = parseAddress('<User@Example.COM>')

test('the reply names what the MTA and the message say, and is empty where they say nothing', async () => {
  const { ref: _, ...withoutRef } = DEFERRAL
  const { message } = messageWith([DEFERRAL, withoutRef])
  assert.equal(
    textOf(await message.judge(user, { mta: 'mx.example.com', queueId: 'A1' })),
    '0123abcd 180 User@Example.COM example.com mx.example.com',
  )
  assert.equal(textOf(await message.judge(undefined, { mta: undefined })), ' 180   greymx.example.com')
})

test('{seconds} is never too short, by as little as a millisecond', async () => {
  for (const [retryIn, seconds] of [
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [59_999, '60'],
  ] as const) {
    const { message } = messageWith([{ ...DEFERRAL, retryIn }], '451 {seconds}')
    assert.equal(textOf(await message.judge(user, { mta: undefined })), seconds)
  }
})

test('X-Greylist tells of the longest wait, rounded down to a second', async () => {
  for (const [waited, text] of [
    [999, '00:00:00'],
    [59_999, '00:00:59'],
    [60_000, '00:01:00'],
    [3_599_999, '00:59:59'],
    [3_600_000, '01:00:00'],
    [100 * 3_600_000, '100:00:00'],
  ] as const) {
    const { message } = messageWith([
      { ...PASS, waited },
      { ...PASS, waited: waited - 1 },
    ])
    for (let recipient = 0; recipient < 2; recipient += 1) await message.judge(user, { mta: undefined })
    assert.deepEqual(message.header(undefined), [
      'X-Greylist',
      `delayed ${text} by greymx.example.com; Fri, 02 Jan 2026 03:04:05 +0000`,
    ])
  }
})

test('X-Greylist tells why mail passed, where it passed for more than its own exemption', async () => {
  for (const [given, text] of [
    [{ ...PASS, reason: 'max-deferrals', deferrals: 10 }, 'deferred 10 times'],
    [{ ...PASS, reason: 'auto-whitelist', waited: 0 }, 'auto-whitelisted'],
    [{ ...PASS, reason: 'carrier', waited: 0 }, 'auto-whitelisted'],
  ] as const) {
    const { message } = messageWith([{ ...given, evidence: 'spf:example.org(3/4)' }])
    await message.judge(user, { mta: undefined })
    assert.equal(
      message.header('mx.example.com')?.[1],
      `${text} by mx.example.com; Fri, 02 Jan 2026 03:04:05 +0000 (spf:example.org(3/4))`,
    )
  }
  for (const reason of ['known', 'exempt-client', 'credit', 'store-error'] as const) {
    const { message } = messageWith([{ ...PASS, reason }])
    await message.judge(user, { mta: undefined })
    assert.equal(message.header('mx.example.com'), undefined, reason)
  }
})

test('a verdict for one recipient alone does not stand for the next', async () => {
  const { message } = messageWith([
    { ...PASS, reason: 'exempt-recipient' },
    { ...PASS, reason: 'not-greylisted' },
    DEFERRAL,
    { ...PASS, reason: 'exempt-recipient' },
  ])
  const kinds: Array<string | undefined> = []
  for (let recipient = 0; recipient < 4; recipient += 1) {
    await message.judge(user, { mta: undefined })
    kinds.push(message.standingAnswer?.kind)
  }
  assert.deepEqual(kinds, [undefined, undefined, 'defer', 'defer'])
})

test('recipients that are judged together get the longest deferral, also in what is reported of them', async () => {
  const deferrals = [60_000, 180_000, 120_000].map((retryIn) => ({ ...DEFERRAL, retryIn }))
  const { message, reported } = messageWith([...deferrals, PASS])
  const answer = await message.judgeTogether([user, user, user, undefined], { mta: undefined })
  assert.match(textOf(answer), / 180 /)
  assert.deepEqual(
    reported.map(({ verdict, retryIn, attempt }) => [verdict, retryIn, attempt.recipient?.text]),
    [
      ['tempfail', 60_000, 'User@Example.COM'],
      ['tempfail', 180_000, 'User@Example.COM'],
      ['tempfail', 120_000, 'User@Example.COM'],
      ['tempfail', 180_000, undefined],
    ],
  )
  assert.equal(message.header(undefined), undefined)
})

test('of recipients that wait equally long, the reply has the reference of the first', async () => {
  const { message } = messageWith(
    ['first', 'second'].map((ref) => ({ ...DEFERRAL, ref })),
    '451 {ref}',
  )
  assert.equal(textOf(await message.judgeTogether([user, user], { mta: undefined })), 'first')
})

test('recipients that are judged together and all pass are reported each for itself', async () => {
  const { message, reported } = messageWith([PASS, { ...PASS, reason: 'known', waited: 0 }])
  assert.deepEqual(await message.judgeTogether([user, undefined], { mta: undefined }), { kind: 'pass' })
  assert.deepEqual(
    reported.map(({ reason, waited }) => [reason, waited]),
    [
      ['retry', 240_000],
      ['known', 0],
    ],
  )
})

test('the time that a verdict took is reported with it', async () => {
  const startedAt = performance.now()
  const { message, times } = messageWith([PASS, PASS, PASS])
  await message.judge(user, { mta: undefined })
  await message.judgeTogether([user, user], { mta: undefined })
  const elapsed = performance.now() - startedAt
  assert.equal(times.length, 3)
  for (const time of times) assert.ok(time >= 0 && time <= elapsed, `${time} of ${elapsed} ms`)
})
