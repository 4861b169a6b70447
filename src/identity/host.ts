// The host name of a client → the domain that stands for it, unless the name tells nothing of who uses the address: it
// is that of a line in a pool, or one that a provider has numbered its machines with. The domain is the provider's then.
// Source: publicsuffix.org for what a domain is; names of hosts that were seen, in the test, for what tells nothing.

import type { IpAddress } from '../ip.ts'
import { require } from '../require.ts'

const { parse } = require('tldts') as typeof import('tldts')

export interface HostName {
  /**
   * Whether somebody chose the name for a host of the domain. It is false where the name spells half of the address or
   * more, has a word for lines and pools, or a number that only a machine gives, and below no public suffix.
   */
  readonly isTelling: boolean
  /** Whether the name says that the host handles mail, as `mx1` and `smtp-out` do. */
  readonly isMail: boolean
  /** Its registrable domain; absent where it has none: a public suffix, an IP address, no name at all. */
  readonly domain?: string
}

/** What a client's confirmed host name says; `name` in lower case, without a final dot. */
export function readHostName(name: string, address: IpAddress): HostName {
  const parts = splitName(name)
  if (parts.domain === '') return { isTelling: false, isMail: false }
  return {
    isTelling: parts.isPublic && !looksDynamic(parts, address) && !looksNumbered(parts),
    isMail: parts.below.split('.').some(isMailLabel),
    domain: parts.domain,
  }
}

interface NameParts {
  /** What stands before the domain, or all there is; `''` where there is nothing. */
  readonly below: string
  /** The registrable domain, also below the suffixes that companies let to others; `''` where there is none. */
  readonly domain: string
  /** What a company's customer has chosen, or been given, below a suffix that the company lets to others. */
  readonly tenant: string
  /** Whether the domain is below a suffix that the public DNS has. */
  readonly isPublic: boolean
}

const NO_DOMAIN = { domain: '', tenant: '', isPublic: false }

/** Longest name that DNS can have (RFC 1035 section 2.3.4), as text. */
const MAX_NAME = 253
/** What a resolver should hand on; the library cuts up anything. */
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/

/** Whether `name`, in lower case, is one that the DNS can have, of two labels or more. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_NAME && HOST_NAME.test(name)
}

/**
 * RFC 2606 keeps these for tests and documents, so that no client from outside has such a name. Other suffixes that are
 * not in the public list (`.lan`, `.internal`) are those of private networks, each of which has its own.
 */
const TEST_SUFFIXES = new Set(['test', 'example'])

function splitName(name: string): NameParts {
  if (name.length > MAX_NAME) return { ...NO_DOMAIN, below: '' }
  if (!HOST_NAME.test(name)) return { ...NO_DOMAIN, below: name }
  const found = parse(name, { allowPrivateDomains: true, extractHostname: false })
  const { domain, subdomain, publicSuffix, domainWithoutSuffix, isIcann, isPrivate, isIp } = found
  if (isIp || domain === null || publicSuffix === null) return { ...NO_DOMAIN, below: name }
  const isListed = isIcann === true || isPrivate === true || TEST_SUFFIXES.has(publicSuffix)
  return {
    below: subdomain ?? '',
    domain,
    tenant: isPrivate === true ? (domainWithoutSuffix ?? '') : '',
    // A name below .arpa is that of the reverse zone itself.
    isPublic: isListed && !/(?:^|\.)arpa$/.test(publicSuffix),
  }
}

/**
 * What providers call the lines of their customers, between anything that is no letter: `dsl12`, `pool-4`, but not
 * `medial` or `carpool`. `static` is no such word: mail servers live on such lines.
 */
const WORDS = new Set([
  ...['dsl', 'isdn', 'dial', 'dialin', 'dialup', 'ppp', 'pppoe', 'modem'],
  ...['dhcp', 'pool', 'pools', 'ippool', 'cgn', 'cgnat', 'nat'],
  ...['catv', 'docsis', 'hfc', 'cpe', 'ftth', 'fttb', 'fttc', 'fttx', 'gpon', 'fiber', 'fibre'],
  ...['wlan', 'wifi', 'wimax', 'hotspot', 'mobile', 'gprs', 'umts', 'lte', '3g', '4g', '5g'],
  ...['client', 'clients', 'cliente', 'clientes', 'cust', 'customer', 'customers', 'kunde', 'kunden'],
  ...['abo', 'abonne', 'abonnes', 'subscriber', 'subscribers', 'subs', 'home', 'res', 'residential'],
  ...['user', 'users', 'unassigned', 'unused'],
])
const WORD = /(?<![a-z0-9])[345]g(?![a-z0-9])|[a-z]+/g
/** Those that are part of no other word that hosts are called by: `internetdsl`, `adslgp`, `cabletel`, `dynamicip`. */
const PART_OF_WORD =
  /dsl|cable|broadband|wireless|dhcp|pppoe|dialup|dialin|dialip|ftth|cgnat|d[iy]namic|^dyn(?!a)/

function looksDynamic({ below, domain }: NameParts, address: IpAddress): boolean {
  // The domain's own name may be such a word (dslreports.com), but not by chance an address (ip123.ip-1-2-3.eu).
  if (below.match(WORD)?.some((word) => WORDS.has(word) || PART_OF_WORD.test(word))) return true
  return spells(below, address) || spells(domain, address)
}

// Names that a provider has numbered its machines with. A name is held against its host only in doubt of who uses it:
// it costs a mail server a few first passes more, and none of its retries.

/** What a machine is called that stands for no purpose of its owner, with a number: `vmi1937462`, `ns3`, `cloud-7`. */
const MACHINES = new Set([
  ...['vm', 'vmi', 'vmd', 'kvm', 'vs', 'vz', 'lxc', 'xen', 'guest', 'instance', 'inst', 'droplet', 'linode'],
  ...['ec', 'compute', 'cloud', 'host', 'hosting', 'hostname', 'hosted', 'node', 'machine', 'box', 'ns'],
  ...['srv', 'sv', 'svr', 'server', 'ded', 'dedi', 'dedicated', 'root', 'metal', 'baremetal', 'colo', 'rack'],
  ...['ip', 'ips', 'ipv', 'rev', 'reverse', 'rdns', 'line', 'port', 'acc', 'access', 'net', 'nas', 'bras'],
  ...[
    'dns',
    'gw',
    'ubuntu',
    'debian',
    'centos',
    'linux',
    'windows',
    'win',
    'plesk',
    'cpanel',
    'desktop',
    'pc',
  ],
])
const PART_OF_MACHINE = /vps|vds|vserver|^vm|srv$|server$/

/** What mail servers are called. */
const MAILERS = new Set([
  ...['mta', 'msa', 'out', 'outbound', 'outgoing', 'mout', 'relay', 'relays', 'smarthost', 'esa', 'exchange'],
  ...['exch', 'postfix', 'exim', 'bounce', 'bounces', 'list', 'lists', 'news', 'newsletter', 'mg', 'mgw'],
])
const PART_OF_MAILER = /mail|smtp|^mx(?:in|out|a|b)$|mta$|mx$/

/** Twelve hexadecimal digits, together or in pairs or fours: a MAC address. */
const MAC =
  /[0-9a-f]{12}|(?<![a-z0-9])(?:[0-9a-f]{2}[-_.]){5}[0-9a-f]{2}(?![a-z0-9])|(?<![a-z0-9])(?:[0-9a-f]{4}[-_.]){2}[0-9a-f]{4}(?![a-z0-9])/g

/** SendGrid's names, also below its customers' domains (`o1.ptr1234.example.com`), and Proofpoint's (`mx0a-001b2d01`). */
const KNOWN_MAILERS = /^(?:o\d{1,3}\.ptr\d{1,5}|mx0[a-d]-[0-9a-f]{8})(?:\.|$)/

/** How many digits a number may have: of a machine below a mailer's label, of another host, and in a mailer's name. */
const FEW_MACHINES = 2
const FEW_HOSTS = 3
const FEW_MAILERS = 4

function looksNumbered({ below, tenant }: NameParts): boolean {
  if (!/\d/.test(below) && !/\d/.test(tenant)) return false
  if (hasMac(below) || hasMac(tenant) || (tenant !== '' && isNumbered(tenant, FEW_HOSTS))) return true
  if (KNOWN_MAILERS.test(below)) return false
  const labels = below.split('.')
  // What stands before a mailer's label is the number of one of its hosts: `ID.outbound.example.com`.
  const mailer = labels.findLastIndex(isMailLabel)
  const others = labels.slice(mailer + 1)
  if (mailer === -1) return hasMachine(below) || others.some((label) => isNumbered(label, FEW_HOSTS))
  if (hasSerial(labels[mailer] ?? '', FEW_MAILERS)) return true
  const parents = others.join('.')
  if (hasMachine(parents) && longestNumber(parents) > FEW_MACHINES) return true
  return others.some((label) => isNumbered(label, FEW_MAILERS))
}

function hasMac(text: string): boolean {
  return text.match(MAC)?.some((mac) => /\d/.test(mac)) ?? false
}

function hasMachine(text: string): boolean {
  return text.match(/[a-z]+/g)?.some((word) => MACHINES.has(word) || PART_OF_MACHINE.test(word)) ?? false
}

function isMailLabel(label: string): boolean {
  return label.match(/[a-z]+/g)?.some(isMailer) ?? false
}

function isMailer(word: string): boolean {
  return MAILERS.has(word) || PART_OF_MAILER.test(word)
}

function longestNumber(text: string): number {
  return Math.max(0, ...(text.match(/\d+/g) ?? []).map(({ length }) => length))
}

/** Whether a label has a serial number, or a word of digits and letters that nobody would choose. */
function isNumbered(label: string, digits: number): boolean {
  return hasSerial(label, digits) || label.split(/[^a-z0-9]+/).some(isRandom)
}

/** A number of more than so many digits, more than twice as many in several numbers, or a hexadecimal one: `d0669a91`. */
function hasSerial(label: string, digits: number): boolean {
  if (longestNumber(label) > digits || label.replace(/\D/g, '').length > 2 * digits) return true
  return label.split(/[^a-z0-9]+/).some((word) => /^(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}$/.test(word))
}

/** `x7k2m9q4` changes between letters and digits three times in eight places. */
function isRandom(word: string): boolean {
  return word.length >= 8 && (word.match(/\d(?=[a-z])|[a-z](?=\d)/g)?.length ?? 0) >= 3
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
