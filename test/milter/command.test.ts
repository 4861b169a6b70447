// Tests of decodeCommand and encodeCommand: each command of an MTA is read from its frame, and all else is refused with
// a reason.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { COMMANDS, type CommandName } from '../../src/milter/codes.ts'
import {
  type Command,
  type Connection,
  cString,
  decodeCommand,
  encodeCommand,
  type Malformed,
  withBraces,
  words,
} from '../../src/milter/command.ts'
import { FrameReader } from '../../src/milter/frame.ts'
import { decodeText } from '../../src/milter/text.ts'
import { COMMAND, cutAt } from './recording.ts'

/** Any text that the wire can carry: valid UTF-8 or not, and without NUL. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((some) => some.replaceAll('\0', '')),
  fc.uint8Array({ min: 1 }).map((some) => decodeText(Buffer.from(some))),
)
const word = fc.nat({ max: 0xffff_ffff })
/** Makes objects with a prototype, as deepEqual tells them from objects without. */
const WITH_PROTOTYPE = { noNullPrototype: true }
const commandNames = fc.constantFrom(...Object.values(COMMANDS))
const macroName = fc.oneof(text, fc.constantFrom('i', '_', 'mail_addr', '', '{', '}', '{}', '{x', 'x}'))

const connection: fc.Arbitrary<Connection> = fc.oneof(
  fc.record({ hostName: text, family: fc.constant('unknown' as const) }, WITH_PROTOTYPE),
  fc.record(
    {
      hostName: text,
      family: fc.constantFrom('inet' as const, 'inet6' as const, 'unix' as const),
      port: fc.nat({ max: 0xffff }),
      address: text,
    },
    WITH_PROTOTYPE,
  ),
)

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('OPTNEG' as const),
      offer: fc.record({ version: word, actions: word, steps: word }, WITH_PROTOTYPE),
    },
    WITH_PROTOTYPE,
  ),
  fc.record(
    {
      kind: fc.constant('MACRO' as const),
      stage: commandNames,
      macros: fc.array(fc.tuple(macroName, text)),
    },
    WITH_PROTOTYPE,
  ),
  fc.record({ kind: fc.constant('CONNECT' as const), connection }, WITH_PROTOTYPE),
  fc.record({ kind: fc.constant('HELO' as const), name: text }, WITH_PROTOTYPE),
  fc.record(
    {
      kind: fc.constantFrom('MAIL' as const, 'RCPT' as const),
      address: text,
      parameters: fc.array(text),
    },
    WITH_PROTOTYPE,
  ),
  fc.record(
    {
      kind: fc.constantFrom(
        'DATA' as const,
        'HEADER' as const,
        'EOH' as const,
        'BODY' as const,
        'BODYEOB' as const,
        'ABORT' as const,
        'QUIT' as const,
        'QUIT_NC' as const,
        'UNKNOWN' as const,
      ),
    },
    WITH_PROTOTYPE,
  ),
)

/** The commands in the chunks, until one is malformed. */
function decodeAll(chunks: readonly Buffer[]): Array<Command | Malformed> {
  const reader = new FrameReader()
  const commands: Array<Command | Malformed> = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let result = reader.next(); result.kind !== 'incomplete'; result = reader.next()) {
      assert.ok(result.kind === 'frame')
      commands.push(decodeCommand(result.bytes))
    }
  }
  return commands
}

describe('decodeCommand()', () => {
  // Property: any bytes decode to a command or are refused with a reason.
  test('reads a command from any bytes, or says why there is none', () => {
    const letter = fc.constantFrom(...Object.keys(COMMANDS)).map((code) => code.charCodeAt(0))
    const frame = fc.oneof(
      fc.uint8Array(),
      fc.tuple(letter, fc.uint8Array()).map(([code, rest]) => [code, ...rest]),
      // Few different bytes occur, so that strings end and macros come in pairs.
      fc
        .tuple(letter, fc.array(fc.constantFrom(0, 0x34, 0x36, 0x43, 0x4c, 0x55, 0x7b, 0x7d, 0xff)))
        .map(([code, rest]) => [code, ...rest]),
    )
    fc.assert(
      fc.property(frame, (bytes) => {
        const decoded = decodeCommand(Buffer.from(bytes))
        if (decoded.kind === 'malformed') assert.ok(decoded.reason.length > 0)
        else assert.equal(decoded.kind, COMMANDS[String.fromCharCode(bytes[0] ?? 0) as keyof typeof COMMANDS])
      }),
      { numRuns: 2000 },
    )
  })

  // Property: decodeCommand() undoes encodeCommand(), for every kind of command.
  test('reads back what encodeCommand() wrote', () => {
    fc.assert(
      fc.property(command, (sent) => {
        assert.deepEqual(decodeAll([encodeCommand(sent)]), [sent])
      }),
      { numRuns: 1000 },
    )
  })

  // Property: the same commands come out wherever the stream is cut.
  test('gives the same commands however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 6 }), fc.array(fc.nat()), (sent, places) => {
        assert.deepEqual(decodeAll(cutAt(Buffer.concat(sent.map(encodeCommand)), places)), sent)
      }),
    )
  })

  test('knows every command of the table by its letter', () => {
    for (const [letter, name] of Object.entries(COMMANDS)) {
      const frame = encodeCommand(COMMAND[name as CommandName]).subarray(4)
      assert.equal(String.fromCharCode(frame[0] ?? 0), letter)
      assert.deepEqual(decodeCommand(frame), COMMAND[name as CommandName])
    }
  })

  const read: ReadonlyArray<readonly [what: string, frame: Buffer, command: Command]> = [
    [
      'the offer of Postfix 3.7 and Sendmail 8.17',
      Buffer.from('4f00000006000001ff001fffff', 'hex'),
      { kind: 'OPTNEG', offer: { version: 6, actions: 0x1ff, steps: 0x1fffff } },
    ],
    [
      'an offer with bits above the 31st as positive numbers',
      Buffer.from('4fffffffffffffffffffffffff', 'hex'),
      { kind: 'OPTNEG', offer: { version: 0xffff_ffff, actions: 0xffff_ffff, steps: 0xffff_ffff } },
    ],
    [
      'an offer with more behind it, as a later version may send',
      Buffer.from('4f000000060000000000000000ffff', 'hex'),
      { kind: 'OPTNEG', offer: { version: 6, actions: 0, steps: 0 } },
    ],
    [
      'macro names with and without braces alike',
      Buffer.from('DM{mail_addr}\0a@b\0i\0ID\0{j}\0h\0'),
      {
        kind: 'MACRO',
        stage: 'MAIL',
        macros: [
          ['mail_addr', 'a@b'],
          ['i', 'ID'],
          ['j', 'h'],
        ],
      },
    ],
    ['no macros at all', Buffer.from('DH'), { kind: 'MACRO', stage: 'HELO', macros: [] }],
    [
      'an IPv4 client',
      Buffer.from('Cc.example\x004\x1f\x40192.0.2.7\0', 'latin1'),
      {
        kind: 'CONNECT',
        connection: { hostName: 'c.example', family: 'inet', port: 8000, address: '192.0.2.7' },
      },
    ],
    [
      'an IPv6 client, with the prefix that Sendmail writes',
      Buffer.from('C[IPv6:2001:db8::7]\x006\x00\x00IPv6:2001:db8::7\0', 'latin1'),
      {
        kind: 'CONNECT',
        connection: {
          hostName: '[IPv6:2001:db8::7]',
          family: 'inet6',
          port: 0,
          address: 'IPv6:2001:db8::7',
        },
      },
    ],
    [
      'a client on a unix socket',
      Buffer.from('Clocalhost\0L\x00\x00/run/x\0', 'latin1'),
      { kind: 'CONNECT', connection: { hostName: 'localhost', family: 'unix', port: 0, address: '/run/x' } },
    ],
    [
      'a client without an address, such as a local one',
      Buffer.from('Clocalhost\0U'),
      { kind: 'CONNECT', connection: { hostName: 'localhost', family: 'unknown' } },
    ],
    ['an empty HELO name', Buffer.from('H\0'), { kind: 'HELO', name: '' }],
    ['the null sender', Buffer.from('M<>\0'), { kind: 'MAIL', address: '<>', parameters: [] }],
    [
      'ESMTP parameters',
      Buffer.from('R<a@b>\0NOTIFY=NEVER\0ORCPT=rfc822;a@b\0'),
      { kind: 'RCPT', address: '<a@b>', parameters: ['NOTIFY=NEVER', 'ORCPT=rfc822;a@b'] },
    ],
    ['a header without looking at it', Buffer.from('LSubject\0no end'), { kind: 'HEADER' }],
    ['a body without looking at it', Buffer.from('B\0\xff', 'latin1'), { kind: 'BODY' }],
    ['an unknown command without looking at it', Buffer.from('UFOO'), { kind: 'UNKNOWN' }],
  ]
  for (const [what, frame, expected] of read) {
    test(`reads ${what}`, () => assert.deepEqual(decodeCommand(frame), expected))
  }

  const refused: ReadonlyArray<readonly [frame: string, reason: RegExp]> = [
    ['', /^empty frame: expected a command character$/],
    ['X', /^unknown command 0x58$/],
    ['\0', /^unknown command 0x00$/],
    ['\xff', /^unknown command 0xff$/],
    ['o', /^unknown command 0x6f$/],
    ['O', /^malformed OPTNEG: expected 12 bytes, got 0$/],
    ['O\0\0\0\x06\0\0\0\0\0\0\0', /^malformed OPTNEG: expected 12 bytes, got 11$/],
    ['D', /^malformed MACRO: expected the character of a command first$/],
    ['Dx', /^malformed MACRO: expected the character of a command first$/],
    ['DMi\0', /^malformed MACRO: expected pairs/],
    ['DMi\0ID', /^malformed MACRO: expected pairs/],
    ['DMi\0ID\0j\0', /^malformed MACRO: expected pairs/],
    ['C', /^malformed CONNECT: expected a host name that ends in NUL$/],
    ['Chost', /^malformed CONNECT: expected a host name that ends in NUL$/],
    ['Chost\0', /^malformed CONNECT: expected an address family/],
    ['Chost\x005', /^malformed CONNECT: expected an address family of 4, 6, L or U, got "5"$/],
    ['Chost\x004\0', /^malformed CONNECT: expected a port/],
    ['Chost\x004\0\0', /^malformed CONNECT: expected one address/],
    ['Chost\x004\0\x00192.0.2.7', /^malformed CONNECT: expected one address/],
    ['Chost\x004\0\x00192.0.2.7\0more\0', /^malformed CONNECT: expected one address/],
    ['H', /^malformed HELO: expected one string that ends in NUL$/],
    ['Hname', /^malformed HELO: expected one string/],
    ['Hname\0other\0', /^malformed HELO: expected one string/],
    ['M', /^malformed MAIL: expected an address that ends in NUL$/],
    ['M<a@b>', /^malformed MAIL: expected an address/],
    ['M<a@b>\0SIZE=1', /^malformed MAIL: expected an address/],
    ['R', /^malformed RCPT: expected an address that ends in NUL$/],
  ]
  for (const [frame, reason] of refused) {
    test(`refuses ${JSON.stringify(frame)}`, () => {
      const decoded = decodeCommand(Buffer.from(frame, 'latin1'))
      assert.ok(decoded.kind === 'malformed')
      assert.match(decoded.reason, reason)
    })
  }
})

describe('encodeCommand()', () => {
  test('writes macro names as libmilter does: braces around all but one-letter names', () => {
    const macros = [
      ['i', 'ID'],
      ['mail_addr', 'a@b'],
    ] as const
    assert.equal(
      encodeCommand({ kind: 'MACRO', stage: 'MAIL', macros }).toString('latin1', 4),
      'DMi\0ID\0{mail_addr}\0a@b\0',
    )
    assert.equal(withBraces('_'), '_')
  })

  test('writes a client whose address is unknown without port and address', () => {
    const frame = encodeCommand({ kind: 'CONNECT', connection: { hostName: 'h', family: 'unknown' } })
    assert.equal(frame.toString('latin1', 4), 'Ch\0U')
  })
})

test('words() writes unsigned 32-bit numbers in network order', () => {
  assert.equal(words(1, 0xffff_ffff).toString('hex'), '00000001ffffffff')
  assert.equal(words().length, 0)
})

test('cString() ends in NUL and writes escaped bytes as they were', () => {
  assert.equal(cString('a\udcff').toString('hex'), '61ff00')
})

test('a frame full of empty strings is refused before it costs anything', () => {
  for (const code of ['M', 'R']) {
    const payload = Buffer.concat([Buffer.from(code), Buffer.alloc(100_000)])
    assert.equal(decodeCommand(payload).kind, 'malformed')
  }
})

test('of more macros than are read the first are given, and whatever follows them is not looked at', () => {
  const frame = Buffer.from('DMi\0ID\0{a}\0b\0c\0d\0')
  const [i, a, c] = [
    ['i', 'ID'],
    ['a', 'b'],
    ['c', 'd'],
  ] as const
  assert.deepEqual(decodeCommand(frame, 3), { kind: 'MACRO', stage: 'MAIL', macros: [i, a, c] })
  const cut = { kind: 'MACRO', stage: 'MAIL', macros: [i, a], isCut: true }
  assert.deepEqual(decodeCommand(frame, 2), cut)
  assert.deepEqual(decodeCommand(frame.subarray(0, -2), 2), cut)
  assert.equal(decodeCommand(frame.subarray(0, -2), 3).kind, 'malformed')
  const flood = decodeCommand(Buffer.concat([Buffer.from('DM'), Buffer.alloc(100_000)]))
  assert.ok(flood.kind === 'MACRO' && flood.isCut && flood.macros.length < 2000)
})
