// Parses the text of an SPF record into its terms, or finds that it breaks the grammar. records.ts asks DNS for the
// text.
// Source: RFC 7208 sections 4.5, 4.6, 5, 6 and 12.

import { ADDRESS_BITS, parseBytes } from '../../ip.ts'
import { type DomainSpec, isMacroString, parseDomainSpec } from './macro.ts'

/** The result of a mechanism that matches. */
export type Qualifier = 'pass' | 'fail' | 'softfail' | 'neutral'

/** Addresses with the same leading bits. */
export interface AddressBlock {
  /** 4 or 16 bytes. */
  readonly bytes: readonly number[]
  readonly prefix: number
}

/** Number of leading bits that are compared with the addresses of a host. */
export interface Prefixes {
  readonly ipv4: number
  readonly ipv6: number
}

export type Mechanism =
  | { readonly kind: 'all'; readonly qualifier: Qualifier }
  | { readonly kind: 'ip'; readonly qualifier: Qualifier; readonly block: AddressBlock }
  | {
      readonly kind: 'a' | 'mx'
      readonly qualifier: Qualifier
      /** Absent for the record's own domain. */
      readonly name?: DomainSpec
      readonly prefixes: Prefixes
    }
  | { readonly kind: 'ptr'; readonly qualifier: Qualifier; readonly name?: DomainSpec }
  | { readonly kind: 'include' | 'exists'; readonly qualifier: Qualifier; readonly name: DomainSpec }

export interface SpfRecord {
  readonly mechanisms: readonly Mechanism[]
  /** Absent also if an `all` makes it ineffective. */
  readonly redirect?: DomainSpec
}

const SPF_VERSION = /^v=spf1(?: |$)/i

/** A record consists of printable ASCII characters. */
const TEXT = /^[ -~]*$/

const MODIFIER = /^([a-z][a-z0-9_.-]*)=(.*)$/i
/** The name of a mechanism, without its argument. */
const MECHANISM_NAME = /^[a-z0-9]+/i
const QUALIFIERS: Readonly<Record<string, Qualifier>> = {
  '+': 'pass',
  '-': 'fail',
  '~': 'softfail',
  '?': 'neutral',
}

/** A prefix length without leading zeros (section 12). */
const PREFIX_LENGTH = /^(?:0|[1-9]\d{0,2})$/
/** A name with a prefix length for IPv4, for IPv6, for both or for none at its end (section 12). */
const DUAL_PREFIX = /^(.*?)(?:\/(0|[1-9]\d?))?(?:\/\/(0|[1-9]\d{0,2}))?$/

/** Whether a TXT record, its strings joined, claims to be an SPF record. */
export function isSpfRecord(text: string): boolean {
  return SPF_VERSION.test(text)
}

/** The terms of a text that `isSpfRecord` accepts; `undefined` for any mistake in it, which makes a permerror. */
export function parseRecord(text: string): SpfRecord | undefined {
  if (!TEXT.test(text)) return undefined
  const mechanisms: Mechanism[] = []
  let redirect: DomainSpec | undefined
  const seen = new Set<string>()
  for (const term of text.split(' ').slice(1)) {
    if (term === '') continue
    const [, name, value = ''] = (term.includes('=') && MODIFIER.exec(term)) || []
    if (name === undefined) {
      const mechanism = parseDirective(term)
      if (!mechanism) return undefined
      if (mechanism !== 'never') mechanisms.push(mechanism)
      continue
    }
    const modifier = name.toLowerCase()
    if (modifier === 'redirect' || modifier === 'exp') {
      const spec = parseDomainSpec(value)
      if (!spec || seen.has(modifier)) return undefined
      seen.add(modifier)
      if (modifier === 'redirect') redirect = spec
    } else if (!isMacroString(value)) return undefined
  }
  const hasAll = mechanisms.some(({ kind }) => kind === 'all')
  return redirect && !hasAll ? { mechanisms, redirect } : { mechanisms }
}

/** The mechanism of a term, `never` for a correct one that matches no client, `undefined` for a mistake. */
function parseDirective(term: string): Mechanism | 'never' | undefined {
  const sign = QUALIFIERS[term.charAt(0)]
  const qualifier = sign ?? 'pass'
  const directive = sign ? term.slice(1) : term
  const [name = ''] = MECHANISM_NAME.exec(directive) ?? []
  const rest = directive.slice(name.length)
  const kind = name.toLowerCase()
  switch (kind) {
    case 'all':
      return rest === '' ? { kind: 'all', qualifier } : undefined
    case 'ip4':
      return parseIpMechanism(qualifier, rest, 'ipv4')
    case 'ip6':
      return parseIpMechanism(qualifier, rest, 'ipv6')
    case 'a':
      return parseHostMechanism('a', qualifier, rest)
    case 'mx':
      return parseHostMechanism('mx', qualifier, rest)
    case 'ptr': {
      if (rest === '') return { kind: 'ptr', qualifier }
      const spec = rest.startsWith(':') ? parseDomainSpec(rest.slice(1)) : undefined
      return spec && { kind: 'ptr', qualifier, name: spec }
    }
    case 'include':
    case 'exists': {
      const spec = rest.startsWith(':') ? parseDomainSpec(rest.slice(1)) : undefined
      return spec && { kind, qualifier, name: spec }
    }
    default:
      return undefined
  }
}

function parseIpMechanism(
  qualifier: Qualifier,
  rest: string,
  kind: 'ipv4' | 'ipv6',
): Mechanism | 'never' | undefined {
  if (!rest.startsWith(':')) return undefined
  const slash = rest.indexOf('/')
  const address = rest.slice(1, slash === -1 ? undefined : slash)
  const bits = ADDRESS_BITS[kind]
  const digits = slash === -1 ? String(bits) : rest.slice(slash + 1)
  const prefix = PREFIX_LENGTH.test(digits) ? Number(digits) : Number.NaN
  if (!(prefix <= bits) || address.includes(':') !== (kind === 'ipv6')) return undefined
  // The grammar allows neither zones nor Sendmail's `IPv6:`, both of which `parseBytes` reads.
  const bytes = /[%v]/i.test(address) ? undefined : parseBytes(address)
  if (!bytes) return undefined
  // For SPF, the client with an IPv4 address in IPv6 form is an IPv4 client, so no client matches (RFC 7208 section 5).
  if (bytes.length * 8 !== bits) return 'never'
  return { kind: 'ip', qualifier, block: { bytes, prefix } }
}

function parseHostMechanism(kind: 'a' | 'mx', qualifier: Qualifier, rest: string): Mechanism | undefined {
  const [, host = '', digits4, digits6] = DUAL_PREFIX.exec(rest) ?? []
  const prefixes = {
    ipv4: digits4 === undefined ? ADDRESS_BITS.ipv4 : Number(digits4),
    ipv6: digits6 === undefined ? ADDRESS_BITS.ipv6 : Number(digits6),
  }
  if (prefixes.ipv4 > ADDRESS_BITS.ipv4 || prefixes.ipv6 > ADDRESS_BITS.ipv6) return undefined
  if (host === '') return { kind, qualifier, prefixes }
  const name = host.startsWith(':') ? parseDomainSpec(host.slice(1)) : undefined
  return name && { kind, qualifier, name, prefixes }
}
