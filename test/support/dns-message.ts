// Reads and writes DNS messages (RFC 1035 section 4) for an authoritative server of hostile zones: it reads one
// question, and writes answers of any size, also senseless ones.

/** A record of an answer; the address texts are dotted quads and eight groups of hex digits. */
export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'TXT'; readonly strings: readonly string[] }
  | { readonly type: 'MX' | 'CNAME' | 'PTR' | 'NS'; readonly host: string; readonly owner?: string }

export interface DnsQuestion {
  readonly id: number
  /** The name in lower case, without a final dot; empty for the root. */
  readonly name: string
  /** The name of a type that is served here, or the number of any other. */
  readonly type: string
  /** The bytes of the question section, which an answer repeats. */
  readonly bytes: Buffer
  /** Longest message that the client takes over UDP, in bytes. */
  readonly udpSize: number
  readonly hasEdns: boolean
}

export const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const

export type Rcode = keyof typeof RCODES

const TYPES: Readonly<Record<string, number>> = { A: 1, NS: 2, CNAME: 5, PTR: 12, MX: 15, TXT: 16, AAAA: 28 }
const NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name]))
const OPT = 41
const HEADER = 12
const TTL = 300
/** Flags of an answer: response, authoritative, recursion available. The server plays resolver and authorities. */
const FLAGS = 0x8480
const TRUNCATED = 0x0200
/** The question's name, as a pointer. */
const SAME_NAME = Buffer.from([0xc0, HEADER])
const SERVER_UDP_SIZE = 1232

/** The question of a message; `undefined` if it has none that can be read. */
export function readQuestion(message: Buffer): DnsQuestion | undefined {
  if (message.length < HEADER || message.readUInt16BE(4) !== 1) return undefined
  const labels: string[] = []
  let offset = HEADER
  for (;;) {
    const length = message[offset]
    if (length === undefined || length > 63) return undefined
    offset += 1
    if (length === 0) break
    labels.push(message.toString('latin1', offset, offset + length))
    offset += length
  }
  if (message.length < offset + 4) return undefined
  const number = message.readUInt16BE(offset)
  offset += 4
  const hasEdns = message.length >= offset + 11 && message.readUInt16BE(offset + 1) === OPT
  return {
    id: message.readUInt16BE(0),
    name: labels.join('.').toLowerCase(),
    type: NAMES.get(number) ?? `${number}`,
    bytes: message.subarray(HEADER, offset),
    udpSize: hasEdns ? Math.max(512, message.readUInt16BE(offset + 3)) : 512,
    hasEdns,
  }
}

/** The answer with these records, as TCP takes it: up to 64 KiB. */
export function writeAnswer(question: DnsQuestion, rcode: Rcode, records: readonly DnsRecord[]): Buffer {
  return Buffer.concat([
    header(question, FLAGS | RCODES[rcode], records.length),
    question.bytes,
    ...records.map(encodeRecord),
    edns(question),
  ])
}

/** The answer that makes the client ask again over TCP. */
export function writeTruncated(question: DnsQuestion): Buffer {
  return Buffer.concat([header(question, FLAGS | TRUNCATED, 0), question.bytes, edns(question)])
}

function header({ id, hasEdns }: DnsQuestion, flags: number, answers: number): Buffer {
  return words(id, flags, 1, answers, 0, hasEdns ? 1 : 0)
}

function edns({ hasEdns }: DnsQuestion): Buffer {
  return hasEdns ? Buffer.concat([Buffer.of(0), words(OPT, SERVER_UDP_SIZE, 0, 0, 0)]) : Buffer.alloc(0)
}

function encodeRecord(record: DnsRecord): Buffer {
  const data = encodeData(record)
  const owner = 'owner' in record && record.owner !== undefined ? encodeName(record.owner) : SAME_NAME
  return Buffer.concat([owner, words(TYPES[record.type] ?? 0, 1, 0, TTL, data.length), data])
}

function encodeData(record: DnsRecord): Buffer {
  switch (record.type) {
    case 'A':
      return Buffer.from(record.address.split('.').map(Number))
    case 'AAAA':
      return words(...record.address.split(':').map((group) => Number.parseInt(group, 16)))
    case 'TXT':
      return Buffer.concat(
        record.strings.map((text) => Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')])),
      )
    case 'MX':
      return Buffer.concat([words(10), encodeName(record.host)])
    default:
      return encodeName(record.host)
  }
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '')
  const parts = labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]))
  return Buffer.concat([...parts, Buffer.of(0)])
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  values.forEach((value, index) => {
    bytes.writeUInt16BE(value, index * 2)
  })
  return bytes
}
