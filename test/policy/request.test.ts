// Tests of cutting and reading requests of the policy protocol.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeRequest, encodeAction, MAX_REQUEST, RequestReader } from '../../src/policy/request.ts'
import { encodeRequest, RCPT } from './recording.ts'

function decoded(text: string | Buffer) {
  return decodeRequest(typeof text === 'string' ? Buffer.from(text) : text)
}

function faultOf(text: string): string | undefined {
  const result = decoded(text)
  return result.kind === 'malformed' ? result.reason : undefined
}

const BASE =
  'request=smtpd_access_policy\nclient_address=192.0.2.7\nsender=a@b.test\nrecipient=u@example.com\n'

test('a request of Postfix reads as its fields, in any order, among attributes of any other version', () => {
  const bytes = encodeRequest(RCPT)
  const result = decoded(bytes.subarray(0, -1))
  assert.equal(result.kind, 'request')
  if (result.kind !== 'request') return
  const { request } = result
  assert.deepEqual(
    [request.state, request.clientAddress, request.sender, request.recipient, request.instance],
    ['RCPT', '192.0.2.7', 'a@b.test', 'u@example.com', '1f2a.68a1.0'],
  )
  const reversed = Object.fromEntries([...Object.entries(RCPT)].reverse())
  const more = { ...reversed, server_port: '25', mail_version: '3.10', compatibility_level: '3.10', x: '=a=' }
  assert.deepEqual(decoded(encodeRequest(more).subarray(0, -1)), result)
})

test('a value keeps its spaces, equals signs and UTF-8, and bytes that are none stay apart', () => {
  const senderOf = (value: Buffer) => {
    const before = 'request=smtpd_access_policy\nclient_address=192.0.2.7\nrecipient=\nsender='
    const result = decoded(Buffer.concat([Buffer.from(before), value, Buffer.from('\n')]))
    return result.kind === 'request' ? result.request.sender : assert.fail(result.reason)
  }
  for (const value of [' a = b ', 'jörg@bücher.test', '', '='])
    assert.equal(senderOf(Buffer.from(value)), value)
  assert.notEqual(senderOf(Buffer.of(0xe4)), senderOf(Buffer.of(0xe5)))
})

test('what no Postfix sends is malformed, and the reason says what was found and expected', () => {
  for (const [text, reason] of [
    ['', 'there is no request=smtpd_access_policy: expected a request of Postfix'],
    ['GET / HTTP/1.1\r\nHost: x\r\n', 'line "GET / HTTP/1.1\\r": expected NAME=VALUE'],
    ['request=other\n', 'request "other": expected smtpd_access_policy'],
    ['request=smtpd_access_policy\n', 'there is no client_address: expected a request of Postfix'],
    [BASE.replace('recipient=u@example.com\n', ''), 'there is no recipient: expected a request of Postfix'],
    [`${BASE}sender=b@c.test\n`, 'sender is there twice: expected each attribute once'],
    [BASE.replace('b.test', 'b\0.test'), 'sender has a NUL: expected text'],
    [`${BASE}${'x'.repeat(100)}\n`, `line "${'x'.repeat(60)}": expected NAME=VALUE`],
  ] as const) {
    assert.equal(faultOf(text), reason)
  }
  for (const name of ['__proto__', 'constructor', '']) assert.equal(faultOf(`${BASE}${name}=x\n`), undefined)
})

test('an action is one line of printable ASCII, whatever is filled in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
      assert.match(encodeAction(text).toString('latin1'), /^action=[\x20-\x7e]{0,500}\n\n$/)
    }),
  )
})

/** Property: however the stream is cut, the same requests are read. */
test('requests may be cut anywhere', () => {
  const request = fc.array(fc.constantFrom('a=b', 'request=x', '=', `long=${'y'.repeat(50)}`), {
    maxLength: 5,
  })
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 5 }),
      fc.array(fc.nat(40), { maxLength: 30 }),
      (requests, cuts) => {
        const texts = requests.map((lines) => lines.map((line) => `${line}\n`).join(''))
        const stream = Buffer.from(texts.map((text) => `${text}\n`).join(''))
        const reader = new RequestReader()
        const found: string[] = []
        for (let at = 0, cut = 0; at < stream.length; cut += 1) {
          const size = (cuts[cut % Math.max(1, cuts.length)] ?? 0) + 1
          reader.push(stream.subarray(at, at + size))
          at += size
          for (let read = reader.next(); read.kind === 'request'; read = reader.next())
            found.push(read.bytes.toString())
        }
        assert.deepEqual(found, texts)
        reader.next()
        assert.equal(reader.held, 0)
      },
    ),
  )
})

test('a request that is longer than Postfix sends any is found out before it ends, byte by byte or at once', () => {
  const bytes = Buffer.alloc(MAX_REQUEST + 1, 'a=b\n')
  const reader = new RequestReader()
  for (const byte of bytes.subarray(0, MAX_REQUEST)) {
    reader.push(Buffer.of(byte))
    assert.equal(reader.next().kind, 'incomplete')
  }
  assert.ok(reader.held <= 2 * MAX_REQUEST, `${reader.held} bytes`)
  reader.push(Buffer.of(0x61))
  assert.equal(reader.next().kind, 'too-long')
  const whole = new RequestReader()
  whole.push(Buffer.concat([bytes, Buffer.from('\n\n')]))
  assert.equal(whole.next().kind, 'too-long')
})
