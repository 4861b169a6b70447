// Reads a client's confirmed host name: the registrable domain, and whether the name tells who uses the address. A name
// of a line in a pool or of a numbered machine does not, as its domain is the provider's. identity.ts decides what
// stands for the client.
// Source: publicsuffix.org for domains; the names in the test were seen on hosts.

import type { IpAddress } from '../ip.ts'
import { require } from '../require.ts'

const { parse } = require('tldts') as typeof import('tldts')

export interface HostName {
  /**
   * Whether somebody chose the name for a host of the domain. It is false if the name spells half of the address or
   * more, has a word for lines, pools or machines of nobody in particular, has a number that a provider gives, or lies
   * below no public suffix.
   */
  readonly isTelling: boolean
  /** Whether the name is telling and says that the host handles mail, as `mx1` and `smtp-out` do. */
  readonly isMail: boolean
  /** The registrable domain; absent for a public suffix, an IP address, or no name at all. */
  readonly domain?: string
}

const NO_NAME: HostName = { isTelling: false, isMail: false }

/** What a client's confirmed host name says of it; `name` is in lower case, without a final dot. */
export function readHostName(name: string, address: IpAddress): HostName {
  if (!isHostName(name) || (isDigit(name.charCodeAt(name.length - 1)) && ENDS_IN_NUMBER.test(name)))
    return NO_NAME
  const { domain, subdomain, publicSuffix, domainWithoutSuffix, isIcann, isPrivate } = parse(
    name,
    PARSE_OPTIONS,
  )
  if (domain === null || publicSuffix === null) return NO_NAME
  const isListed = isIcann === true || isPrivate === true || TEST_SUFFIXES.has(publicSuffix)
  // A name below .arpa belongs to the reverse zone itself.
  if (!isListed || ARPA.test(publicSuffix)) return { ...NO_NAME, domain }
  // Below a suffix that a company lets to others, a customer has chosen its domain or was given it.
  const tenant = isPrivate === true ? (domainWithoutSuffix ?? '') : ''
  const below = subdomain ?? ''
  const kind = isNumberedTenant(tenant) ? undefined : kindOf(below, domain)
  // A domain may be called by a word for lines (dslreports.com), but none spells an address by chance (ip-1-2-3.eu).
  const isTelling = kind !== undefined && !spellsAddress(below, address) && !spellsAddress(domain, address)
  return { isTelling, isMail: isTelling && kind === 'mail', domain }
}

/**
 * Whether an untelling name below `domain` is that of a machine at a provider, such as `web13.hoster.example`, rather than
 * that of a line or one that spells the address. Behind a line may be anybody, and machines are rented one by one.
 */
export function isMachineName(name: string, domain: string, address: IpAddress): boolean {
  const below = name.slice(0, -domain.length - 1)
  if (below === '' || HAS_LINE.test(below) || spellsAddress(name, address)) return false
  return !below.split('.').some((label) => kindsOf(label) & LINE)
}

/** Turns off checks of the library that `readHostName` makes itself. */
const PARSE_OPTIONS = {
  allowPrivateDomains: true,
  extractHostname: false,
  validateHostname: false,
  detectIp: false,
}

/** Longest name in DNS (RFC 1035 section 2.3.4), in characters of text. */
const MAX_NAME = 253
/** A name that a resolver should return; the library parses any text. */
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/
/** An IPv4 address ends in a number, and no top-level domain is one. */
const ENDS_IN_NUMBER = /\.\d+$/
const ARPA = /(?:^|\.)arpa$/

/** Whether DNS can have `name`, in lower case, with two labels or more. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_NAME && HOST_NAME.test(name)
}

/**
 * Suffixes that count as public though they are not in the list. RFC 2606 keeps them for tests and documents, so no
 * outsider has such a name. Other unlisted suffixes (`.lan`, `.internal`) belong to private networks.
 */
const TEST_SUFFIXES = new Set(['test', 'example'])

// The kinds of words in a name. Only whole runs of letters count: `dsl12` and `pool-4` have a word for a line, `medial`
// and `carpool` do not.

/** A provider's word for a customer's line. */
const LINE = 1
/** A word for a machine that, with a number, tells nothing of its owner's purpose: `vmi1937462`, `ns3`, `cloud-7`. */
const MACHINE = 2
/** A word with a number in its label because the owner has many of the kind: `worker3`, `order-7`. */
const ONE_OF_MANY = 4
/** A word of names that nobody chose, even without a number: `hosted-by`, `no-rdns`, `scw-elegant-cray.instances`. */
const UNCHOSEN = 8
/** A word for a mail server. */
const MAILER = 16
/** A number of any kind. */
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
// Mail servers live on static lines, too, so these words count only in names without a word for mail.
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

/** Words for lines, also within longer words: `internetdsl`, `adslgp`, `cabletel`, `dynamicip`, `a-4g-7`. */
const HAS_LINE =
  /dsl|cable|broadband|wireless|dhcp|pppoe|dialup|dialin|dialip|ftth|cgnat|d[iy]namic|(?<![a-z])dyn(?!a)|(?<![a-z0-9])[345]g(?![a-z0-9])/
const HAS_MACHINE = /vps|vds|vserver|(?<![a-z])vm|(?:srv|server)(?![a-z])/
const HAS_MAILER = /mail|smtp|(?<![a-z])mx(?:in|out|a|b)(?![a-z])|(?:mta|mx)(?![a-z])/
/** Words for a mail server that hold a word for a machine: `mailserver2`, `smtp-gw`. */
const MAIL_SERVER = /(mail|smtp|mx)[-_]?(?:server|srv|host|gw|gateway)(?![a-z])/g

/** The kinds of all words of a label as bits, with NUMBER if it has a number. */
function kindsOf(label: string): number {
  let kinds = 0
  let start = 0
  for (let index = 0; index <= label.length; index += 1) {
    const code = label.charCodeAt(index) // NaN at the end, which is no letter
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

// Names with a provider's numbers. A name counts as not telling when its user is in doubt. That costs a mail server a
// few more first passes, but no retry in its own network.

const DIGIT = /\d/
/** Two digits in one label, together or not. */
const TWO_DIGITS = /\d[^.]*\d/
/** A digit behind three letters at most: `s1`, `7`, `fra-1`, but neither `zeus2` nor `iport-7`. */
const AFTER_FEW_LETTERS = /(?:^|\.)\d|(?<![a-z])[a-z]{1,3}[-_]?\d/
/** Most digits of a mailer's number. */
const MAX_MAILER_DIGITS = 4
/** Most digits of a host's number below a domain whose name has a word for mail. */
const MAX_HOST_DIGITS = 3
/** Three digits in a row. A provider has hundreds of machines with a word for mail, but fewer mail servers. */
const THREE_DIGITS = /\d{3}/

/**
 * The purpose for which the owner of `domain` named the host whose labels before the domain are `below`; `undefined`
 * for a host that nobody named, such as a provider's line or numbered machine.
 */
function kindOf(below: string, domain: string): 'mail' | 'other' | undefined {
  if (below === '') return 'other'
  if (LARGE_SENDERS.get(domain)?.test(below)) return 'mail'
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
  // Below mailgun.net or mail.ru, hosts with numbers for names are mail servers.
  const isNumbered = HAS_MAILER.test(domain)
    ? hasMac(below) || labels.some((label) => isSerial(label, MAX_HOST_DIGITS) || hasRandomWord(label))
    : TWO_DIGITS.test(below) || AFTER_FEW_LETTERS.test(below)
  return isNumbered ? undefined : 'other'
}

/** The purpose of a host whose name has a word for mail; the name of a rented machine may have one, too. */
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
  // Labels before the mailer's label are free to number its hosts: `ID.outbound.example.com`.
  const mailer = kinds.findLastIndex((kind) => kind & MAILER)
  const isNumbered =
    isSerial(labels[mailer] ?? '', MAX_MAILER_DIGITS) ||
    NUMBERED_PARENT.test(labels.slice(mailer + 1).join('.')) ||
    hasMac(below)
  if (isNumbered) return undefined
  return THREE_DIGITS.test(below) ? 'other' : 'mail'
}

/** A customer's or a machine's number above its mail server: `mail.k1234`, `mail.77`. */
const NUMBERED_PARENT = /\d[^.]*\d|(?:^|\.)\d(?:\.|$)/

/** Whether a customer below a company's suffix has a number for a name, by which nobody would know it. */
function isNumberedTenant(tenant: string): boolean {
  if (!DIGIT.test(tenant)) return false
  const isCounted = TWO_DIGITS.test(tenant) || AFTER_FEW_LETTERS.test(tenant)
  return isCounted || (kindsOf(tenant) & (MACHINE | ONE_OF_MANY)) !== 0
}

/** A name that SendGrid gives to its hosts below its customers' domains. */
const SENDGRID = /^o\d{1,3}\.ptr\d{1,5}(?:\.|$)/

/** Names of the largest senders' mail servers, by domain, that look like a provider's numbered machines. */
const LARGE_SENDERS = new Map<string, RegExp>([
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
/** Length of the shortest form. */
const MIN_MAC = 12

function hasMac(text: string): boolean {
  return text.length >= MIN_MAC && (text.match(MAC)?.some((mac) => DIGIT.test(mac)) ?? false)
}

/**
 * Whether a label has a number of more than `digits` digits, more than twice as many digits in all, or a hexadecimal
 * number such as `d0669a91`.
 */
function isSerial(label: string, digits: number): boolean {
  let [all, together] = [0, 0]
  for (const number of label.match(/\d+/g) ?? []) {
    all += number.length
    together = Math.max(together, number.length)
  }
  if (together > digits || all > 2 * digits) return true
  return HEX_WORD.test(label)
}

const HEX_WORD = /(?<![a-z0-9])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}(?![a-z0-9])/

/** Whether a word of eight places or more, like `x7k2m9q4`, changes between letters and digits three times or more. */
function hasRandomWord(label: string): boolean {
  return label.split(/[^a-z0-9]+/).some((word) => {
    return word.length >= 8 && (word.match(/\d(?=[a-z])|[a-z](?=\d)/g)?.length ?? 0) >= 3
  })
}

/** Whether a text spells half of the address or more, in one of the ways in which providers write it. */
function spellsAddress(text: string, address: IpAddress): boolean {
  // Hexadecimal letters alone are a word (cafe, face), and most names have no digits.
  if (!DIGIT.test(text)) return false
  return address.kind === 'ipv4' ? spellsIpv4(text, address.bytes) : spellsIpv6(text, address)
}

/** Whether a text has all four octets, or two neighbouring ones, in either order, decimal or hexadecimal. */
function spellsIpv4(text: string, bytes: readonly number[]): boolean {
  if (hasNeighbours(text, bytes)) return true
  if (!EIGHT_DIGITS.test(text) && !FOUR_DIGITS.test(text)) return false
  const compact = text.replace(/[^a-z0-9]+/g, '')
  return hasHex(text, compact, hexOf(bytes)) || hasHex(text, compact, hexOf(bytes.toReversed()))
}

/** Fast path: eight places that may hold hexadecimal digits, as none is a letter beyond f. */
const EIGHT_DIGITS = /[^g-z]{8}/
/** Fast path: four hexadecimal digits that stand alone. */
const FOUR_DIGITS = /(?<![a-z0-9])[0-9a-f]{4}(?![a-z0-9])/

function hexOf(bytes: readonly number[]): string {
  let hex = ''
  for (const byte of bytes) hex += byte < 16 ? `0${byte.toString(16)}` : byte.toString(16)
  return hex
}

/** Eight hexadecimal digits in any place (p578adb1c), or four that stand alone, are no coincidence. */
function hasHex(text: string, compact: string, hex: string): boolean {
  return compact.includes(hex) || hasWord(text, hex.slice(0, 4)) || hasWord(text, hex.slice(4))
}

/** Whether `half` stands alone in a text. One that begins with 00 may number a host, and letters alone are a word. */
function hasWord(text: string, half: string): boolean {
  if (!text.includes(half) || half.startsWith('00') || !DIGIT.test(half)) return false
  return text.split(/[^a-z0-9]+/).includes(half)
}

/**
 * Numbers with an x (`24x62x201x179`) or anything that is neither letter nor digit between them, or one long number.
 */
const NUMBERS = /\d+(?:(?:[^a-z0-9]+|x)\d+)+|\d{6,}/g

function hasNeighbours(text: string, bytes: readonly number[]): boolean {
  const runs = text.match(NUMBERS)
  if (!runs) return false
  const isPair = (one: number | undefined, other: number) =>
    bytes.some((byte, index) => {
      const next = bytes[index + 1]
      return (byte === one && next === other) || (byte === other && next === one)
    })
  return runs.some((run) => {
    const numbers = (run.match(/\d+/g) ?? []).flatMap(octets)
    return numbers.some((number, index) => index > 0 && isPair(numbers[index - 1], number))
  })
}

/** The numbers in a run of digits: 51 in `051`; 198, 51, 100 and 7 in `198051100007`, with three digits for each. */
function octets(digits: string): number[] {
  const together = /^(?:\d{3}){2,4}$/.test(digits)
  return (together ? (digits.match(/\d{3}/g) ?? []) : [digits]).map(Number)
}

const IPV6_GROUPS = 8
const HALF = IPV6_GROUPS / 2
/** Fewest characters that count as groups of an address, since many names have zeros and small numbers. */
const MIN_GROUPS_TEXT = 8

/** Whether a text has sixteen digits of the address, or four neighbouring groups, in either order. */
function spellsIpv6(text: string, address: IpAddress): boolean {
  // Each of the ways to spell one takes eight digits and hyphens.
  if (!EIGHT_DIGITS.test(text)) return false
  const digits = hexOf(address.bytes)
  const compact = text.replace(/[^a-z0-9]+/g, '')
  for (const order of [digits, [...digits].reverse().join('')]) {
    if (compact.includes(order.slice(0, 16)) || compact.includes(order.slice(16))) return true
  }
  // The short form leaves zeros out: 2001-db8--7.
  const short = address.text.replaceAll(':', '-')
  return (short.length >= MIN_GROUPS_TEXT && text.includes(short)) || hasGroups(text, digits)
}

/** Whether a text has four neighbouring groups of the address, with their leading zeros or without. */
function hasGroups(text: string, digits: string): boolean {
  const groups = Array.from({ length: IPV6_GROUPS }, (_, index) =>
    shortGroup(digits.slice(index * 4, index * 4 + 4)),
  )
  const words = `-${text
    .split(/[^a-z0-9]+/)
    .map(shortGroup)
    .join('-')}-`
  for (const order of [groups, groups.toReversed()]) {
    for (let start = 0; start + HALF <= IPV6_GROUPS; start += 1) {
      const half = order.slice(start, start + HALF).join('-')
      if (half.length >= MIN_GROUPS_TEXT && words.includes(`-${half}-`)) return true
    }
  }
  return false
}

function shortGroup(word: string): string {
  return word.replace(/^0+(?=.)/, '')
}
