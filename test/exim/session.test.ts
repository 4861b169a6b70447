// Tests of EximSession: that each line gets one line, in order and whatever its bytes are, and that the session ends with
// the MTA's half of the connection. The tests resolve the answers' promises, so that nothing depends on timing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { LineReader } from '../../src/exim/lines.ts'
import type { EximRequest } from '../../src/exim/request.ts'
import { type AnswerRequest, type EximFault, EximSession } from '../../src/exim/session.ts'
import type { Peer } from '../../src/sockets/session.ts'
import { cutAt } from '../milter/recording.ts'

const RCPT = 'rcpt client=192.0.2.7 sender="a@b.test" recipient="u@example.com"'

/** Records what happens to a connection. Actions given to `later` wait for `giveTurns`. */
class RecordingPeer implements Peer<EximFault> {
  sent = ''
  takesReplies = true
  paused = false
  closings = 0
  readonly faults: string[] = []
  readonly turns: Array<() => void> = []

  send(bytes: Buffer): boolean {
    assert.equal(this.closings, 0, 'nothing is sent on a closed connection')
    this.sent += bytes.toString('latin1')
    return this.takesReplies
  }
  end(): void {
    this.closings += 1
  }
  fail(kind: EximFault, _reason: string): void {
    this.faults.push(kind)
    this.closings += 1
  }
  exceeded(kind: EximFault, _reason: string): void {
    this.faults.push(kind)
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  later(action: () => void): void {
    this.turns.push(action)
  }
  giveTurns(): void {
    while (this.turns.length > 0) this.turns.shift()?.()
  }
}

function open(answer: AnswerRequest = shown, maxLine?: number) {
  const peer = new RecordingPeer()
  return { peer, session: new EximSession(answer, peer, maxLine) }
}

/** An answer that names what was asked. */
function shown(request: EximRequest): string {
  return request.kind === 'rcpt' ? `${request.kind} ${request.recipient}` : request.kind
}

test('a line that ends gets a line that ends, and one that ends with the input gets none', () => {
  const { peer, session } = open()
  session.receive(Buffer.from(`${RCPT}\r\n1.2.3.4 a@b.test u@example.com\n--grey 1.2`))
  assert.equal(peer.sent, 'rcpt u@example.com\ngreylistd\n')
  assert.equal(session.waiting, 'frame')
  session.receive(Buffer.from('.3.4 u@example.com'))
  session.inputOver()
  assert.equal(peer.sent, 'rcpt u@example.com\ngreylistd\ngreylistd')
  assert.equal(peer.closings, 1)
})

test('input that ends behind a line end, or before any byte, ends the connection', () => {
  for (const bytes of ['', `${RCPT}\n`]) {
    const { peer, session } = open()
    if (bytes !== '') session.receive(Buffer.from(bytes))
    session.inputOver()
    assert.deepEqual([peer.closings, peer.faults], [1, []])
  }
})

test('lines wait for the answer to the one before them, and input that is over for the last answer', async () => {
  const resolvers: Array<(text: string) => void> = []
  const { peer, session } = open(() => new Promise((resolve) => resolvers.push(resolve)))
  session.receive(Buffer.from(`${RCPT}\n`))
  assert.equal(session.waiting, 'us')
  session.receive(Buffer.from(`${RCPT}\n${RCPT}`))
  assert.equal(peer.paused, true)
  session.inputOver()
  session.endIfIdle()
  for (const text of ['one', 'two', 'three']) {
    assert.deepEqual([resolvers.length, peer.closings], [1, 0])
    resolvers.shift()?.(text)
    await turn()
  }
  assert.equal(peer.sent, 'one\ntwo\nthree')
  assert.equal(peer.closings, 1)
})

test('an answer that comes after the connection has closed is dropped', async () => {
  let resolve = (_: string) => {}
  const { peer, session } = open(
    () =>
      new Promise((given) => {
        resolve = given
      }),
  )
  session.receive(Buffer.from(`${RCPT}\n`))
  session.disconnected()
  resolve('pass')
  await turn()
  assert.deepEqual([peer.sent, peer.closings], ['', 0])
})

test('nothing is answered while the MTA takes no replies', () => {
  const { peer, session } = open()
  peer.takesReplies = false
  session.receive(Buffer.from(`${RCPT}\n${RCPT}\n`))
  assert.equal(peer.sent, 'rcpt u@example.com\n')
  assert.equal(session.waiting, 'reader')
  const { progress } = session
  peer.takesReplies = true
  session.replied()
  assert.equal(peer.sent, 'rcpt u@example.com\nrcpt u@example.com\n')
  assert.ok(session.progress > progress)
  assert.equal(session.waiting, 'idle')
  session.endIfIdle()
  assert.equal(peer.closings, 1)
})

test('other connections have their turn after 16 requests', () => {
  const { peer, session } = open()
  session.receive(Buffer.from(`${RCPT}\n`.repeat(40)))
  assert.equal(peer.sent.split('\n').length - 1, 16)
  assert.equal(session.waiting, 'us')
  peer.giveTurns()
  assert.equal(peer.sent.split('\n').length - 1, 40)
  assert.equal(peer.paused, false)
})

test('a line that is too long closes the connection before its end has come', () => {
  for (const bytes of ['x'.repeat(101), `${'x'.repeat(101)}\n`]) {
    const { peer, session } = open(shown, 100)
    session.receive(Buffer.from(`${RCPT}\n${bytes}`))
    assert.deepEqual([peer.faults, peer.closings], [['exim-length'], 1])
    assert.equal(peer.sent, 'rcpt u@example.com\n')
    session.receive(Buffer.from(`${RCPT}\n`))
    session.inputOver()
    assert.equal(peer.closings, 1)
  }
  const { peer, session } = open(shown, 100)
  session.receive(Buffer.from('x'.repeat(100)))
  session.inputOver()
  assert.equal(peer.sent, 'refused')
})

test('an answer is one line of printable ASCII, cut where no reply of SMTP is longer', () => {
  for (const [text, expected] of [
    ['defer 451 a\r\nb\0ü%{$}', 'defer 451 a??b??%{$}\n'],
    ['x'.repeat(2000), `${'x'.repeat(520)}\n`],
  ] as const) {
    const { peer, session } = open(() => text)
    session.receive(Buffer.from(`${RCPT}\n`))
    assert.equal(peer.sent, expected)
  }
})

test('a line that comes byte by byte takes no more memory than twice its length', () => {
  const reader = new LineReader(1000)
  for (let count = 0; count < 900; count += 1) {
    reader.push(Buffer.from('x'))
    assert.equal(reader.next().kind, 'incomplete')
  }
  assert.ok(reader.held <= 2048, String(reader.held))
})

/** Requests, the beginnings of some, and rubbish. */
const pieces = fc.oneof(
  { weight: 3, arbitrary: fc.constant(RCPT) },
  fc.constantFrom(
    '--grey 1.2.3.4 a@b.test u@example.com',
    'rcpt',
    'data client=1 sender="" recipients="a, b"',
    '',
  ),
  fc.constantFrom('stats', 'rcpt client="', '--grey', '\r', '"', '\\', 'update '),
  fc.string({ unit: 'binary' }),
)
const lines = fc
  .array(
    fc.tuple(pieces, pieces).map((both) => Buffer.from(both.join(' ').replaceAll('\n', ' '))),
    { maxLength: 40 },
  )
  .chain((texts) => fc.tuple(fc.constant(texts), fc.uint8Array({ maxLength: 20 })))
  .map(([texts, bytes]) => [...texts, Buffer.from(bytes)].map(withoutLf))

function withoutLf(line: Buffer): Buffer {
  return Buffer.from(line.map((byte) => (byte === 0x0a ? 0x20 : byte)))
}

// Each line gets exactly one line of printable ASCII, whatever its bytes are and wherever the stream is cut; the answers
// are those that the lines get when they come one by one.
test('any lines get one answer each, however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      lines,
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.infiniteStream(fc.boolean()),
      fc.boolean(),
      async (asked, cuts, isLate, hasLastEnd) => {
        const whole = Buffer.concat(asked.flatMap((line) => [line, Buffer.from('\n')]))
        const bytes = hasLastEnd ? whole : whole.subarray(0, -1)
        const late = isLate[Symbol.iterator]()
        const { peer, session } = open((request) => {
          const text = shown(request)
          return late.next().value ? Promise.resolve(text) : text
        })
        for (const chunk of cutAt(bytes, cuts)) {
          session.receive(chunk)
          peer.giveTurns()
          if (late.next().value) await turn()
        }
        session.inputOver()
        while (peer.closings === 0) {
          await turn()
          peer.giveTurns()
        }
        const expected = asked.map((line) => {
          const alone = open()
          alone.session.receive(Buffer.concat([line, Buffer.from('\n')]))
          assert.match(alone.peer.sent, /^[\x20-\x7e]+\n$/)
          return alone.peer.sent
        })
        // A last line without a byte is none.
        const isNone = !hasLastEnd && asked.at(-1)?.length === 0
        const all = (isNone ? expected.slice(0, -1) : expected).join('')
        assert.equal(peer.sent, hasLastEnd || isNone ? all : all.slice(0, -1))
        assert.equal(peer.closings, 1)
        assert.ok(!peer.faults.includes('exim-length'))
      },
    ),
    { numRuns: 300 },
  )
})
