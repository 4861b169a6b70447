// Tests of negotiate(), our answer to an MTA's offer, byte for byte where it matters.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Offer } from '../../src/milter/command.ts'
import { negotiate, type StageUse, type Wants } from '../../src/milter/negotiate.ts'
import { OFFER, wantsAll } from './recording.ts'

/** The steps NOBODY, NOHDRS, NOEOH, NOUNKNOWN, and those that waive the replies to these. */
const UNUSED = 0xe01f0

const ANSWER_ALL: Wants = { ...wantsAll('answer'), addHeaders: false }

function agreed(offer: Offer, wants: Wants) {
  const negotiation = negotiate(offer, wants)
  assert.ok(negotiation.kind === 'agreed')
  return negotiation
}

/** The numbers and the lists of macros that an answer carries on the wire. */
function readAnswer(frame: Buffer) {
  assert.equal(frame.readUInt32BE(0), frame.length - 4)
  assert.equal(frame.toString('latin1', 4, 5), 'O')
  const lists: Array<readonly [stage: number, names: string]> = []
  for (let at = 17; at < frame.length; ) {
    const end = frame.indexOf(0, at + 4)
    assert.notEqual(end, -1)
    lists.push([frame.readUInt32BE(at), frame.toString('latin1', at + 4, end)])
    at = end + 1
  }
  return {
    version: frame.readUInt32BE(5),
    actions: frame.readUInt32BE(9),
    steps: frame.readUInt32BE(13),
    lists,
  }
}

describe('negotiate()', () => {
  for (const version of [0, 1]) {
    test(`refuses version ${version} and says which it expects`, () => {
      assert.deepEqual(negotiate({ ...OFFER, version }, ANSWER_ALL), {
        kind: 'refused',
        reason: `milter protocol version ${version}: expected 2 or later`,
      })
    })
  }

  for (const [offered, answered] of [
    [2, 2],
    [3, 3],
    [4, 4],
    [5, 5],
    [6, 6],
    [7, 6],
    [0xffff_ffff, 6],
  ] as const) {
    test(`answers version ${offered} with version ${answered}`, () => {
      const { agreement, answer } = agreed({ ...OFFER, version: offered }, ANSWER_ALL)
      assert.equal(agreement.version, answered)
      assert.equal(readAnswer(answer).version, answered)
    })
  }

  test('answers Postfix 3.7 and Sendmail 8.17 with these very bytes', () => {
    const wants: Wants = {
      stages: { connect: 'note', helo: 'skip', mail: 'note', rcpt: 'answer', data: 'answer' },
      macros: { connect: ['j', '_', 'daemon_name'], rcpt: ['i'] },
      addHeaders: true,
    }
    const lists = Buffer.from('\0\0\0\x00j _ {daemon_name}\0\0\0\0\x03i\0', 'latin1')
    assert.deepEqual(
      agreed(OFFER, wants).answer,
      Buffer.concat([Buffer.from('000000294f0000000600000101000e71f2', 'hex'), lists]),
    )
  })

  test('answers an MTA of version 2 within what it offers', () => {
    const wants = { ...wantsAll('note'), macros: { mail: ['i'] } }
    const { answer } = agreed({ version: 2, actions: 0x1f, steps: 0x7f }, wants)
    assert.deepEqual(readAnswer(answer), { version: 2, actions: 0x1, steps: 0x70, lists: [] })
  })

  const uses: ReadonlyArray<readonly [StageUse, steps: number]> = [
    ['answer', UNUSED],
    ['note', UNUSED | 0x1f000],
    ['skip', UNUSED | 0x1f000 | 0x20a],
  ]
  for (const [use, steps] of uses) {
    test(`asks for the right steps where every stage is one to ${use}`, () => {
      assert.equal(agreed(OFFER, wantsAll(use)).agreement.steps, steps)
    })
  }

  const skipped: ReadonlyArray<readonly [keyof Wants['stages'], steps: number]> = [
    ['helo', 0x2002],
    ['rcpt', 0x8008],
    ['data', 0x10200],
  ]
  for (const [stage, steps] of skipped) {
    test(`asks a skipped ${stage} away, and its reply for an MTA that sends it all the same`, () => {
      const wants: Wants = { ...ANSWER_ALL, stages: { ...ANSWER_ALL.stages, [stage]: 'skip' } }
      assert.equal(agreed(OFFER, wants).agreement.steps, UNUSED | steps)
      const noReplyOnly = OFFER.steps & ~0x20f
      assert.equal(agreed({ ...OFFER, steps: noReplyOnly }, wants).agreement.steps, UNUSED | (steps & ~0x20f))
    })
  }

  test('never asks for rejected recipients, for SKIP, nor for leading spaces', () => {
    assert.equal(agreed(OFFER, wantsAll('skip')).agreement.steps & (0x400 | 0x800 | 0x100000), 0)
  })

  for (const [addHeaders, offered, actions] of [
    [true, 0x1ff, 0x101],
    [false, 0x1ff, 0x100],
    [true, 0xff, 0x1],
    [true, 0x1fe, 0x100],
    [false, 0xff, 0],
  ] as const) {
    test(`of actions 0x${offered.toString(16)} takes 0x${actions.toString(16)} ${addHeaders ? 'with' : 'without'} headers to add`, () => {
      assert.equal(
        agreed({ ...OFFER, actions: offered }, { ...ANSWER_ALL, addHeaders }).agreement.actions,
        actions,
      )
    })
  }

  test('writes a list of macros for each stage that names some, in the order of their numbers', () => {
    const macros = {
      eoh: ['o'],
      eom: ['i', 'msg_id'],
      data: ['i'],
      rcpt: ['rcpt_addr'],
      mail: ['auth_type', 'i'],
      helo: [],
      connect: ['j', '_'],
    }
    assert.deepEqual(readAnswer(agreed(OFFER, { ...ANSWER_ALL, macros }).answer).lists, [
      [0, 'j _'],
      [1, ''],
      [2, '{auth_type} i'],
      [3, '{rcpt_addr}'],
      [4, 'i'],
      [5, 'i {msg_id}'],
      [6, 'o'],
    ])
  })

  test('writes no list where SETSYMLIST was not offered', () => {
    const { answer } = agreed({ ...OFFER, actions: 0xff }, { ...ANSWER_ALL, macros: { mail: ['i'] } })
    assert.equal(answer.length, 17)
  })

  // Property: the answer asks only for what was offered, and its bytes say what the agreement says.
  test('asks for nothing that was not offered', () => {
    const word = fc.nat({ max: 0xffff_ffff })
    const offers = fc.record({ version: fc.integer({ min: 2, max: 8 }), actions: word, steps: word })
    const use = fc.constantFrom<StageUse>('answer', 'note', 'skip')
    const seen = fc.constantFrom('answer', 'note')
    const wants = fc.record({
      stages: fc.record({ connect: seen, helo: use, mail: seen, rcpt: use, data: use }),
      macros: fc.constant({ mail: ['i'] }),
      addHeaders: fc.boolean(),
    })
    fc.assert(
      fc.property(offers, wants, (offer, wanted) => {
        const { agreement, answer } = agreed(offer, wanted)
        assert.equal(agreement.actions & ~offer.actions, 0)
        assert.equal(agreement.steps & ~offer.steps, 0)
        const { lists, ...numbers } = readAnswer(answer)
        assert.deepEqual(numbers, agreement)
        assert.equal(lists.length, offer.actions & 0x100 ? 1 : 0)
      }),
    )
  })
})
