// Parses, masks and compares IP addresses and networks; ranges.ts knows what particular networks mean. An IPv4 address
// written as IPv6 (::ffff:192.0.2.1) is IPv4.
//
// Node decides what an address is. It refuses the forms of inet_aton (127.1, ::ffff:0x7f.0.0.1): an MTA never sends
// them, and in a list they are slips. The bytes are read here for speed, as an SPF record may have hundreds of
// addresses.

import { isIPv4, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'

export interface IpAddress {
  readonly kind: 'ipv4' | 'ipv6'
  /** 4 or 16 bytes. */
  readonly bytes: readonly number[]
  /** Dotted quad, or the form of RFC 5952. */
  readonly text: string
}

export interface Network {
  readonly address: IpAddress
  readonly prefix: number
}

export const ADDRESS_BITS = { ipv4: 32, ipv6: 128 } as const

/**
 * The address in `192.0.2.7`, `2001:db8::7`, Sendmail's `IPv6:2001:db8::7` or `fe80::1%eth0` with a zone, else
 * `undefined`.
 */
export function parseIp(text: string): IpAddress | undefined {
  const bytes = parseBytes(text)
  return bytes && ipFromBytes(bytes)
}

/** The 4 or 16 bytes of an address in one of the forms that `parseIp` reads, else `undefined`. */
export function parseBytes(text: string): number[] | undefined {
  if (isIPv4(text)) return ipv4Bytes(text)
  const bare = /^IPv6:/i.test(text) ? text.slice('IPv6:'.length) : text
  if (!isIPv6(bare)) return undefined
  const bytes = ipv6Bytes(withHexTail(bare.includes('%') ? bare.slice(0, bare.indexOf('%')) : bare))
  return isMapped(bytes) ? bytes.slice(12) : bytes
}

/**
 * The network in `192.0.2.0/24`, `2001:db8::/32` or a single address, else `undefined`; drops bits below the prefix.
 */
export function parseNetwork(text: string): Network | undefined {
  const [, host = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = parseIp(host)
  if (!address) return undefined
  const bits = ADDRESS_BITS[address.kind]
  // The prefix of an IPv4 address in IPv6 form counts from the first bit of that form.
  const offset = address.kind === 'ipv4' && host.includes(':') ? ADDRESS_BITS.ipv6 - ADDRESS_BITS.ipv4 : 0
  const prefix = digits === undefined ? bits : Number(digits) - offset
  if (prefix < 0 || prefix > bits) return undefined
  return networkOf(address, prefix)
}

/** The network of `prefix` leading bits around an address. */
export function networkOf(address: IpAddress, prefix: number): Network {
  const masked = address.bytes.slice()
  const whole = prefix >> 3
  if (whole < masked.length) masked[whole] = (masked[whole] ?? 0) & (0xff00 >> (prefix & 7))
  masked.fill(0, whole + 1)
  return { address: ipFromBytes(masked), prefix }
}

/** The fewest networks that hold exactly the addresses from `first` to `last`; none if `last` is below `first`. */
export function networksBetween(first: IpAddress, last: IpAddress): Network[] {
  const bits = ADDRESS_BITS[first.kind]
  const networks: Network[] = []
  const end = numberOf(last)
  for (let next = numberOf(first); next <= end; ) {
    // The largest network that begins here and does not reach beyond the end.
    let free = 0
    while (
      free < bits &&
      (next & ((2n << BigInt(free)) - 1n)) === 0n &&
      next + (2n << BigInt(free)) - 1n <= end
    ) {
      free += 1
    }
    networks.push({ address: ipFromBytes(bytesOf(next, bits / 8)), prefix: bits - free })
    next += 1n << BigInt(free)
  }
  return networks
}

function numberOf({ bytes }: IpAddress): bigint {
  return bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
}

function bytesOf(number: bigint, count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    Number((number >> BigInt(8 * (count - 1 - index))) & 255n),
  )
}

export function isInNetwork(address: IpAddress, network: Network): boolean {
  return haveSamePrefix(address.bytes, network.address.bytes, network.prefix)
}

/** Whether two addresses have the same `prefix` leading bits; those of different families have not. */
export function haveSamePrefix(one: readonly number[], other: readonly number[], prefix: number): boolean {
  if (one.length !== other.length) return false
  const whole = prefix >> 3
  for (let index = 0; index < whole; index += 1) if (one[index] !== other[index]) return false
  const rest = prefix & 7
  return rest === 0 || (((one[whole] ?? 0) ^ (other[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0
}

export function formatNetwork({ address, prefix }: Network): string {
  return `${address.text}/${prefix}`
}

/** The bytes of an address that `isIPv4` accepts. */
function ipv4Bytes(text: string): number[] {
  const bytes = [0, 0, 0, 0]
  let at = 0
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === DOT) at += 1
    else bytes[at] = (bytes[at] ?? 0) * 10 + code - 0x30
  }
  return bytes
}

const DOT = 0x2e

/** The bytes of an address that `isIPv6` accepts, without zone and dotted quad. */
function ipv6Bytes(text: string): number[] {
  const bytes = new Array<number>(16).fill(0)
  let end = 0
  let gapAt = -1
  let group = 0
  let digits = 0
  for (let index = 0; index <= text.length; index += 1) {
    const code = index < text.length ? text.charCodeAt(index) : COLON
    if (code !== COLON) {
      group = group * 16 + digitOf(code)
      digits += 1
      continue
    }
    if (digits > 0) {
      bytes[end] = group >> 8
      bytes[end + 1] = group & 255
      end += 2
    } else if (index > 0 && text.charCodeAt(index - 1) === COLON) gapAt = end
    group = 0
    digits = 0
  }
  // Groups behind `::` belong at the end.
  if (gapAt !== -1) bytes.splice(gapAt, 0, ...bytes.splice(end, 16 - end))
  return bytes
}

const COLON = 0x3a

/** The value of the hexadecimal digit with this character code. */
function digitOf(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x61 + 10
}

/** Whether the bytes are an IPv4 address written as IPv6, in `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). */
function isMapped(bytes: readonly number[]): boolean {
  return bytes[10] === 255 && bytes[11] === 255 && bytes.slice(0, 10).every((byte) => byte === 0)
}

/** `::192.0.2.1` → `::c000:201`. */
function withHexTail(ip: string): string {
  if (!ip.includes('.')) return ip
  return ip.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...quad) => {
    const [a = 0, b = 0, c = 0, d = 0] = quad.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
}

/** The host as it is written before a colon and a port, with an IPv6 address in brackets. */
export function bracketedHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** The host without the brackets around an IPv6 address. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

/**
 * The labels of an address for names in DNS, in the order of the address: an IPv4 address has a label for each number,
 * an IPv6 address one for each hexadecimal digit.
 */
export function labelsOf({ kind, bytes }: IpAddress): string[] {
  if (kind === 'ipv4') return bytes.map(String)
  return bytes.flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)])
}

/** The reversed labels, like `7.100.51.198`, for a query below in-addr.arpa or a DNS list (RFC 5782 section 2). */
export function reversedName(address: IpAddress): string {
  return labelsOf(address).reverse().join('.')
}

/** The address of 4 or 16 bytes. */
export function ipFromBytes(bytes: number[]): IpAddress {
  const kind = bytes.length === 4 ? 'ipv4' : 'ipv6'
  // Each attempt makes dotted quads, which a plain join does fastest; only the short form of IPv6 is worth a library.
  return { kind, bytes, text: kind === 'ipv4' ? bytes.join('.') : ipaddr.fromByteArray(bytes).toString() }
}
