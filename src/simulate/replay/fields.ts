// What the readers of greymx's, Postfix's and Sendmail's lines share: where their attempts go, and how they read the
// addresses and clients in a line.

import { type Address, parseAddress } from '../../address.ts'
import type { Client } from '../../attempt.ts'
import { asHostName, clientOf } from '../../doors/client.ts'
import type { Network } from '../../ip.ts'
import { decodeText, encodeText } from '../../milter/text.ts'
import type { Findings } from './findings.ts'
import type { LogLine } from './heads.ts'
import type { Slot, Timeline } from './timeline.ts'

export interface ReaderParts {
  readonly timeline: Timeline
  readonly findings: Findings
  /** NAT64 prefixes; a client in one of them is the IPv4 client whose address its own contains. */
  readonly nat64Prefixes: readonly Network[]
  /** Whether greymx's own lines tell of the attempts at this instant, so that an MTA's lines count nothing. */
  readonly isCovered: (at: number) => boolean
}

/** How many characters of an address are read, as in the milter door; MTAs accept and log less. */
const MAX_ADDRESS = 4096

export function slotOf({ at, stamp, place }: LogLine): Slot {
  return { at, stamp, place }
}

/** The address in a line's field, without its brackets; `''` is the null sender. */
export function readAddress(text: string): Address {
  return parseAddress(`<${wellDecoded(text).slice(0, MAX_ADDRESS)}>`)
}

/** Bytes that were no UTF-8 elsewhere in the line had all of it read byte by byte; the field alone may be UTF-8. */
function wellDecoded(text: string): string {
  return /[\udc80-\udcff]/.test(text) ? decodeText(encodeText(text)) : text
}

/** The client, or `undefined` without an IP address. `name` is absent unless the MTA has confirmed it. */
export function readClient(
  address: string,
  name: string | undefined,
  helo: string | undefined,
  { nat64Prefixes }: ReaderParts,
): Client | undefined {
  const client = clientOf(address, name, nat64Prefixes)
  return client.address ? { ...client, helo: asHostName(helo) } : undefined
}

export interface Bracketed {
  readonly content: string
  /** Index behind the closing bracket. */
  readonly end: number
}

/**
 * What stands in the angle brackets that open at `start`, or `undefined` when there is none that closes them. Brackets
 * in a quoted string are part of the address.
 */
export function readBracketed(text: string, start: number): Bracketed | undefined {
  if (text[start] !== '<') return undefined
  let isQuoted = false
  for (let index = start + 1; index < text.length; index += 1) {
    const character = text[index]
    if (isQuoted && character === '\\') index += 1
    else if (character === '"') isQuoted = !isQuoted
    else if (character === '>' && !isQuoted) return { content: text.slice(start + 1, index), end: index + 1 }
  }
  return undefined
}
