// Senders or recipients that are never greylisted: address, domain (and below it), local@, /regex/, `<>` for the
// null sender. One list → a matcher.

import { type Address, normalDomain, parseAddress } from '../address.ts'
import { compileDomains, isDomain } from './domains.ts'
import { isPattern, type Pattern, parsePattern } from './pattern.ts'

export type AddressRule =
  | { readonly kind: 'address'; readonly normal: string }
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'local'; readonly local: string }
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
  if (/^[^@]+@$/.test(text)) return { kind: 'local', local: parseAddress(text.slice(0, -1)).local }
  if (text.includes('@')) {
    const address = parseAddress(text)
    if (address.local === '' || address.domain === '') throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
    return { kind: 'address', normal: address.normal }
  }
  if (!isDomain(text)) throw new Error(`expected ${ADDRESS_RULE_FORMS}`)
  return { kind: 'domain', domain: normalDomain(text) }
}

export function compileAddresses(rules: readonly AddressRule[]): AddressMatcher {
  const addresses = new Set(rules.flatMap((rule) => (rule.kind === 'address' ? [rule.normal] : [])))
  const locals = new Set(rules.flatMap((rule) => (rule.kind === 'local' ? [rule.local] : [])))
  const inDomains = compileDomains(rules.flatMap((rule) => (rule.kind === 'domain' ? [rule.domain] : [])))
  const patterns = rules.flatMap((rule) => (rule.kind === 'pattern' ? [rule.pattern] : []))
  return (address) => {
    const { normal } = address
    if (addresses.has(normal)) return normal === '' ? '<>' : normal
    if (locals.has(address.local)) return `${address.local}@`
    return inDomains(address.domain) ?? patterns.find((pattern) => pattern.matches(normal))?.text
  }
}
