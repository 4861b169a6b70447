// Tests of Session: when each command is legal, that each command gets the reply that it awaits and no other, and what
// ends a transaction or a connection. The tests resolve the handler's promises, so that nothing depends on timing.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { ACTIONS } from '../../src/milter/codes.ts'
import type { Command, Offer } from '../../src/milter/command.ts'
import { MAX_FRAME } from '../../src/milter/frame.ts'
import { negotiate, type StageUse, type Wants } from '../../src/milter/negotiate.ts'
import type { Reply } from '../../src/milter/reply.ts'
import { Session } from '../../src/milter/session.ts'
import {
  BARE_OFFER,
  COMMAND,
  CONTINUE,
  cutAt,
  encode,
  LIMITS,
  mail,
  NO_REPLY,
  OFFER,
  RecordingHandler,
  RecordingPeer,
  rcpt,
  type Stage,
  wantsAll,
} from './recording.ts'

const KINDS = Object.keys(COMMAND) as Array<Command['kind']> // the keys of COMMAND are its kinds
const OFFERED_BARE: Command = { kind: 'OPTNEG', offer: BARE_OFFER }

function open(handler = new RecordingHandler()) {
  const peer = new RecordingPeer()
  return { handler, peer, session: new Session(handler, peer, LIMITS) }
}

/** A session that has taken `commands`, with an offer by which each awaits a reply. */
function after(...commands: readonly Command[]) {
  const opened = open()
  opened.session.receive(encode(...commands))
  return opened
}

/** Answers of a handler as promises, which the test resolves in their order. */
class Deferred {
  readonly asked: string[] = []
  readonly #resolvers: Array<(reply: Reply) => void> = []

  readonly answer = (stage: Stage, subject: string): Promise<Reply> => {
    this.asked.push(subject === '' ? stage : `${stage} ${subject}`)
    return new Promise((resolve) => {
      this.#resolvers.push(resolve)
    })
  }

  get waiting(): number {
    return this.#resolvers.length
  }

  /** Resolves the oldest answer, and waits until all that depends on it has run. */
  async give(reply: Reply = CONTINUE): Promise<void> {
    const resolve = this.#resolvers.shift()
    assert.ok(resolve, 'no answer is asked for')
    resolve(reply)
    await turn()
  }
}

function grey(line: string): Reply {
  return { kind: 'smtp', reply: { code: '451', lines: [line] } }
}

type State = 'new' | 'negotiated' | 'connected' | 'transaction'

const REACH: { readonly [state in State]: readonly Command[] } = {
  new: [],
  negotiated: [OFFERED_BARE],
  connected: [OFFERED_BARE, COMMAND.CONNECT],
  transaction: [OFFERED_BARE, COMMAND.CONNECT, COMMAND.MAIL],
}

/** The letter of the reply, empty if there is none, and the next state. */
type Step = readonly [letter: string, next: State | 'ended']

/** The commands that are legal in each state, with the letter of the reply and the next state. */
const LEGAL: {
  readonly [state in State]: { readonly [kind in Command['kind']]?: Step }
} = {
  new: { OPTNEG: ['O', 'negotiated'], QUIT: ['', 'ended'] },
  negotiated: {
    MACRO: ['', 'negotiated'],
    CONNECT: ['c', 'connected'],
    ABORT: ['', 'negotiated'],
    QUIT: ['', 'ended'],
    QUIT_NC: ['', 'negotiated'],
  },
  connected: {
    MACRO: ['', 'connected'],
    HELO: ['c', 'connected'],
    MAIL: ['c', 'transaction'],
    UNKNOWN: ['c', 'connected'],
    ABORT: ['', 'connected'],
    QUIT: ['', 'ended'],
    QUIT_NC: ['', 'negotiated'],
  },
  transaction: {
    MACRO: ['', 'transaction'],
    HELO: ['c', 'transaction'],
    MAIL: ['c', 'transaction'],
    RCPT: ['c', 'transaction'],
    DATA: ['c', 'transaction'],
    HEADER: ['c', 'transaction'],
    EOH: ['c', 'transaction'],
    BODY: ['c', 'transaction'],
    BODYEOB: ['c', 'connected'],
    UNKNOWN: ['c', 'transaction'],
    ABORT: ['', 'connected'],
    QUIT: ['', 'ended'],
    QUIT_NC: ['', 'negotiated'],
  },
}

const STATES: readonly State[] = ['new', 'negotiated', 'connected', 'transaction']

describe('Session keeps the legal order:', () => {
  for (const state of STATES) {
    const legal = KINDS.filter((kind) => LEGAL[state][kind])
    test(`${state} takes ${legal.join(', ')}, and answers where an answer is due`, () => {
      for (const kind of legal) {
        const { peer } = after(...REACH[state], COMMAND[kind])
        const [reply = '', next] = LEGAL[state][kind] ?? []
        const before = after(...REACH[state]).peer.codes
        assert.deepEqual(peer.errors, [], kind)
        assert.equal(peer.codes, before + reply, kind)
        assert.equal(peer.closings, next === 'ended' ? 1 : 0, kind)
      }
    })

    test(`${state} refuses every other command, once, and says when it came`, () => {
      for (const kind of KINDS.filter((other) => !LEGAL[state][other])) {
        const { peer, session, handler } = after(...REACH[state], COMMAND[kind], COMMAND[kind])
        session.receive(encode(COMMAND.QUIT))
        session.disconnected()
        assert.deepEqual(peer.errors, [{ kind: 'order', reason: `${kind} while ${state}` }])
        assert.equal(peer.closings, 1)
        assert.equal(handler.count('endTransaction'), handler.count('mail'))
      }
    })

    test(`${state} is left for the right state by each command`, () => {
      for (const kind of KINDS) {
        const next = LEGAL[state][kind]?.[1]
        if (next === undefined || next === 'ended') continue
        for (const probe of KINDS) {
          const { peer } = after(...REACH[state], COMMAND[kind], COMMAND[probe])
          const isLegal: boolean = LEGAL[next][probe] !== undefined
          assert.equal(peer.errors.length, isLegal ? 0 : 1, `${kind}, then ${probe}`)
        }
      }
    })
  }

  const broken: ReadonlyArray<readonly [what: string, bytes: Buffer, kind: string, reason: string]> = [
    ['length 0', Buffer.alloc(4), 'length', `frame of 0 bytes: expected 1 to ${MAX_FRAME}`],
    [
      'a length of 4 GiB',
      Buffer.from('ffffffff', 'hex'),
      'length',
      `frame of 4294967295 bytes: expected 1 to ${MAX_FRAME}`,
    ],
    [
      'HTTP',
      Buffer.from('GET / HTTP/1.1\r\n'),
      'length',
      `frame of 1195725856 bytes: expected 1 to ${MAX_FRAME}`,
    ],
    ['an unknown command', Buffer.from('0000000158', 'hex'), 'malformed', 'unknown command 0x58'],
    [
      'an address that does not end',
      Buffer.from('000000024d3c', 'hex'),
      'malformed',
      'malformed MAIL: expected an address that ends in NUL',
    ],
    [
      'an offer of version 1',
      encode({ kind: 'OPTNEG', offer: { ...OFFER, version: 1 } }),
      'version',
      'milter protocol version 1: expected 2 or later',
    ],
  ]
  for (const [what, bytes, kind, reason] of broken) {
    test(`${what} closes the connection with one error, whatever follows`, () => {
      const { peer, session } = open()
      session.receive(Buffer.concat([bytes, encode(COMMAND.OPTNEG)]))
      session.receive(encode(COMMAND.QUIT))
      assert.deepEqual(peer.errors, [{ kind, reason }])
      assert.equal(peer.closings, 1)
      assert.equal(peer.codes, '')
    })
  }

  test('what came before a broken frame is answered', () => {
    const { peer, session } = open()
    session.receive(Buffer.concat([encode(...REACH.transaction), Buffer.alloc(4)]))
    assert.equal(peer.codes, 'Occ')
    assert.equal(peer.errors.length, 1)
  })
})

describe('Session replies as negotiated:', () => {
  const message: readonly Command[] = [
    COMMAND.CONNECT,
    COMMAND.HELO,
    COMMAND.MAIL,
    COMMAND.RCPT,
    COMMAND.DATA,
    COMMAND.HEADER,
    COMMAND.EOH,
    COMMAND.BODY,
    COMMAND.UNKNOWN,
  ]

  for (const command of message) {
    const step = NO_REPLY[command.kind] ?? 0
    test(`${command.kind} has no reply where that was agreed, and one where it was not`, () => {
      for (const [steps, replies] of [
        [OFFER.steps, 0],
        [step, 0],
        [OFFER.steps & ~step, 1],
      ] as const) {
        const { handler, peer, session } = open()
        handler.wants = wantsAll('note')
        const reached = command.kind === 'CONNECT' ? [] : [COMMAND.CONNECT, COMMAND.MAIL]
        session.receive(encode({ kind: 'OPTNEG', offer: { ...OFFER, steps } }, ...reached))
        const before = peer.codes.length
        session.receive(encode(command))
        assert.equal(peer.codes.length - before, replies)
      }
    })
  }

  test('a stage that wants to answer does so even where the MTA offers not to wait', () => {
    const { peer, session } = open()
    session.receive(encode(COMMAND.OPTNEG, ...message, COMMAND.BODYEOB))
    assert.equal(peer.codes, 'Occccc' + 'c') // the stages that a filter can handle, and the end of message
  })

  test('each stage gets its own reply', () => {
    const { handler, peer, session } = open()
    handler.answer = (stage, subject) => grey(`${stage} ${subject}`.trim())
    handler.messageEnd = { headers: [], reply: { kind: 'tempfail' } }
    session.receive(
      encode(
        OFFERED_BARE,
        COMMAND.CONNECT,
        COMMAND.HELO,
        mail('<a>'),
        rcpt('<b>'),
        rcpt('<c>'),
        COMMAND.DATA,
      ),
    )
    session.receive(encode(COMMAND.HEADER, COMMAND.EOH, COMMAND.BODY, COMMAND.BODYEOB))
    assert.deepEqual(peer.replies, [
      'O',
      'y451 connect client.example 192.0.2.7',
      'y451 helo client.example',
      'y451 mail <a>',
      'y451 rcpt <b>',
      'y451 rcpt <c>',
      'y451 data',
      'c',
      'c',
      'c',
      't',
    ])
  })

  test('the handler learns the version that was agreed on', () => {
    for (const [version, agreed] of [
      [2, 2],
      [4, 4],
      [7, 6],
    ] as const) {
      const { handler } = after({ kind: 'OPTNEG', offer: { ...OFFER, version } })
      assert.deepEqual(handler.events, [`negotiated ${agreed}`])
    }
  })

  for (const [actions, codes] of [
    [ACTIONS.ADDHDRS, 'Occhhc'],
    [0, 'Occc'],
  ] as const) {
    test(`headers ${actions ? 'come before the reply at end of message' : 'are left out where the MTA takes none'}`, () => {
      const { handler, peer, session } = open()
      const headers = [
        ['X-Greylist', 'delayed'],
        ['X-Other', ''],
      ] as const
      handler.messageEnd = { headers, reply: CONTINUE }
      session.receive(encode({ kind: 'OPTNEG', offer: { version: 6, actions, steps: 0 } }))
      session.receive(encode(COMMAND.CONNECT, COMMAND.MAIL, COMMAND.BODYEOB))
      assert.equal(peer.codes, codes)
      if (actions) assert.deepEqual(peer.replies.slice(3, 5), ['hX-Greylist\0delayed', 'hX-Other\0'])
    })
  }
})

describe('Session waits for answers:', () => {
  test('nothing behind a command is handled before its answer, and replies keep their order', async () => {
    const { handler, peer, session } = open()
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(OFFERED_BARE, COMMAND.CONNECT, mail('<a>'), rcpt('<b>'), rcpt('<c>')))
    assert.deepEqual(deferred.asked, ['connect client.example 192.0.2.7'])
    await deferred.give()
    assert.deepEqual(deferred.asked.slice(1), ['mail <a>'])
    await deferred.give(grey('first'))
    await deferred.give(grey('second'))
    assert.deepEqual(peer.replies, ['O', 'c', 'y451 first', 'y451 second'])
    await deferred.give(grey('third'))
    assert.deepEqual(peer.replies.slice(4), ['y451 third'])
    assert.equal(deferred.waiting, 0)
  })

  test('chunks that arrive meanwhile pause the socket and are read in order afterwards', async () => {
    const { handler, peer, session } = open()
    const deferred = new Deferred()
    session.receive(encode(...REACH.transaction))
    handler.answer = deferred.answer
    session.receive(encode(rcpt('<a>')))
    assert.equal(peer.paused, false)
    const rest = encode(rcpt('<b>'), COMMAND.DATA)
    for (const byte of rest) session.receive(Buffer.of(byte))
    assert.equal(peer.paused, true)
    assert.equal(deferred.waiting, 1)
    await deferred.give()
    assert.equal(peer.paused, true)
    await deferred.give()
    await deferred.give()
    assert.equal(peer.paused, false)
    assert.deepEqual(deferred.asked, ['rcpt <a>', 'rcpt <b>', 'data'])
    assert.equal(peer.codes, 'Occccc')
  })

  test('a stage whose reply was waived is waited for all the same, without a reply', async () => {
    const { handler, peer, session } = open()
    handler.wants = { ...wantsAll('answer'), stages: { ...wantsAll('answer').stages, mail: 'note' } }
    session.receive(encode(COMMAND.OPTNEG, COMMAND.CONNECT))
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(mail('<a>'), rcpt('<b>')))
    assert.deepEqual(deferred.asked, ['mail <a>'])
    await deferred.give()
    assert.deepEqual(deferred.asked, ['mail <a>', 'rcpt <b>'])
    await deferred.give(grey('x'))
    assert.deepEqual(peer.replies, ['O', 'c', 'y451 x'])
  })

  test('a fault behind an awaited answer is found after that answer is given', async () => {
    const { handler, peer, session } = open()
    session.receive(encode(...REACH.transaction))
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(Buffer.concat([encode(COMMAND.RCPT), Buffer.alloc(4)]))
    assert.equal(peer.errors.length, 0)
    await deferred.give()
    assert.equal(peer.codes, 'Occc')
    assert.equal(peer.errors.length, 1)
  })

  test('an answer that comes after the socket is gone is dropped', async () => {
    const { handler, peer, session } = open()
    session.receive(encode(...REACH.transaction))
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(COMMAND.RCPT, COMMAND.RCPT))
    session.disconnected()
    assert.equal(handler.count('endTransaction'), 1)
    await deferred.give(grey('late'))
    assert.equal(peer.codes, 'Occ')
    assert.equal(deferred.waiting, 0)
    assert.equal(handler.count('endTransaction'), 1)
  })
})

describe('Session ends transactions and connections:', () => {
  const { MAIL, RCPT, ABORT, BODYEOB, HELO, QUIT, QUIT_NC, CONNECT, UNKNOWN } = COMMAND
  const start = [OFFERED_BARE, CONNECT]
  const transactions: ReadonlyArray<
    readonly [what: string, commands: readonly Command[], begun: number, ended: number]
  > = [
    ['at end of message', [MAIL, RCPT, BODYEOB], 1, 1],
    ['not before its end', [MAIL, RCPT, UNKNOWN], 1, 0],
    ['at ABORT', [MAIL, ABORT], 1, 1],
    ['once, for the ABORTs that Postfix sends twice before QUIT', [MAIL, RCPT, ABORT, ABORT, QUIT], 1, 1],
    ['once, for the ABORT that Postfix sends after end of message', [MAIL, RCPT, BODYEOB, ABORT], 1, 1],
    ['at MAIL without ABORT, as Sendmail sends it after a refused MAIL', [MAIL, MAIL, RCPT], 2, 1],
    ['at MAIL after end of message, as Sendmail sends it', [MAIL, BODYEOB, MAIL], 2, 1],
    ['at QUIT', [MAIL, QUIT], 1, 1],
    ['at QUIT_NC', [MAIL, QUIT_NC], 1, 1],
    ['at a broken protocol', [MAIL, CONNECT], 1, 1],
    ['never when there was none', [ABORT, HELO, ABORT, ABORT, QUIT], 0, 0],
  ]
  for (const [what, commands, begun, ended] of transactions) {
    test(`a transaction ends ${what}`, () => {
      const { handler, session } = after(...start, ...commands)
      assert.deepEqual([handler.count('mail'), handler.count('endTransaction')], [begun, ended])
      session.disconnected()
      session.disconnected()
      assert.equal(handler.count('endTransaction'), begun)
    })
  }

  test('the old transaction ends before the new MAIL is handled', () => {
    const { handler } = after(...start, mail('<a>'), mail('<b>'))
    assert.deepEqual(handler.events.slice(2), ['mail <a>', 'endTransaction', 'mail <b>'])
  })

  test('the macros of a transaction are there at its end, and gone after it', () => {
    const { handler, session } = open()
    handler.macro = 'i'
    const queueId: Command = { kind: 'MACRO', stage: 'RCPT', macros: [['i', 'ID']] }
    session.receive(
      encode(...start, mail('<a>'), queueId, rcpt('<b>'), BODYEOB, mail('<c>'), queueId, ABORT, HELO),
    )
    assert.deepEqual(handler.events.slice(2), [
      'mail <a>',
      'rcpt <b> [ID]',
      'endOfMessage [ID]',
      'endTransaction',
      'mail <c>',
      'endTransaction',
      'helo client.example',
    ])
  })

  test('the macros of a MAIL that follows without ABORT are its own', () => {
    const { handler, session } = open()
    handler.macro = 'i'
    const macros = (stage: 'MAIL' | 'RCPT', id: string): Command => ({
      kind: 'MACRO',
      stage,
      macros: [['i', id]],
    })
    session.receive(
      encode(
        ...start,
        macros('MAIL', '1'),
        mail('<a>'),
        macros('RCPT', '1r'),
        rcpt('<b>'),
        macros('MAIL', '2'),
        mail('<c>'),
      ),
    )
    assert.deepEqual(handler.events.slice(2), [
      'mail <a> [1]',
      'rcpt <b> [1r]',
      'endTransaction',
      'mail <c> [2]',
    ])
  })

  test('QUIT closes once, and nothing behind it is read', () => {
    const { handler, peer, session } = after(...start, QUIT, MAIL, CONNECT)
    session.receive(encode(MAIL))
    assert.equal(peer.closings, 1)
    assert.deepEqual(peer.errors, [])
    assert.equal(handler.count('mail'), 0)
  })

  test('QUIT_NC leaves the connection open for the next client, without a new OPTNEG', () => {
    const { handler, peer, session } = open()
    handler.macro = 'j'
    const name: Command = { kind: 'MACRO', stage: 'CONNECT', macros: [['j', 'mx1']] }
    const other: Command = { kind: 'CONNECT', connection: { hostName: 'second', family: 'unknown' } }
    session.receive(encode(OFFERED_BARE, name, CONNECT, MAIL, QUIT_NC, other, MAIL, RCPT))
    assert.deepEqual(peer.errors, [])
    assert.equal(peer.closings, 0)
    assert.equal(peer.codes, 'Occccc')
    assert.deepEqual(handler.events.slice(1), [
      'connect client.example 192.0.2.7 [mx1]',
      'mail <s@example.org> [mx1]',
      'endTransaction',
      'connect second undefined',
      'mail <s@example.org>',
      'rcpt <r@example.com>',
    ])
  })
})

describe('Session.inputOver()', () => {
  test('ends the connection, and a transaction with it, where nothing is waited for', () => {
    const { handler, peer, session } = after(...REACH.transaction)
    session.inputOver()
    assert.equal(peer.closings, 1)
    assert.equal(handler.count('endTransaction'), 1)
  })

  test('has commands handled first that wait for their turn', () => {
    const { peer, session } = after(...REACH.connected)
    peer.givesTurns = false
    session.receive(encode(...Array.from({ length: 40 }, () => COMMAND.HELO)))
    session.inputOver()
    for (let next = peer.turns.shift(); next; next = peer.turns.shift()) {
      assert.equal(peer.closings, 0)
      next()
    }
    assert.equal(peer.codes, `Oc${'c'.repeat(40)}`)
    assert.deepEqual([peer.closings, peer.sentAfterClosing], [1, 0])
  })

  test('has the commands handled first that stand behind one that awaits its answer', async () => {
    const { handler, peer, session } = after(...REACH.connected)
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(COMMAND.HELO, COMMAND.MAIL))
    session.inputOver()
    assert.equal(peer.closings, 0)
    await deferred.give(CONTINUE)
    await deferred.give(CONTINUE)
    assert.equal(peer.codes, 'Occc')
    assert.deepEqual([peer.closings, peer.sentAfterClosing], [1, 0])
  })

  test('waits for no answer behind which nothing has arrived', async () => {
    const { handler, peer, session } = after(...REACH.transaction)
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(COMMAND.RCPT))
    session.inputOver()
    assert.equal(peer.closings, 1)
    assert.equal(handler.count('endTransaction'), 1)
    await deferred.give(CONTINUE)
    assert.deepEqual([peer.closings, peer.sentAfterClosing], [1, 0])
  })

  test('ends a connection that QUIT has ended no second time', () => {
    const { peer, session } = after(...REACH.connected, COMMAND.QUIT)
    session.inputOver()
    assert.equal(peer.closings, 1)
  })
})

describe('Session.endIfIdle()', () => {
  for (const state of ['new', 'negotiated', 'connected'] as const) {
    test(`ends a connection that is ${state}`, () => {
      const { peer, session } = after(...REACH[state])
      session.endIfIdle()
      session.endIfIdle()
      assert.equal(peer.closings, 1)
      assert.deepEqual(peer.errors, [])
    })
  }

  for (const [what, last, reply] of [
    ['end of message', COMMAND.BODYEOB, 'c'],
    ['ABORT', COMMAND.ABORT, ''],
    ['QUIT_NC', COMMAND.QUIT_NC, ''],
  ] as const) {
    test(`leaves an open transaction alone until its ${what}`, () => {
      const { handler, peer, session } = after(...REACH.transaction)
      session.endIfIdle()
      session.receive(encode(COMMAND.RCPT, COMMAND.DATA))
      session.endIfIdle()
      assert.equal(peer.closings, 0)
      session.receive(encode(last))
      assert.equal(peer.closings, 0)
      session.endIfIdle()
      session.receive(encode(COMMAND.MAIL))
      assert.equal(peer.closings, 1)
      assert.equal(peer.codes, `Occcc${reply}`)
      assert.equal(peer.sentAfterClosing, 0)
      assert.deepEqual(peer.errors, [])
      assert.equal(handler.count('endTransaction'), 1)
    })
  }

  test('leaves a connection alone whose answer is still awaited', async () => {
    const { handler, peer, session } = after(...REACH.connected)
    const deferred = new Deferred()
    handler.answer = deferred.answer
    session.receive(encode(COMMAND.HELO))
    session.endIfIdle()
    assert.equal(peer.closings, 0)
    await deferred.give(grey('x'))
    assert.equal(peer.replies.at(-1), 'y451 x')
    session.endIfIdle()
    assert.equal(peer.closings, 1)
  })

  test('leaves a connection alone whose replies are not taken, with what may stand behind them', () => {
    const { peer, session } = after(...REACH.connected)
    peer.takesReplies = false
    session.receive(encode(COMMAND.HELO, COMMAND.MAIL, COMMAND.ABORT))
    session.endIfIdle()
    assert.equal(peer.closings, 0)
    peer.takesReplies = true
    session.replied()
    assert.equal(peer.codes, 'Occc')
    session.endIfIdle()
    assert.equal(peer.closings, 1)
  })

  test('leaves a connection alone whose commands wait for their turn', () => {
    const { handler, peer, session } = after(...REACH.connected)
    peer.givesTurns = false
    session.receive(encode(...Array.from({ length: 100 }, () => COMMAND.HELO)))
    for (let next = peer.turns.shift(); next; next = peer.turns.shift()) {
      session.endIfIdle()
      next()
    }
    assert.deepEqual([handler.count('helo'), peer.closings], [100, 0])
    session.endIfIdle()
    assert.equal(peer.closings, 1)
  })

  // Regression: Sendmail sends no ABORT then, and greymx waited for the end of a transaction that the MTA did not have.
  for (const when of ['at once', 'later']) {
    test(`ends a connection whose MAIL was refused ${when}`, async () => {
      const { handler, peer, session } = after(...REACH.connected)
      const deferred = new Deferred()
      handler.answer = when === 'later' ? deferred.answer : () => grey('x')
      session.receive(encode(COMMAND.MAIL))
      if (when === 'later') await deferred.give(grey('x'))
      assert.equal(peer.replies.at(-1), 'y451 x')
      assert.equal(session.waiting, 'idle')
      session.endIfIdle()
      assert.equal(peer.closings, 1)
      assert.equal(handler.count('endTransaction'), 1)
    })
  }
})

describe('Session at its limits:', () => {
  function limited(limits: Partial<typeof LIMITS>) {
    const handler = new RecordingHandler()
    const peer = new RecordingPeer()
    return { handler, peer, session: new Session(handler, peer, { ...LIMITS, ...limits }) }
  }

  test('recipients beyond it are shown to the handler as such; said once a transaction', () => {
    const { handler, peer, session } = limited({ recipients: 2 })
    handler.answer = (stage) => (stage === 'rcpt' ? grey('x') : CONTINUE)
    const many = [mail('<s>'), rcpt('<1>'), rcpt('<2>'), rcpt('<3>'), rcpt('<4>'), COMMAND.BODYEOB]
    session.receive(encode(OFFERED_BARE, COMMAND.CONNECT, ...many, ...many))
    assert.equal(peer.codes, 'Occ' + 'yyccc' + 'cyyccc')
    assert.equal(handler.count('rcpt'), 4)
    assert.equal(handler.count('beyond'), 4)
    const said = {
      kind: 'recipients',
      reason: "more than 2 recipients: the others get the last one's reply",
    }
    assert.deepEqual(peer.met, [said, said])
    assert.equal(peer.closings, 0)
  })

  test('macros beyond it are left out, and the first are there', () => {
    const { handler, peer, session } = limited({ macros: 2 })
    handler.macro = 'i'
    const macros = [
      ['a', '1'],
      ['i', 'ID'],
      ['b', '2'],
    ] as const
    session.receive(encode(...REACH.connected, { kind: 'MACRO', stage: 'MAIL', macros }, mail('<s>')))
    assert.equal(handler.events.at(-1), 'mail <s> [ID]')
    assert.deepEqual(peer.met, [{ kind: 'macros', reason: 'more than 2 macros: the others are left out' }])
    assert.equal(peer.codes, 'Occ')
  })

  test('a frame that announces more than it may closes the connection', () => {
    const { peer, session } = limited({ frame: 100 })
    session.receive(Buffer.from('00000065', 'hex'))
    assert.deepEqual(peer.errors, [{ kind: 'length', reason: 'frame of 101 bytes: expected 1 to 100' }])
  })

  test('while the MTA takes no replies its commands wait, and go on where they stopped', () => {
    const { handler, peer, session } = open()
    session.receive(encode(...REACH.transaction))
    peer.takesReplies = false
    session.receive(encode(rcpt('<1>'), rcpt('<2>')))
    session.receive(encode(rcpt('<3>')))
    assert.deepEqual([handler.count('rcpt'), peer.paused, session.waiting], [1, true, 'reader'])
    session.replied()
    assert.equal(handler.count('rcpt'), 2)
    peer.takesReplies = true
    session.replied()
    assert.deepEqual([handler.count('rcpt'), peer.paused, session.waiting], [3, false, 'transaction'])
    assert.equal(peer.codes, 'Occccc')
  })

  test('the same where the answer comes later', async () => {
    const { handler, peer, session } = open()
    session.receive(encode(...REACH.transaction))
    const deferred = new Deferred()
    handler.answer = deferred.answer
    peer.takesReplies = false
    session.receive(encode(rcpt('<1>'), rcpt('<2>')))
    assert.equal(session.waiting, 'us')
    session.replied()
    assert.equal(deferred.waiting, 1)
    await deferred.give()
    assert.deepEqual([deferred.asked.length, session.waiting], [1, 'reader'])
    session.replied()
    assert.deepEqual([deferred.asked.length, session.waiting], [2, 'us'])
  })

  // Regression: a thousand commands in one packet, with a store that answers at once, held up all connections.
  test('many commands at once let others have their turn in between', async () => {
    const { handler, peer, session } = after(...REACH.transaction)
    handler.answer = () => Promise.resolve(CONTINUE)
    peer.givesTurns = false
    session.receive(encode(...Array.from({ length: 1000 }, () => COMMAND.RCPT)))
    await turn()
    let turns = 0
    for (let next = peer.turns.shift(); next; next = peer.turns.shift()) {
      assert.deepEqual([session.waiting, peer.paused], ['us', true])
      const before = handler.count('rcpt')
      next()
      await turn()
      assert.ok(handler.count('rcpt') - before <= 16)
      turns += 1
    }
    assert.equal(handler.count('rcpt'), 1000)
    assert.ok(turns >= 60, `${turns} turns`)
    assert.deepEqual([session.waiting, peer.paused], ['transaction', false])
  })

  test('it says what it waits for, and grows with each whole command', () => {
    const { session } = open()
    assert.deepEqual([session.waiting, session.progress], ['frame', 0])
    session.receive(encode(OFFERED_BARE, COMMAND.CONNECT))
    assert.deepEqual([session.waiting, session.progress], ['idle', 2])
    const bytes = encode(COMMAND.MAIL)
    for (const byte of bytes.subarray(0, -1)) {
      session.receive(Buffer.of(byte))
      assert.deepEqual([session.waiting, session.progress], ['frame', 2])
    }
    session.receive(bytes.subarray(-1))
    assert.deepEqual([session.waiting, session.progress], ['transaction', 3])
    session.receive(encode(COMMAND.QUIT))
    assert.equal(session.waiting, 'reader')
  })

  test('it knows what it keeps: bytes not read yet, and macros', () => {
    const { session } = after(...REACH.connected)
    assert.equal(session.held, 0)
    session.receive(encode({ kind: 'MACRO', stage: 'MAIL', macros: [['i', 'x'.repeat(5000)]] }))
    assert.ok(session.held > 5000)
    session.receive(encode(COMMAND.MAIL, COMMAND.ABORT))
    assert.equal(session.held, 0)
    session.receive(Buffer.from('000003e8', 'hex'))
    assert.ok(session.held >= 4)
  })
})

/** The model of the property below: what a sequence gives by the table of legal commands and the negotiated steps. */
function outcomeOf(kinds: ReadonlyArray<Command['kind']>, offer: Offer, wants: Wants) {
  const negotiation = negotiate(offer, wants)
  const steps = negotiation.kind === 'agreed' ? negotiation.agreement.steps : 0
  const lettersOf: { readonly [kind in Command['kind']]?: string } = {
    MAIL: 't',
    RCPT: 'y',
    BODYEOB: offer.actions & ACTIONS.ADDHDRS ? 'hc' : 'c',
  }
  let state: State = 'new'
  let codes = ''
  let begun = 0
  for (const kind of kinds) {
    const isRefused = kind === 'OPTNEG' && negotiation.kind === 'refused'
    const row: Step | undefined = isRefused ? undefined : LEGAL[state][kind]
    if (!row) return { codes, begun, errors: 1, closings: 1 }
    const [letter, next]: Step = row
    if (letter !== '' && (steps & (NO_REPLY[kind] ?? 0)) === 0) codes += lettersOf[kind] ?? letter
    if (kind === 'MAIL') begun += 1
    if (next === 'ended') return { codes, begun, errors: 0, closings: 1 }
    state = next
  }
  return { codes, begun, errors: 0, closings: 0 }
}

describe('Session as a whole:', () => {
  // Sequences mostly follow the order of a message, so that they get far, with other commands in between.
  const starts: ReadonlyArray<ReadonlyArray<Command['kind']>> = [
    ['OPTNEG', 'CONNECT', 'MAIL'],
    ['OPTNEG', 'CONNECT'],
    ['OPTNEG'],
    [],
  ]
  const ordinary: ReadonlyArray<Command['kind']> = [
    'MACRO',
    'HELO',
    'MAIL',
    'RCPT',
    'DATA',
    'ABORT',
    'BODYEOB',
  ]
  const sequence = fc.tuple(
    fc.constantFrom(...starts),
    fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom(...ordinary) },
        { weight: 1, arbitrary: fc.constantFrom(...KINDS) },
      ),
      { maxLength: 30 },
    ),
  )
  const use = fc.constantFrom<StageUse>('answer', 'note', 'skip')
  const seen = fc.constantFrom('answer', 'note')
  const scenario = fc.record({
    kinds: sequence.map((parts) => parts.flat()),
    offer: fc.record({
      version: fc.integer({ min: 1, max: 7 }),
      actions: fc.constantFrom(0, OFFER.actions),
      steps: fc.oneof(fc.constantFrom(0, OFFER.steps), fc.nat({ max: OFFER.steps })),
    }),
    stages: fc.record({ connect: seen, helo: use, mail: seen, rcpt: use, data: use }),
    /** Decides for each answer whether it comes at once, and whether one comes between two chunks. */
    choices: fc.infiniteStream(fc.boolean()),
    places: fc.array(fc.nat(), { maxLength: 12 }),
  })

  // Property, for any sequence of commands, cut anywhere and answered at once or later: the session waits, or ends,
  // closes once and sends nothing more. Each command that awaits a reply gets exactly one, in order. Each transaction
  // that began has ended exactly once when the connection is closed.
  test('each command that awaits a reply gets exactly one, whatever comes in whatever pieces', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ kinds, offer, stages, choices, places }) => {
        const { handler, peer, session } = open()
        handler.wants = { stages, macros: { mail: ['i'] }, addHeaders: true }
        handler.messageEnd = { headers: [['X', 'y']], reply: CONTINUE }
        const replies: { readonly [stage in Stage]?: Reply } = {
          mail: { kind: 'tempfail' },
          rcpt: grey('later'),
        }
        const pending: Array<() => void> = []
        handler.answer = (stage) => {
          const reply = replies[stage] ?? CONTINUE
          if (choices.next().value) return reply
          return new Promise((resolve) => pending.push(() => resolve(reply)))
        }

        const commands = kinds.map((kind): Command => (kind === 'OPTNEG' ? { kind, offer } : COMMAND[kind]))
        for (const chunk of cutAt(encode(...commands), places)) {
          session.receive(chunk)
          if (choices.next().value) pending.shift()?.()
          await Promise.resolve()
        }
        await turn()
        while (pending.length > 0) {
          pending.shift()?.()
          await turn()
        }

        const expected = outcomeOf(kinds, offer, handler.wants)
        assert.deepEqual(
          {
            codes: peer.codes,
            begun: handler.count('mail'),
            errors: peer.errors.length,
            closings: peer.closings,
          },
          expected,
        )
        assert.equal(peer.sentAfterClosing, 0)
        assert.equal(peer.paused && peer.closings === 0, false)
        session.disconnected()
        assert.equal(handler.count('endTransaction'), expected.begun)
      }),
      { numRuns: 500 },
    )
  })

  // Property: for any bytes, the session waits or closes once, and never throws.
  test('any bytes leave it waiting or closed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...STATES), fc.array(fc.uint8Array()), (state, chunks) => {
        const { peer, session, handler } = after(...REACH[state])
        for (const chunk of chunks) session.receive(Buffer.from(chunk))
        session.disconnected()
        assert.ok(peer.closings <= 1)
        assert.equal(handler.count('endTransaction'), handler.count('mail'))
      }),
    )
  })
})
