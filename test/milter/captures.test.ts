// Replays the conversations of test/captures through a Session: nothing that real Postfix and Sendmail sent is taken
// for a broken protocol, and the handler sees senders and recipients in order, however the stream is cut.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Session } from '../../src/milter/session.ts'
import { readCaptures } from '../support/captures.ts'
import { LIMITS, RecordingHandler, RecordingPeer } from './recording.ts'

/** What a session makes of a connection that arrives in these chunks. */
function replay(chunks: readonly Buffer[]) {
  const handler = new RecordingHandler()
  const peer = new RecordingPeer()
  const session = new Session(handler, peer, LIMITS)
  for (const chunk of chunks) session.receive(chunk)
  session.disconnected()
  return { events: handler.events, codes: peer.codes, errors: peer.errors, closings: peer.closings }
}

function seen(connections: readonly Buffer[], pattern: RegExp): string[] {
  return connections.flatMap((stream) => replay([stream]).events.filter((event) => pattern.test(event)))
}

const ORDINARY = ['mail <a@b.test>', 'rcpt <u@example.com>', 'rcpt <v@example.com>', 'endOfMessage']
const TWO_MESSAGES = [
  ...ORDINARY,
  'mail <second@b.test>',
  'rcpt <w@example.com>',
  'mail <>',
  'rcpt <x@example.com>',
]
const DEFERRED = ['mail <a@b.test>', 'rcpt <bob@example.com>', 'rcpt <u@example.com>', 'endOfMessage']
const REFUSED = ['mail <a@b.test>', 'mail <c@d.test>', 'rcpt <u@example.com>']
const DROPPED = ['mail <a@b.test>', 'rcpt <u@example.com>']
const WEIRD = [
  '<@r1.test,@r2.test:src@route.test>',
  '<"quo ted"@q.test>',
  '<"plain"@q.test>',
  '<UPPER@CASE.TEST>',
  'a@nobrackets.test',
  '<postmaster>',
  '<>',
  '< sp@ace.test >',
  '<"a\\"b"@q.test>',
].flatMap((sender) => [`mail ${sender}`, sender === '<>' ? 'rcpt <Postmaster>' : 'rcpt <"R c"@Example.COM>'])

/** The transactions of each conversation, as the handler has to see them. */
const EXPECTED: { readonly [file: string]: { readonly [title: string]: readonly string[] } } = {
  'postfix.txt': {
    'two messages, RSET, null sender, unknown command': TWO_MESSAGES,
    'XCLIENT, each on a fresh connection': [...DROPPED, ...DROPPED],
    'one of three recipients deferred': DEFERRED,
    'refused MAIL, then another': REFUSED,
    'client drops': DROPPED,
    'pipelining, one of two recipients deferred': DEFERRED,
    'weird addresses': [...WEIRD, 'mail <дм@пример.test>', 'rcpt <ю@example.com>'],
  },
  'sendmail.txt': {
    'two messages, RSET, null sender, unknown command': TWO_MESSAGES,
    'one of three recipients deferred': DEFERRED,
    'refused MAIL, then another': REFUSED,
    'client drops': DROPPED,
    'pipelining, one of two recipients deferred': DEFERRED,
    'weird addresses': WEIRD,
  },
}

const CLIENTS: { readonly [title: string]: readonly string[] } = {
  'XCLIENT, each on a fresh connection': [
    'connect [127.0.0.1] 127.0.0.1',
    'connect host.test 192.0.2.7',
    'connect [127.0.0.1] 127.0.0.1',
    'connect [2001:db8::7] 2001:db8::7',
  ],
}

for (const [file, expected] of Object.entries(EXPECTED)) {
  const conversations = readCaptures(file).map(({ title, connections }) => ({
    title,
    connections: connections.map((packets) => Buffer.concat(packets)),
  }))

  describe(`Session follows ${file}:`, () => {
    test('every conversation of the file is one that is expected here', () => {
      assert.deepEqual(
        conversations.map(({ title }) => title),
        Object.keys(expected),
      )
    })

    for (const { title, connections } of conversations) {
      test(`${title}: no protocol error, and the MTA's QUIT is the end`, () => {
        for (const stream of connections) {
          const { errors, closings } = replay([stream])
          assert.deepEqual(errors, [])
          assert.equal(closings, 1)
        }
      })

      test(`${title}: clients, senders and recipients come in order, and each transaction ends once`, () => {
        assert.deepEqual(seen(connections, /^(mail|rcpt|endOfMessage)/), expected[title])
        assert.equal(seen(connections, /^endTransaction/).length, seen(connections, /^mail/).length)
        const client =
          file === 'postfix.txt' ? 'connect [127.5.6.7] 127.5.6.7' : 'connect named.client.test 127.5.6.7'
        assert.deepEqual(seen(connections, /^connect/), CLIENTS[title] ?? [client])
      })

      test(`${title}: the same wherever the stream is cut`, () => {
        for (const stream of connections) {
          const whole = replay([stream])
          for (let at = 1; at < stream.length; at += 1) {
            assert.deepEqual(replay([stream.subarray(0, at), stream.subarray(at)]), whole, `cut at ${at}`)
          }
          const bytes = Array.from(stream, (byte) => Buffer.of(byte))
          assert.deepEqual(replay(bytes), whole)
        }
      })
    }
  })
}
