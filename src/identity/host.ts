// The host name of a client → the domain that stands for it, unless the name tells nothing of who uses the address: it
// is that of a line in a pool, or one that a provider has numbered its machines with. The domain is the provider's then.
// Source: publicsuffix.org for what a domain is; names of hosts that were seen, in the test, for what tells nothing.

import type { IpAddress } from '../ip.ts'
import { require } from '../require.ts'

const { parse } = require('tldts') as typeof import('tldts')

export interface HostName {
  /**
   * Whether somebody chose the name for a host of the domain. It is false where the name spells half of the address or
   * more, has a word for lines, pools or machines of nobody in particular, or a number that a provider gives, and below
   * no public suffix.
   */
  readonly isTelling: boolean
  /** Whether the name tells, and says that the host handles mail, as `mx1` and `smtp-out` do. */
  readonly isMail: boolean
  /** Its registrable domain; absent where it has none: a public suffix, an IP address, no name at all. */
  readonly domain?: string
}

const NO_NAME: HostName = { isTelling: false, isMail: false }

/** What a client's confirmed host name says; `name` in lower case, without a final dot. */
export function readHostName(name: string, address: IpAddress): HostName {
  if (!isHostName(name) || (isDigit(name.charCodeAt(name.length - 1)) && ENDS_IN_NUMBER.test(name)))
    return NO_NAME
  const { domain, subdomain, publicSuffix, domainWithoutSuffix, isIcann, isPrivate } = parse(name, PARSING)
  if (domain === null || publicSuffix === null) return NO_NAME
  const isListed = isIcann === true || isPrivate === true || TEST_SUFFIXES.has(publicSuffix)
  // A name below .arpa is that of the reverse zone itself.
  if (!isListed || ARPA.test(publicSuffix)) return { ...NO_NAME, domain }
  // A company's customer has chosen the domain below a suffix that the company lets to others, or was given it.
  const tenant = isPrivate === true ? (domainWithoutSuffix ?? '') : ''
  const below = subdomain ?? ''
  const kind = isNumberedTenant(tenant) ? undefined : kindOf(below, domain)
  // The domain's own name may be a word for lines (dslreports.com), but not by chance an address (ip123.ip-1-2-3.eu).
  const isTelling = kind !== undefined && !spells(below, address) && !spells(domain, address)
  return { isTelling, isMail: isTelling && kind === 'mail', domain }
}

/** The library need not check again what `readHostName` has checked. */
const PARSING = {
  allowPrivateDomains: true,
  extractHostname: false,
  validateHostname: false,
  detectIp: false,
}

/** Longest name that DNS can have (RFC 1035 section 2.3.4), as text. */
const MAX_NAME = 253
/** What a resolver should hand on; the library cuts up anything. */
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/
/** An IPv4 address: no top-level domain is a number. */
const ENDS_IN_NUMBER = /\.\d+$/
const ARPA = /(?:^|\.)arpa$/

/** Whether `name`, in lower case, is one that the DNS can have, of two labels or more. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_NAME && HOST_NAME.test(name)
}

/**
 * RFC 2606 keeps these for tests and documents, so that no client from outside has such a name. Other suffixes that are
 * not in the public list (`.lan`, `.internal`) are those of private networks, each of which has its own.
 */
const TEST_SUFFIXES = new Set(['test', 'example'])

// What words say that stand between anything but letters: `dsl12` and `pool-4` have one, `medial` and `carpool` do not.

/** What providers call the lines of their customers. */
const LINE = 1
/** What a machine is called that has no purpose of its owner, with a number: `vmi1937462`, `ns3`, `cloud-7`. */
const MACHINE = 2
/** What has a number right beside it because its owner has many of the kind: `worker3`, `order-7`. */
const ONE_OF_MANY = 4
/** What a name has that nobody chose, without any number: `hosted-by`, `no-rdns`, `scw-elegant-cray.instances`. */
const UNCHOSEN = 8
/** What mail servers are called. */
const MAILER = 16
/** Any number. */
const NUMBER = 32

const WORDS = new Map<string, number>()
const addWords = (kinds: number, words: string) => {
  for (const word of words.split(/\s+/)) WORDS.set(word, kinds)
}
addWords(
  LINE,
  `dsl isdn dial dialin dialup ppp pppoe modem dhcp pool pools ippool cgn cgnat nat
  catv docsis hfc cpe ftth fttb fttc fttp fttx gpon fiber fibre
  wlan wifi wimax hotspot mobile gprs umts lte roaming prepaid
  client clients cliente clientes cust customer customers kunde kunden
  abo abon abonent abonne abonnes subscriber subscribers subs home res residential user users unassigned unused`,
)
addWords(
  MACHINE,
  `vm vmi vmd kvm vs vz lxc lxd xen guest instance inst droplet linode ec compute cloud host hosting hostname
  machine box ns srv sv svr server ded dedi dedicated root metal baremetal colo rack ips ipv line port acc access
  net nas bras dns gw ubuntu debian centos linux windows win plesk cpanel desktop pc`,
)
addWords(MACHINE | UNCHOSEN, 'ip node hosted rev reverse rdns')
addWords(
  ONE_OF_MANY,
  `worker cluster blade virt virtual slot unit slave backend frontend edge router gateway proxy switch lease range
  block site shop account acct member tenant order contract rental premium privat private business`,
)
// Mail servers live on static lines, too: the word counts where the name has none for mail.
addWords(
  UNCHOSEN,
  `static ptr noptr nordns norev unallocated unconfigured undefined unknown unnamed unset reserved default generic not
  notset none null localhost localdomain available spare placeholder noname
  instances droplets servers nodes hosts machines vms guests members tenants`,
)
addWords(
  MAILER,
  `mta mtasv msa out outbound outgoing mout relay relays smarthost esa exchange exch postfix exim bounce bounces
  list lists news newsletter mg mgw sender`,
)

/** Lines, also within words that hosts are called by: `internetdsl`, `adslgp`, `cabletel`, `dynamicip`, `a-4g-7`. */
const HAS_LINE =
  /dsl|cable|broadband|wireless|dhcp|pppoe|dialup|dialin|dialip|ftth|cgnat|d[iy]namic|(?<![a-z])dyn(?!a)|(?<![a-z0-9])[345]g(?![a-z0-9])/
const HAS_MACHINE = /vps|vds|vserver|(?<![a-z])vm|(?:srv|server)(?![a-z])/
const HAS_MAILER = /mail|smtp|(?<![a-z])mx(?:in|out|a|b)(?![a-z])|(?:mta|mx)(?![a-z])/
/** A mail server by a longer name, which has a machine's within: `mailserver2`, `smtp-gw`. */
const MAIL_SERVER = /(mail|smtp|mx)[-_]?(?:server|srv|host|gw|gateway)(?![a-z])/g

/** What the words of one label say, taken together, and whether it has a number. */
function kindsOf(label: string): number {
  let kinds = 0
  let start = 0
  for (let index = 0; index <= label.length; index += 1) {
    const code = label.charCodeAt(index) // NaN at the end
    if (code >= LETTER_A && code <= LETTER_Z) continue
    if (index > start) kinds |= WORDS.get(label.slice(start, index)) ?? 0
    if (isDigit(code)) kinds |= NUMBER
    start = index + 1
  }
  if (HAS_MACHINE.test(label)) kinds |= MACHINE
  if (HAS_MAILER.test(label)) kinds |= MAILER
  return kinds
}

const [LETTER_A, LETTER_Z, DIGIT_0, DIGIT_9] = [97, 122, 48, 57]

function isDigit(code: number): boolean {
  return code >= DIGIT_0 && code <= DIGIT_9
}

// Names that a provider has numbered its machines with. A name is held against its host only in doubt of who uses it:
// it costs a mail server a few first passes more, and none of its retries in its network.

const DIGIT = /\d/
/** Two digits in one label, together or not. */
const TWO_DIGITS = /\d[^.]*\d/
/** A digit after three letters at most: `s1`, `7`, `fra-1`, but neither `zeus2` nor `iport-7`. */
const AFTER_FEW_LETTERS = /(?:^|\.)\d|(?<![a-z])[a-z]{1,3}[-_]?\d/
/** How many digits a mailer's number may have, and that of a host below a domain that is called for mail. */
const FEW_MAILERS = 4
const FEW_HOSTS = 3
/** A provider has hundreds of machines that it calls for mail; of mail servers it has less. */
const HUNDREDS = /\d{3}/

/**
 * What the owner of `domain` has named a host for by `below`, which stands before the domain. Absent where nobody named
 * it, as a provider's lines and numbered machines.
 */
function kindOf(below: string, domain: string): 'mail' | 'other' | undefined {
  if (below === '') return 'other'
  if (SENDERS.get(domain)?.test(below)) return 'mail'
  if (HAS_LINE.test(below)) return undefined
  const labels = below.split('.')
  const kinds: number[] = []
  let all = 0
  for (const label of labels) {
    const kind = kindsOf(label)
    if (kind & LINE || (kind & ONE_OF_MANY && kind & NUMBER)) return undefined
    kinds.push(kind)
    all |= kind
  }
  if (SENDGRID.test(below)) return 'other'
  if (all & MAILER) return kindOfMailer(below, labels, kinds, all)
  if (all & UNCHOSEN) return undefined
  if (!(all & NUMBER)) return 'other'
  if (all & MACHINE) return undefined
  // Below mailgun.net or mail.ru, hosts that are called by numbers are mail servers.
  const isNumbered = HAS_MAILER.test(domain)
    ? hasMac(below) || labels.some((label) => isSerial(label, FEW_HOSTS) || hasRandomWord(label))
    : TWO_DIGITS.test(below) || AFTER_FEW_LETTERS.test(below)
  return isNumbered ? undefined : 'other'
}

/** The same for a name that has a word for mail: a machine that somebody rents may have one, too. */
function kindOfMailer(
  below: string,
  labels: readonly string[],
  kinds: readonly number[],
  all: number,
): 'mail' | 'other' | undefined {
  if (all & MACHINE) {
    const bare = below.replace(MAIL_SERVER, '$1').split('.').map(kindsOf)
    if (bare.some((kind) => kind & MACHINE && (all & NUMBER || kind & MAILER))) return undefined
  }
  if (!(all & NUMBER)) return 'mail'
  // What stands before a mailer's label is the number of one of its hosts: `ID.outbound.example.com`.
  const mailer = kinds.findLastIndex((kind) => kind & MAILER)
  const isNumbered =
    isSerial(labels[mailer] ?? '', FEW_MAILERS) ||
    NUMBERED_PARENT.test(labels.slice(mailer + 1).join('.')) ||
    hasMac(below)
  if (isNumbered) return undefined
  return HUNDREDS.test(below) ? 'other' : 'mail'
}

/** A customer's or a machine's number above its mail server: `mail.k1234`, `mail.77`. */
const NUMBERED_PARENT = /\d[^.]*\d|(?:^|\.)\d(?:\.|$)/

/** Whether the customer of a company whose domain is a suffix has a number for a name: nobody would know him by it. */
function isNumberedTenant(tenant: string): boolean {
  if (!DIGIT.test(tenant)) return false
  const isCounted = TWO_DIGITS.test(tenant) || AFTER_FEW_LETTERS.test(tenant)
  return isCounted || (kindsOf(tenant) & (MACHINE | ONE_OF_MANY)) !== 0
}

/** SendGrid's names below its customers' domains. */
const SENDGRID = /^o\d{1,3}\.ptr\d{1,5}(?:\.|$)/

/** How the largest senders number their mail servers, by domain, where that looks like a provider's numbers. */
const SENDERS = new Map<string, RegExp>([
  ['amazonses.com', /^[a-z]\d{1,3}-\d{1,3}\.smtp-out(?:\.[a-z0-9-]+)?$/],
  ['apple.com', /^[a-z]+(?:-[a-z]+)+\d{2,4}$/],
  ['barracuda.com', /^outbound-ip\d{1,3}[a-z]\.ess$/],
  ['comcast.net', /^res[a-z]mta-[a-z]\d[a-z]-\d{6}\.sys$/],
  ['google.com', /^mail-[a-z0-9]+-[a-z0-9]+$/],
  ['gpphosted.com', /^mx0[0-9a-d]-[0-9a-f]{8}$/],
  ['iphmx.com', /^esa\d{1,2}\.[a-z0-9-]+$/],
  ['mailgun.net', /^[a-z]{1,2}\d{1,3}-\d{1,3}(?:\.[a-z]{2})?$/],
  ['mandrillapp.com', /^mail\d{1,3}(?:-\d{1,3})?\.[a-z]{3}\d{1,3}$/],
  ['mcsv.net', /^mail\d{1,3}(?:-\d{1,3})?\.[a-z]{3}\d{1,3}$/],
  ['me.com', /^[a-z]{2}\d\dp00im-[a-z]+\d{8}$/],
  ['outlook.com', /^mail-[a-z0-9]+\.outbound\.protection$/],
  ['pphosted.com', /^mx0[0-9a-d]-[0-9a-f]{8}$/],
  ['protonmail.ch', /^mail-\d{2,6}$/],
  ['163.com', /^mail-[a-z]\d{1,8}\.qiye$/],
  ['rsgsv.net', /^mail\d{1,3}(?:-\d{1,3})?\.[a-z]{3}\d{1,3}$/],
  ['secureserver.net', /^[a-z0-9]{2,3}[np]l(?:smtpa?|out)\d\d-\d\d\.(?:shr\.)?prod\.[a-z]{3}\d$/],
  ['sendgrid.net', /^o\d{1,8}(?:x\d{1,3})?\.(?:ptr\d{1,5}|outbound-mail)$/],
  ['unified.services', /^csmtpq\d-prd-[a-z]{2}\d-[a-z]+\.edge$/],
  ['websitewelcome.com', /^gateway\d\d$/],
  ['yahoo.com', /^sonic\d{3}-\d{1,2}\.consmr\.mail\.[a-z]{2}\d$/],
])

/** Twelve hexadecimal digits, together or in pairs or fours: a MAC address. */
const MAC =
  /[0-9a-f]{12}|(?<![a-z0-9])(?:[0-9a-f]{2}[-_.]){5}[0-9a-f]{2}(?![a-z0-9])|(?<![a-z0-9])(?:[0-9a-f]{4}[-_.]){2}[0-9a-f]{4}(?![a-z0-9])/g
/** Digits and separators of the shortest. */
const MIN_MAC = 12

function hasMac(text: string): boolean {
  return text.length >= MIN_MAC && (text.match(MAC)?.some((mac) => DIGIT.test(mac)) ?? false)
}

/** A number of more than so many digits, more than twice as many in several numbers, or a hexadecimal one: `d0669a91`. */
function isSerial(label: string, digits: number): boolean {
  let [all, together] = [0, 0]
  for (const number of label.match(/\d+/g) ?? []) {
    all += number.length
    together = Math.max(together, number.length)
  }
  if (together > digits || all > 2 * digits) return true
  return all > 0 && HEX_WORD.test(label)
}

const HEX_WORD = /(?<![a-z0-9])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}(?![a-z0-9])/

/** `x7k2m9q4`, which nobody would choose, changes between letters and digits three times in eight places. */
function hasRandomWord(label: string): boolean {
  return label.split(/[^a-z0-9]+/).some((word) => {
    return word.length >= 8 && (word.match(/\d(?=[a-z])|[a-z](?=\d)/g)?.length ?? 0) >= 3
  })
}

function spells(text: string, address: IpAddress): boolean {
  // Hexadecimal letters alone are a word (cafe, face), and most names have no digits.
  if (!DIGIT.test(text)) return false
  return address.kind === 'ipv4' ? spellsIpv4(text, address.bytes) : spellsIpv6(text, address)
}

/** All four octets, or two neighbours, in either order, decimal or hexadecimal. */
function spellsIpv4(text: string, bytes: readonly number[]): boolean {
  if (hasNeighbours(text, bytes)) return true
  const compact = EIGHT_DIGITS.test(text) ? text.replace(/[^a-z0-9]+/g, '') : ''
  return hasHex(text, compact, hexOf(bytes)) || hasHex(text, compact, hexOf(bytes.toReversed()))
}

/** Where eight hexadecimal digits can be, with anything between them but letters. */
const EIGHT_DIGITS = /[^g-z]{8}/

function hexOf(bytes: readonly number[]): string {
  return bytes.reduce((hex, byte) => `${hex}${byte < 16 ? '0' : ''}${byte.toString(16)}`, '')
}

/** Eight digits are no chance, wherever they stand (p578adb1c), nor four that stand alone. */
function hasHex(text: string, compact: string, hex: string): boolean {
  return compact.includes(hex) || hasWord(text, hex.slice(0, 4)) || hasWord(text, hex.slice(4))
}

/** What begins with 00 is as likely the number of a host, and letters alone are a word. */
function hasWord(text: string, half: string): boolean {
  if (!text.includes(half) || half.startsWith('00') || !DIGIT.test(half)) return false
  return text.split(/[^a-z0-9]+/).includes(half)
}

/** Numbers with something between them that is neither letter nor number, or an x (`24x62x201x179`). */
const NUMBERS = /\d+(?:(?:[^a-z0-9]+|x)\d+)+|\d{6,}/g

function hasNeighbours(text: string, bytes: readonly number[]): boolean {
  const isPair = (one: number | undefined, other: number) =>
    bytes.some((byte, index) => {
      const next = bytes[index + 1]
      return (byte === one && next === other) || (byte === other && next === one)
    })
  return (text.match(NUMBERS) ?? []).some((run) => {
    const numbers = (run.match(/\d+/g) ?? []).flatMap(octets)
    return numbers.some((number, index) => index > 0 && isPair(numbers[index - 1], number))
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
