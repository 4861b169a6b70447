// The host name of a client → the domain that stands for it, unless the name says that the address is one of a pool:
// then nothing is known of who uses it, and the domain is that of the provider.
// Source: publicsuffix.org for what a domain is; names of hosts that were seen, in the test, for what a pool is.

import type { IpAddress } from '../ip.ts'
import { require } from '../require.ts'

const { parse } = require('tldts') as typeof import('tldts')

export interface HostName {
  /** Whether it spells half of its address or more, or has a word for lines and pools below its domain. */
  readonly isDynamic: boolean
  /** Its registrable domain; absent where it has none: a public suffix, an IP address, no name at all. */
  readonly domain?: string
}

/** What a client's confirmed host name says; `name` in lower case, without a final dot. */
export function readHostName(name: string, address: IpAddress): HostName {
  const parts = splitName(name)
  const isDynamic = looksDynamic(parts, address)
  return parts.domain === '' ? { isDynamic } : { isDynamic, domain: parts.domain }
}

interface NameParts {
  /** What stands before the domain, or all there is; `''` where there is nothing. */
  readonly below: string
  /** The registrable domain, also below the suffixes that companies let to others; `''` where there is none. */
  readonly domain: string
}

/** Longest name that DNS can have (RFC 1035 section 2.3.4), as text. */
const MAX_NAME = 253
/** What a resolver should hand on; the library cuts up anything. */
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/

/** Whether `name`, in lower case, is one that the DNS can have, of two labels or more. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_NAME && HOST_NAME.test(name)
}

function splitName(name: string): NameParts {
  if (name.length > MAX_NAME) return { below: '', domain: '' }
  if (!HOST_NAME.test(name)) return { below: name, domain: '' }
  const { domain, subdomain, isIp } = parse(name, { allowPrivateDomains: true, extractHostname: false })
  if (isIp || domain === null) return { below: name, domain: '' }
  return { below: subdomain ?? '', domain }
}

/**
 * What providers call the lines of their customers, between anything that is no letter: `dsl12`, `pool-4`, but not
 * `medial` or `carpool`. `static` is no such word: mail servers live on such lines.
 */
const WORDS = new Set([
  ...['dsl', 'adsl', 'vdsl', 'xdsl', 'isdn', 'dial', 'dialin', 'dialup', 'ppp', 'pppoe', 'modem'],
  ...['dyn', 'dynamic', 'dynamicip', 'dynip', 'dhcp', 'pool', 'pools', 'cgn', 'cgnat'],
  ...['cable', 'catv', 'docsis', 'hfc', 'cpe', 'broadband', 'ftth', 'fttb', 'fttc', 'fttx', 'gpon'],
  ...['wireless', 'wlan', 'wifi', 'wimax', 'hotspot', 'mobile', 'gprs', 'umts', 'lte', '3g', '4g', '5g'],
  ...['client', 'clients', 'cust', 'customer', 'customers', 'home', 'res', 'residential', 'user', 'users'],
  ...['unassigned', 'unused'],
])
const WORD = /(?<![a-z0-9])[345]g(?![a-z0-9])|[a-z]+/g

function looksDynamic({ below, domain }: NameParts, address: IpAddress): boolean {
  // The domain's own name may be such a word (dslreports.com), but not by chance an address (ip123.ip-1-2-3.eu).
  if (below.match(WORD)?.some((word) => WORDS.has(word))) return true
  return spells(below, address) || spells(domain, address)
}

function spells(text: string, address: IpAddress): boolean {
  // Hexadecimal letters alone are a word (cafe, face), and most names have no digits.
  if (!/\d/.test(text)) return false
  return address.kind === 'ipv4' ? spellsIpv4(text, address.bytes) : spellsIpv6(text, address)
}

/** All four octets, or two neighbours, in either order, decimal or hexadecimal. */
function spellsIpv4(text: string, bytes: readonly number[]): boolean {
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0'))
  const backwards = hex.toReversed()
  // Eight digits are no chance, wherever they stand: p578adb1c.
  const compact = text.replace(/[^a-z0-9]+/g, '')
  if (compact.includes(hex.join('')) || compact.includes(backwards.join(''))) return true
  return hasHexHalf(text, hex) || hasHexHalf(text, backwards) || hasNeighbours(text, bytes)
}

/** Four digits have to stand alone; and those that begin with 00 are as likely the number of a host. */
function hasHexHalf(text: string, hex: readonly string[]): boolean {
  const halves = [hex.slice(0, 2).join(''), hex.slice(2).join('')]
  const isTelling = (half: string) => /\d/.test(half) && !half.startsWith('00')
  return text.split(/[^a-z0-9]+/).some((word) => halves.includes(word) && isTelling(word))
}

/** Numbers with something between them that is neither letter nor number, or an x (`24x62x201x179`). */
const NUMBERS = /\d+(?:(?:[^a-z0-9]+|x)\d+)*/g

function hasNeighbours(text: string, bytes: readonly number[]): boolean {
  const neighbours = new Set<string>()
  bytes.slice(1).forEach((byte, index) => {
    neighbours.add(`${bytes[index]} ${byte}`).add(`${byte} ${bytes[index]}`)
  })
  return (text.match(NUMBERS) ?? []).some((run) => {
    const numbers = (run.match(/\d+/g) ?? []).flatMap(octets)
    return numbers.some((number, index) => neighbours.has(`${numbers[index - 1]} ${number}`))
  })
}

/** `051` is 51; `198051100007`, octets run together in three digits each, is four numbers. */
function octets(digits: string): number[] {
  const together = /^(?:\d{3}){2,4}$/.test(digits)
  return (together ? (digits.match(/\d{3}/g) ?? []) : [digits]).map(Number)
}

const GROUPS = 8
const HALF = GROUPS / 2
/** Groups that are nothing but zeros and small numbers are in many names. */
const MIN_GROUPS_TEXT = 8

/** Half the address or more: sixteen digits, or four neighbouring groups, in either order. */
function spellsIpv6(text: string, address: IpAddress): boolean {
  const digits = address.bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const compact = text.replace(/[^a-z0-9]+/g, '')
  for (const order of [digits, [...digits].reverse().join('')]) {
    if (compact.includes(order.slice(0, 16)) || compact.includes(order.slice(16))) return true
  }
  // 2001-db8--7: zeros left out.
  const short = address.text.replaceAll(':', '-')
  return (short.length >= MIN_GROUPS_TEXT && text.includes(short)) || hasGroups(text, digits)
}

/** Zeros in front are left out of groups, or not. */
function hasGroups(text: string, digits: string): boolean {
  const groups = Array.from({ length: GROUPS }, (_, index) =>
    shortGroup(digits.slice(index * 4, index * 4 + 4)),
  )
  const words = `-${text
    .split(/[^a-z0-9]+/)
    .map(shortGroup)
    .join('-')}-`
  for (const order of [groups, groups.toReversed()]) {
    for (let start = 0; start + HALF <= GROUPS; start += 1) {
      const half = order.slice(start, start + HALF).join('-')
      if (half.length >= MIN_GROUPS_TEXT && words.includes(`-${half}-`)) return true
    }
  }
  return false
}

function shortGroup(word: string): string {
  return word.replace(/^0+(?=.)/, '')
}
