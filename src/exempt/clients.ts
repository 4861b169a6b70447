// Parses rules for clients, and compiles a list of them into a matcher. A rule is an IP address, a network, a range of
// addresses, a host name with all below it, or a /regex/. exempt.ts decides what a match means.

import { normalDomain } from '../address.ts'
import type { Client } from '../attempt.ts'
import { type Network, networksBetween, parseIp, parseNetwork } from '../ip.ts'
import { compileDomains, isDomain } from './domains.ts'
import { compileNetworks } from './networks.ts'
import { compilePatterns, isPattern, type Pattern, parsePattern } from './pattern.ts'

export type ClientRule =
  | { readonly kind: 'network'; readonly network: Network }
  | { readonly kind: 'range'; readonly networks: readonly Network[] }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pattern'; readonly pattern: Pattern }

/** The rule that applies, as text; `undefined` if none does. */
export type ClientMatcher = (client: Client) => string | undefined

export const CLIENT_RULE_FORMS =
  'an IP address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/'

/** The rule in a text of one of `CLIENT_RULE_FORMS`. Throws on any other text. */
export function parseClientRule(text: string): ClientRule {
  if (isPattern(text)) return { kind: 'pattern', pattern: parsePattern(text) }
  const network = parseNetwork(text)
  if (network) return { kind: 'network', network }
  const range = parseRange(text)
  if (range) return { kind: 'range', networks: range }
  // A text of digits and dots, or one with a colon or slash, is a mistyped address.
  if (/^[\d.]+$/.test(text) || !isDomain(text)) throw new Error(`expected ${CLIENT_RULE_FORMS}`)
  return { kind: 'name', name: normalDomain(text) }
}

/** The matcher for a list of rules; the time that it takes does not depend on their number. */
export function compileClients(rules: readonly ClientRule[]): ClientMatcher {
  const inNetworks = compileNetworks(rules.flatMap(networksOf))
  const inDomains = compileDomains(rules.flatMap((rule) => (rule.kind === 'name' ? [rule.name] : [])))
  const patternOf = compilePatterns(rules.flatMap((rule) => (rule.kind === 'pattern' ? [rule.pattern] : [])))
  return ({ address, ipv6Form, name }) => {
    const network = (address && inNetworks(address)) ?? (ipv6Form && inNetworks(ipv6Form))
    if (network) return network
    const domain = name && inDomains(name)
    if (domain) return domain
    const subjects = [name, address?.text, ipv6Form?.text]
    for (const subject of subjects) {
      const pattern = subject && patternOf(subject)
      if (pattern) return pattern
    }
    return undefined
  }
}

/**
 * The networks that make up a range like `192.0.2.1-192.0.2.9`; `undefined` if the text is no range. Throws if its ends
 * are no addresses, or in the wrong order, or of two families. A host name may have dashes as well.
 */
function parseRange(text: string): readonly Network[] | undefined {
  const [, from = '', to = ''] = /^([\da-f.:]+) ?- ?([\da-f.:]+)$/i.exec(text) ?? []
  const [first, last] = [parseIp(from), parseIp(to)]
  if (first && last) {
    if (first.kind !== last.kind) throw new Error('expected a range of two IPv4 or two IPv6 addresses')
    const networks = networksBetween(first, last)
    if (networks.length === 0) throw new Error(`expected the lower address first, as in ${to}-${from}`)
    return networks
  }
  if (first || last) throw new Error('expected both ends of a range in full, as in 192.0.2.1-192.0.2.9')
  return undefined
}

function networksOf(rule: ClientRule): readonly Network[] {
  if (rule.kind === 'network') return [rule.network]
  return rule.kind === 'range' ? rule.networks : []
}
