// Senders or recipients that are never greylisted: address, domain (and below it), local@, /regex/, `<>` for the
// null sender. One list → a matcher.

import { type Address, normalDomain, parseAddress } from '../address.ts'
import { compileDomains, isDomain } from './domains.ts'
import { compilePatterns, isPattern, type Pattern, parsePattern } from './pattern.ts'

export type AddressRule =
  | { readonly kind: 'address'; readonly normal: string }
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'local'; readonly local: string }
  /** `joe@example.org`, or `joe@` for any domain, and with it `joe+anything`, as Postgrey's lists mean it. */
  | { readonly kind: 'extended'; readonly mailbox: string }
  | { readonly kind: 'pattern'; readonly pattern: Pattern }

/** The rule that applies, as text. */
export type AddressMatcher = (address: Address) => string | undefined

export const ADDRESS_RULE_FORMS =
  'an address, a domain, a local part with its @ like postmaster@, <> or a /regex/'

/** Throws on what is none of `ADDRESS_RULE_FORMS`. */
export function parseAddressRule(text: string): AddressRule {
  if (isPattern(text)) return { kind: 'pattern', pattern: parsePattern(text) }
  if (text === '<>') return { kind: 'address', normal: '' }
  if (text.includes('*'))
    throw new Error(`expected ${ADDRESS_RULE_FORMS}, and no *: example.org is all of that domain`)
  if (/^[^@]+@$/.test(text)) return { kind: 'local', local: wholeAddress(text.slice(0, -1)).local }
  if (text.includes('@')) {
    const address = wholeAddress(text)
    if (address.local === '' || address.domain === '') throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
    return { kind: 'address', normal: address.normal }
  }
  if (!isDomain(text)) throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
  return { kind: 'domain', domain: normalDomain(text) }
}

/** Throws where an MTA would drop part of the text: in a rule that is a slip. */
function wholeAddress(text: string): Address {
  const address = parseAddress(text)
  if (address.text !== text.replace(/^<(.*)>$/s, '$1')) throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
  return address
}

/** Costs the same however many rules there are. */
export function compileAddresses(rules: readonly AddressRule[]): AddressMatcher {
  const addresses = new Set(rules.flatMap((rule) => (rule.kind === 'address' ? [rule.normal] : [])))
  const locals = new Set(rules.flatMap((rule) => (rule.kind === 'local' ? [rule.local] : [])))
  const extended = new Set(rules.flatMap((rule) => (rule.kind === 'extended' ? [rule.mailbox] : [])))
  const inDomains = compileDomains(rules.flatMap((rule) => (rule.kind === 'domain' ? [rule.domain] : [])))
  const patternOf = compilePatterns(rules.flatMap((rule) => (rule.kind === 'pattern' ? [rule.pattern] : [])))
  return (address) => {
    const { normal } = address
    if (addresses.has(normal)) return normal === '' ? '<>' : normal
    if (locals.has(address.local)) return `${address.local}@`
    const base = extended.size > 0 ? basesOf(address).find((mailbox) => extended.has(mailbox)) : undefined
    if (base !== undefined) return base
    return inDomains(address.domain) ?? patternOf(normal)
  }
}

/** A longer one is no mailbox's, RFC 5321 section 4.5.3.1.1; without this limit, plusses without end would cost time. */
const LONGEST_LOCAL = 64

/** Of `a+b@example.org` what `extended` rules may call it: that, `a+b@`, `a@example.org`, `a@`; not within quotes. */
function basesOf({ local, domain }: Address): string[] {
  const bases = [`${local}@${domain}`, `${local}@`]
  // An extension has one character at least.
  let plus = local.lastIndexOf('+', Math.min(local.length - 2, LONGEST_LOCAL))
  for (; plus > 0; plus = local.lastIndexOf('+', plus - 1)) {
    const base = local.slice(0, plus)
    bases.push(`${base}@${domain}`, `${base}@`)
  }
  return bases
}
