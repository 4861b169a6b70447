// Decodes one frame into one command of the MTA, or into the reason why it is malformed, and encodes commands for the
// probe and the tests, which play the MTA. Decoding is total: every byte sequence gives a command or `malformed`.
// Headers, body and the text of unknown commands are not decoded, as greymx never reads them. The legal order of
// commands is left to session.ts.
// Source: sendmail 8.17 libmilter/engine.c (dispatch table, st_* functions), Postfix 3.7 src/milter/milter8.c.

import { COMMANDS, type CommandCode, type CommandName } from './codes.ts'
import { encodeFrame } from './frame.ts'
import { decodeText, encodeText } from './text.ts'

/** The MTA's offer: its protocol version, what filters may do (SMFIF_*), which steps can be left out (SMFIP_*). */
export interface Offer {
  readonly version: number
  readonly actions: number
  readonly steps: number
}

/** The SMTP client as the MTA names it; `address` is the text that the MTA sent, absent for family `unknown`. */
export interface Connection {
  readonly hostName: string
  readonly family: 'inet' | 'inet6' | 'unix' | 'unknown'
  readonly port?: number
  readonly address?: string
}

/** Macros in the order in which the MTA sent them: names without braces, values as text. */
export type MacroPairs = ReadonlyArray<readonly [name: string, value: string]>

/** A command of the MTA; `kind` is its libmilter name. */
export type Command =
  | { readonly kind: 'OPTNEG'; readonly offer: Offer }
  /** `isCut` says that the MTA sent more macros than are read; `macros` then has the first ones. */
  | {
      readonly kind: 'MACRO'
      readonly stage: CommandName
      readonly macros: MacroPairs
      readonly isCut?: true
    }
  | { readonly kind: 'CONNECT'; readonly connection: Connection }
  | { readonly kind: 'HELO'; readonly name: string }
  /** `address` is written as in SMTP, mostly with `<>`; `parameters` are those of ESMTP. */
  | { readonly kind: 'MAIL' | 'RCPT'; readonly address: string; readonly parameters: readonly string[] }
  | {
      readonly kind: 'DATA' | 'HEADER' | 'EOH' | 'BODY' | 'BODYEOB' | 'ABORT' | 'QUIT' | 'QUIT_NC' | 'UNKNOWN'
    }

/** A frame that is no command of the protocol; `reason` says why. */
export interface Malformed {
  readonly kind: 'malformed'
  readonly reason: string
}

const FAMILIES = { '4': 'inet', '6': 'inet6', L: 'unix', U: 'unknown' } as const
const FAMILY_CODES = { inet: '4', inet6: '6', unix: 'L', unknown: 'U' } as const
/** Where the payload of a frame begins, behind the command character. */
const PAYLOAD = 1
const OFFER_BYTES = 12
const PORT_BYTES = 2
/** Most strings in a command: far above the ESMTP parameters of any MTA, far below what a frame of NULs makes. */
const MAX_STRINGS = 1024

type Decoded = Command | Malformed
/** Decodes a frame, whose payload begins behind the command character. */
type Decoder = (frame: Buffer, maxMacros: number) => Decoded

const DECODERS: { readonly [name in CommandName]: Decoder } = {
  OPTNEG: decodeOffer,
  MACRO: decodeMacros,
  CONNECT: decodeConnection,
  HELO: decodeHelo,
  MAIL: (frame) => decodeAddress('MAIL', frame),
  RCPT: (frame) => decodeAddress('RCPT', frame),
  DATA: () => ({ kind: 'DATA' }),
  HEADER: () => ({ kind: 'HEADER' }),
  EOH: () => ({ kind: 'EOH' }),
  BODY: () => ({ kind: 'BODY' }),
  BODYEOB: () => ({ kind: 'BODYEOB' }),
  ABORT: () => ({ kind: 'ABORT' }),
  QUIT: () => ({ kind: 'QUIT' }),
  QUIT_NC: () => ({ kind: 'QUIT_NC' }),
  UNKNOWN: () => ({ kind: 'UNKNOWN' }),
}

/** The decoder for each first byte of a frame; `undefined` for a byte that is no command. */
const BY_BYTE: ReadonlyArray<Decoder | undefined> = Array.from({ length: 256 }, (_, byte) => {
  const name = commandName(byte)
  return name && DECODERS[name]
})

/** The command in `frame`, as `FrameReader` returns it: character, then payload. Reads `maxMacros` macros at most. */
export function decodeCommand(frame: Buffer, maxMacros = MAX_STRINGS): Decoded {
  const byte = frame[0]
  if (byte === undefined) return { kind: 'malformed', reason: 'empty frame: expected a command character' }
  const decode = BY_BYTE[byte]
  if (!decode) return { kind: 'malformed', reason: `unknown command 0x${byte.toString(16).padStart(2, '0')}` }
  return decode(frame, maxMacros)
}

/** The frame that an MTA sends for this command, its length included. */
export function encodeCommand(command: Command): Buffer {
  switch (command.kind) {
    case 'OPTNEG':
      return encodeFrame('O', words(command.offer.version, command.offer.actions, command.offer.steps))
    case 'MACRO':
      return encodeFrame(
        'D',
        Buffer.from(commandCode(command.stage), 'latin1'),
        ...command.macros.flatMap(([name, value]) => [cString(withBraces(name)), cString(value)]),
      )
    case 'CONNECT':
      return encodeFrame('C', ...encodeConnection(command.connection))
    case 'HELO':
      return encodeFrame('H', cString(command.name))
    case 'MAIL':
    case 'RCPT':
      return encodeFrame(commandCode(command.kind), ...[command.address, ...command.parameters].map(cString))
    default:
      return encodeFrame(commandCode(command.kind))
  }
}

/** Unsigned 32-bit numbers in network order, as OPTNEG and lists of macros carry them. */
export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4)
  let end = 0
  for (const value of values) end = bytes.writeUInt32BE(value, end)
  return bytes
}

/** A string with the NUL that ends it on the wire. */
export function cString(value: string): Buffer {
  return Buffer.concat([encodeText(value), Buffer.of(0)])
}

function decodeOffer(frame: Buffer): Decoded {
  const length = frame.length - PAYLOAD
  if (length < OFFER_BYTES) return malformed('OPTNEG', `${OFFER_BYTES} bytes, got ${length}`)
  return {
    kind: 'OPTNEG',
    offer: {
      version: frame.readUInt32BE(PAYLOAD),
      actions: frame.readUInt32BE(PAYLOAD + 4),
      steps: frame.readUInt32BE(PAYLOAD + 8),
    },
  }
}

function decodeMacros(frame: Buffer, maxMacros: number): Decoded {
  const stage = commandName(frame[PAYLOAD])
  if (!stage) return malformed('MACRO', 'the character of a command first')
  const macros: Array<readonly [string, string]> = []
  for (let start = PAYLOAD + 1; start < frame.length; ) {
    if (macros.length === maxMacros) return { kind: 'MACRO', stage, macros, isCut: true }
    const nameEnd = frame.indexOf(0, start)
    const end = nameEnd === -1 ? -1 : frame.indexOf(0, nameEnd + 1)
    if (end === -1) return malformed('MACRO', 'pairs of strings that end in NUL')
    macros.push([withoutBraces(decodeText(frame, start, nameEnd)), decodeText(frame, nameEnd + 1, end)])
    start = end + 1
  }
  return { kind: 'MACRO', stage, macros }
}

function decodeConnection(frame: Buffer): Decoded {
  const end = frame.indexOf(0, PAYLOAD)
  if (end === -1) return malformed('CONNECT', 'a host name that ends in NUL')
  const hostName = decodeText(frame, PAYLOAD, end)
  const code = String.fromCharCode(frame[end + 1] ?? 0)
  if (!isFamilyCode(code))
    return malformed('CONNECT', `an address family of 4, 6, L or U, got ${JSON.stringify(code)}`)
  const family = FAMILIES[code]
  if (family === 'unknown') return { kind: 'CONNECT', connection: { hostName, family } }
  const portAt = end + 2
  if (frame.length < portAt + PORT_BYTES)
    return malformed('CONNECT', 'a port of two bytes after the address family')
  const address = onlyString(frame, portAt + PORT_BYTES)
  if (address === undefined) return malformed('CONNECT', 'one address that ends in NUL')
  return { kind: 'CONNECT', connection: { hostName, family, port: frame.readUInt16BE(portAt), address } }
}

function decodeHelo(frame: Buffer): Decoded {
  const name = onlyString(frame, PAYLOAD)
  return name === undefined ? malformed('HELO', 'one string that ends in NUL') : { kind: 'HELO', name }
}

function encodeConnection({ hostName, family, port, address }: Connection): Buffer[] {
  const start = [cString(hostName), Buffer.from(FAMILY_CODES[family], 'latin1')]
  if (family === 'unknown') return start
  const portBytes = Buffer.alloc(PORT_BYTES)
  portBytes.writeUInt16BE(port ?? 0)
  return [...start, portBytes, cString(address ?? '')]
}

function decodeAddress(kind: 'MAIL' | 'RCPT', frame: Buffer): Decoded {
  const strings = readStrings(frame, PAYLOAD)
  const [address, ...parameters] = strings ?? []
  if (address === undefined) return malformed(kind, 'an address that ends in NUL')
  return { kind, address, parameters }
}

/** The string that fills the frame from `start` on; `undefined` if that is not one string with its NUL. */
function onlyString(frame: Buffer, start: number): string | undefined {
  const end = frame.indexOf(0, start)
  return end !== -1 && end === frame.length - 1 ? decodeText(frame, start, end) : undefined
}

/** The NUL-terminated strings from `from` on; `undefined` when the last has no NUL or they are too many. */
function readStrings(frame: Buffer, from: number): string[] | undefined {
  const strings: string[] = []
  for (let start = from; start < frame.length; ) {
    const end = frame.indexOf(0, start)
    if (end === -1 || strings.length === MAX_STRINGS) return undefined
    strings.push(decodeText(frame, start, end))
    start = end + 1
  }
  return strings
}

/** `{mail_addr}` → `mail_addr`; for smfi_getsymval, a one-letter name is the same with and without braces. */
function withoutBraces(name: string): string {
  return name.startsWith('{') && name.endsWith('}') ? name.slice(1, -1) : name
}

/** The form in which libmilter and Postfix write macro names: braces around all but one-letter names. */
export function withBraces(name: string): string {
  return name.length === 1 ? name : `{${name}}`
}

function commandName(byte: number | undefined): CommandName | undefined {
  const code = String.fromCharCode(byte ?? 0)
  return Object.hasOwn(COMMANDS, code) ? COMMANDS[code as CommandCode] : undefined // hasOwn has shown that it is one
}

function commandCode(name: CommandName): string {
  for (const [code, other] of Object.entries(COMMANDS)) if (other === name) return code
  throw new Error(`no code for command ${name}`)
}

function isFamilyCode(code: string): code is keyof typeof FAMILIES {
  return Object.hasOwn(FAMILIES, code)
}

function malformed(command: CommandName, expected: string): Malformed {
  return { kind: 'malformed', reason: `malformed ${command}: expected ${expected}` }
}
