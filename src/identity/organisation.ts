// A domain → the domain that somebody pays a registry for, below which names cost nothing: those that companies let to
// others free of charge, as dynamic DNS, among them.
// Source: publicsuffix.org, the part for ICANN's domains.

import { require } from '../require.ts'

const { getDomain } = require('tldts') as typeof import('tldts')

/** The registrable domain; `name` itself where it has none. */
export function organisationOf(name: string): string {
  return getDomain(name, { allowPrivateDomains: false, extractHostname: false }) ?? name
}
