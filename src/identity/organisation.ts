// Finds the domain above a name that somebody pays a registry for. Names below it cost nothing, also those that
// companies let to others free of charge, as dynamic DNS.
// Source: publicsuffix.org, the part for ICANN's domains.

import { require } from '../require.ts'

const { getDomain } = require('tldts') as typeof import('tldts')

/** The registrable domain of `name`, or `name` itself if it has none. */
export function organisationOf(name: string): string {
  return domainAbove(name, false) ?? name
}

/**
 * The registrable domain of `name`, or the customer's domain below a suffix that a company lets to others; `undefined`
 * if there is none.
 */
export function ownerOf(name: string): string | undefined {
  return domainAbove(name, true)
}

function domainAbove(name: string, allowPrivateDomains: boolean): string | undefined {
  // The library reads the literal [192.0.2.1] as a name below the domain `2.1]`.
  if (name.startsWith('[')) return undefined
  return getDomain(name, { allowPrivateDomains, extractHostname: false }) ?? undefined
}
