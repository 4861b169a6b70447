// A domain → the domain that its owner has registered, below which names cost nothing.
// Source: publicsuffix.org.

import { require } from '../require.ts'

const { getDomain } = require('tldts') as typeof import('tldts')

/** The registrable domain, also below suffixes that companies let to others; `name` itself where it has none. */
export function organisationOf(name: string): string {
  return getDomain(name, { allowPrivateDomains: true, extractHostname: false }) ?? name
}
