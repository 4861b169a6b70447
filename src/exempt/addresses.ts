// Parses rules for senders or recipients, and compiles a list of them into a matcher. A rule is an address, a domain
// with all below it, local@, a /regex/, or `<>` for the null sender. exempt.ts decides what a match means.

import { type Address, normalDomain, parseAddress } from '../address.ts'
import { compileDomains, isDomain } from './domains.ts'
import { compilePatterns, isPattern, type Pattern, parsePattern } from './pattern.ts'

export type AddressRule =
  | { readonly kind: 'address'; readonly normal: string }
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'local'; readonly local: string }
  /** `joe@example.org`, or `joe@` for any domain, each with or without an extension like `joe+list`, as in Postgrey. */
  | { readonly kind: 'extended'; readonly mailbox: string }
  | { readonly kind: 'pattern'; readonly pattern: Pattern }

/** The rule that applies, as text; `undefined` if none does. */
export type AddressMatcher = (address: Address) => string | undefined

export const ADDRESS_RULE_FORMS =
  'an address, a domain, a local part with its @ like postmaster@, <> or a /regex/'

/** The rule in a text of one of `ADDRESS_RULE_FORMS`. Throws on any other text. */
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

/** The address in a rule. Throws if an MTA would drop part of the text, as that is a slip in a rule. */
function wholeAddress(text: string): Address {
  const address = parseAddress(text)
  if (address.text !== text.replace(/^<(.*)>$/s, '$1')) throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
  return address
}

/** The matcher for a list of rules; the time that it takes does not depend on their number. */
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

/** Longest local part of a mailbox, in characters (RFC 5321 section 4.5.3.1.1); bounds the work for rows of +. */
const MAX_LOCAL_PART = 64

/** The names of `a+b@example.org` in `extended` rules: itself, `a+b@`, `a@example.org`, `a@`; not within quotes. */
function basesOf({ local, domain }: Address): string[] {
  const bases = [`${local}@${domain}`, `${local}@`]
  // An extension has one character at least.
  let plus = local.lastIndexOf('+', Math.min(local.length - 2, MAX_LOCAL_PART))
  for (; plus > 0; plus = local.lastIndexOf('+', plus - 1)) {
    const base = local.slice(0, plus)
    bases.push(`${base}@${domain}`, `${base}@`)
  }
  return bases
}
