// Tests of the lines by which Exim asks: those of greylistd's ACL, and that nothing of a stranger's leaves its field.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatRequest, parseRequest } from '../../src/exim/request.ts'
import { MAX_LINE } from '../../src/exim/session.ts'
import { encodeText } from '../../src/milter/text.ts'

function parsed(line: string) {
  return parseRequest(Buffer.from(line))
}

/** Exim's operator `quote` (expand.c, EOP_QUOTE). */
function eximQuote(text: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(text)) return text
  const escaped = text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  return `"${escaped}"`
}

type Triplet = [
  line: string,
  list: string | undefined,
  client: string,
  sender: string,
  recipients: readonly string[],
]

const TRIPLETS: readonly Triplet[] = [
  ['--grey 192.0.2.7 a@b.test u@example.com', 'grey', '192.0.2.7', 'a@b.test', ['u@example.com']],
  ['192.0.2.0/24 a@b.test u@example.com', undefined, '192.0.2.0/24', 'a@b.test', ['u@example.com']],
  [
    'update --white 2001:db8::7  a@b.test\tu@example.com\r',
    'white',
    '2001:db8::7',
    'a@b.test',
    ['u@example.com'],
  ],
  ['update 192.0.2.7 a@b.test u@example.com', undefined, '192.0.2.7', 'a@b.test', ['u@example.com']],
  ['--black 192.0.2.7 u@example.com', 'black', '192.0.2.7', '', ['u@example.com']],
  [
    '--grey 192.0.2.7 u@example.com, "v, w"@example.com, x@example.com',
    'grey',
    '192.0.2.7',
    '',
    ['u@example.com', '"v, w"@example.com', 'x@example.com'],
  ],
  ['--grey 192.0.2.7 "v, w"@example.com', 'grey', '192.0.2.7', '', ['"v, w"@example.com']],
  ...['a."b, c"@b.test', '"b, c".a@b.test', 'a\\ b@b.test', 'a\\,\\ b@b.test', 'a\u00a0b@b.test'].map(
    (sender): Triplet => [
      `--grey 192.0.2.7 ${sender} u@example.com`,
      'grey',
      '192.0.2.7',
      sender,
      ['u@example.com'],
    ],
  ),
  [
    '--grey 192.0.2.7 a@b.test u\u00a0v@example.com',
    'grey',
    '192.0.2.7',
    'a@b.test',
    ['u\u00a0v@example.com'],
  ],
  [
    '--grey 192.0.2.7 u\\,v@example.com, x@example.com',
    'grey',
    '192.0.2.7',
    '',
    ['u\\,v@example.com', 'x@example.com'],
  ],
  // Exim takes the quotes off a recipient's local part, and leaves those of a sender.
  [
    '--grey 192.0.2.7 "a \\" b"@b.test u v@example.com',
    'grey',
    '192.0.2.7',
    '"a \\" b"@b.test',
    ['"u v"@example.com'],
  ],
  ['--grey 192.0.2.7 a@b.test u"v@example.com', 'grey', '192.0.2.7', 'a@b.test', ['"u\\"v"@example.com']],
  ['--grey 192.0.2.7 a@b.test u(v)@example.com', 'grey', '192.0.2.7', 'a@b.test', ['"u(v)"@example.com']],
  ['--grey 192.0.2.7 a@b.test u, v@example.com', 'grey', '192.0.2.7', 'a@b.test', ['"u, v"@example.com']],
  ['--grey 192.0.2.7 a@b.test "u v"@example.com', 'grey', '192.0.2.7', 'a@b.test', ['"u v"@example.com']],
  [
    '2001.0DB8.0000.0000.0000.0000.0000.0000/64 a@b.test u@example.com',
    undefined,
    '2001.0DB8.0000.0000.0000.0000.0000.0000/64',
    'a@b.test',
    ['u@example.com'],
  ],
]

for (const [line, list, client, sender, recipients] of TRIPLETS) {
  test(`parseRequest() reads greylistd's ${JSON.stringify(line)}`, () => {
    assert.deepEqual(parsed(line), { kind: 'greylistd', list, client, sender, recipients })
  })
}

const REFUSED: ReadonlyArray<[line: string, reason: RegExp, answer: string]> = [
  ['', /^expected client, sender and recipient: ""$/, 'error: expected client, sender and recipient'],
  ['stats', /^greymx keeps no such lists: "stats"$/, 'error: greymx keeps no such lists'],
  ['check --grey 192.0.2.7 a@b.test u@example.com', /^greymx keeps no such lists/, 'false'],
  ['get /', /^no request begins so: "get \/"$/, 'error: no request begins so'],
  ['--green 192.0.2.7 a@b.test u@example.com', /^greylistd has no such list: "green"$/, 'false'],
  ['--grey mail.b.test a@b.test u@example.com', /^expected client, sender and recipient/, 'false'],
  ['--grey 192.0.2.7', /^expected client, sender and recipient/, 'false'],
  ['--grey', /^expected client, sender and recipient/, 'error: expected client, sender and recipient'],
  ['192.0.2.7 a\0@b.test u@example.com', /^a NUL is in it/, 'error: a NUL is in it'],
  ['rcpt', /^a field is missing: "client"$/, 'pass'],
  ['rcpt client=192.0.2.7 sender="a@b.test"', /^a field is missing: "recipient"$/, 'pass'],
  ['rcpt client=192.0.2.7 sender="" recipient=""', /^a field is empty: "recipient"$/, 'pass'],
  ['rcpt client=192.0.2.7 recipient=u', /^a field is missing: "sender"$/, 'pass'],
  ['data client=192.0.2.7 sender=""', /^a field is missing: "recipients"$/, 'pass'],
  ['rcpt client=192.0.2.7 sender="" recipient=u helo=a helo=b', /^the field is given twice: "helo"$/, 'pass'],
  ['rcpt client=192.0.2.7 sendr="" recipient=u', /^no field has this name: "sendr"$/, 'pass'],
  [
    'rcpt client=192.0.2.7 sender=a@b.test recipient=u',
    /^no field like name=\$\{quote:…\} begins there: "sender=a@b/,
    'pass',
  ],
  ['rcpt client=192.0.2.7 sender="a recipient=u', /begins there: "sender=\\"a recipient=u"$/, 'pass'],
  ['rcpt client=192.0.2.7 sender="a"b recipient=u', /begins there/, 'pass'],
  ['rcpt client=192.0.2.7 sender="a\\', /begins there/, 'pass'],
  ['rcpt client=192.0.2.7, sender="" recipient=u', /begins there: "client=192\.0\.2\.7, sender/, 'pass'],
  [`rcpt ${'x'.repeat(200)}`, /^no field like .*: "x{80}…"$/, 'pass'],
]

for (const [line, reason, answer] of REFUSED) {
  test(`parseRequest() lets mail pass on ${JSON.stringify(line.slice(0, 70))}`, () => {
    const request = parsed(line)
    assert.ok(request.kind === 'refused', JSON.stringify(request))
    assert.match(request.reason, reason)
    assert.equal(request.answer, answer)
  })
}

test('parseRequest() reads fields in any order', () => {
  const request = parsed(
    'rcpt recipient="u@example.com" sender="a \\"b\\" \\\\\\r\\n"  client=192.0.2.7 helo=""',
  )
  assert.ok(request.kind === 'rcpt')
  assert.equal(request.recipient, 'u@example.com')
  assert.deepEqual(
    { sender: request.of.sender, client: request.of.client, helo: request.of.helo, mta: request.of.mta },
    { sender: 'a "b" \\\r\n', client: '192.0.2.7', helo: '', mta: '' },
  )
})

/** Text as a stranger may send it: anything that an SMTP command line can carry. */
const hostile = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        '\\',
        ' ',
        '=',
        '\n',
        '\r',
        '\t',
        'client=',
        'a',
        '@',
        ',',
        '$',
        '{',
        '}',
        '%',
        'ü',
      ),
    }),
  )
  .map((text) => text.replaceAll('\0', ''))

test('what the operator quote makes of any text is read as that text, and as nothing else', () => {
  fc.assert(
    fc.property(hostile, hostile, hostile, hostile, (helo, sender, recipient, name) => {
      fc.pre(recipient !== '')
      const fields = { client: '192.0.2.7', name, helo, sender, recipient }
      const line = Object.entries(fields).map(([field, value]) => `${field}=${eximQuote(value)}`)
      const request = parsed(`rcpt ${line.join(' ')}`)
      assert.ok(request.kind === 'rcpt', JSON.stringify(request))
      const { of } = request
      assert.deepEqual(
        { client: of.client, name: of.name, helo: of.helo, sender: of.sender, recipient: request.recipient },
        fields,
      )
      for (const other of [
        of.auth,
        of.user,
        of.verified,
        of.subject,
        of.issuer,
        of.fingerprint,
        of.message,
        of.id,
        of.mta,
      ])
        assert.equal(other, '')
    }),
  )
})

test('a field without the operator quote is one plain or quoted word, or the request is refused', () => {
  fc.assert(
    fc.property(hostile, (helo) => {
      const request = parsed(`rcpt client=192.0.2.7 sender=a recipient=u helo=${helo}`)
      if (request.kind !== 'rcpt') return
      const { of } = request
      assert.match(helo.trim(), /^(?:[A-Za-z0-9_.-]*|".*")$/s)
      assert.deepEqual([of.client, of.sender, request.recipient], ['192.0.2.7', 'a', 'u'])
      for (const other of [of.name, of.auth, of.user, of.verified, of.message, of.mta])
        assert.equal(other, '')
    }),
  )
})

test('formatRequest() writes what parseRequest() reads', () => {
  fc.assert(
    fc.property(
      hostile,
      fc.array(
        hostile.filter((text) => text !== ''),
        { minLength: 1 },
      ),
      (sender, recipients) => {
        const of = { client: '192.0.2.7', sender }
        const line = formatRequest(of, recipients, 'rcpt')
        assert.equal(line.at(-1), 0x0a)
        const request = parseRequest(line.subarray(0, -1))
        assert.ok(request.kind === 'rcpt')
        assert.deepEqual([request.of.sender, request.recipient], [sender, recipients[0]])
      },
    ),
  )
  const request = parseRequest(
    formatRequest(
      { client: '192.0.2.7', sender: '' },
      ['u@example.com', '"v, w"@example.com'],
      'data',
    ).subarray(0, -1),
  )
  assert.ok(request.kind === 'data')
  assert.deepEqual(request.recipients, ['u@example.com', '"v, w"@example.com'])
})

test('bytes that are no UTF-8 stay apart from each other', () => {
  const requests = [0xfc, 0xfd].map((byte) =>
    parseRequest(
      Buffer.concat([
        Buffer.from('rcpt client=192.0.2.7 recipient=u sender="'),
        Buffer.of(byte),
        Buffer.from('"'),
      ]),
    ),
  )
  const senders = requests.map((request) =>
    request.kind === 'rcpt' ? encodeText(request.of.sender) : undefined,
  )
  assert.deepEqual(senders, [Buffer.of(0xfc), Buffer.of(0xfd)])
})

// Work that grew with the square of the length would take longer than the time-out.
test('parseRequest() takes any bytes, and as many as fit in a line', { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.constantFrom('', 'rcpt ', 'data client=1 ', '--grey ', 'update '),
      (bytes, start) => {
        const request = parseRequest(Buffer.concat([Buffer.from(start), bytes]))
        assert.ok(['rcpt', 'data', 'greylistd', 'refused'].includes(request.kind))
      },
    ),
  )
  const many = MAX_LINE
  for (const piece of ['"', '\\', 'a="', 'a=b ', ' ', ',', '" ', '\\"', 'a', '-', '@']) {
    for (const start of ['rcpt ', 'data recipients="', '1.2.3.4 ', '1.2.3.4 "', '--grey 1 a,']) {
      const line = Buffer.from(start + piece.repeat(Math.ceil(many / piece.length)))
      parseRequest(line)
    }
  }
})
