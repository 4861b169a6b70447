// Tests of the exemptions that follow from DNS: which of them holds where several would, and where none is set.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import type { DnsListing } from '../../src/exempt/dnslists.ts'
import { createInvestigate, type InvestigateSettings } from '../../src/greylist/investigate.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'

const NETWORK = 'network:192.0.2.0/24'
const STRANGER: Identity = {
  id: NETWORK,
  names: [NETWORK],
  carriers: [],
  network: NETWORK,
  spf: 'none',
  isNamed: false,
}
const NAMED: Identity = { ...STRANGER, isNamed: true }
const ALIGNED: Identity = { ...STRANGER, spf: 'pass', spfDomain: 'example.org' }

const LISTED: DnsListing = { kind: 'listed', zone: 'list.example' }
const NOT_LISTED: DnsListing = { kind: 'not listed' }
const NOT_KNOWN: DnsListing = { kind: 'not known' }

interface Case {
  readonly identity?: Identity | undefined
  readonly settings?: Partial<InvestigateSettings>
  readonly trusted?: DnsListing
  readonly blocked?: DnsListing
}

async function exemptionFor({ identity, settings, trusted, blocked }: Case): Promise<string> {
  const investigate = createInvestigate({
    settings: { exemptSpf: false, onlyIf: 'all', ...settings },
    identify: async () => identity,
    ...(trusted && { trusted: async () => trusted }),
    ...(blocked && { blocked: async () => blocked }),
  })
  const address = parseIp('192.0.2.7')
  const findings = await investigate({ address }, parseAddress('a@example.org'), () => true)
  assert.equal(findings.identity, identity)
  const { reason, rule } = findings.exemption ?? {}
  return reason === undefined ? 'none' : `${reason} ${rule}`
}

test('what DNS says of a client exempts it as the operator has set it, and as nothing else', async () => {
  const suspicious: Partial<InvestigateSettings> = { onlyIf: 'suspicious' }
  const cases: Array<[expected: string, given: Case]> = [
    ['none', { identity: STRANGER }],
    ['none', { identity: NAMED }],
    ['none', { identity: ALIGNED }],
    ['exempt-spf example.org', { identity: ALIGNED, settings: { exemptSpf: true } }],
    ['none', { identity: NAMED, settings: { exemptSpf: true } }],
    ['exempt-client list.example', { identity: STRANGER, trusted: LISTED }],
    ['none', { identity: STRANGER, trusted: NOT_LISTED }],
    ['none', { identity: STRANGER, trusted: NOT_KNOWN }],
    ['none', { identity: STRANGER, blocked: LISTED }],
    ['not-greylisted only_if_listed', { identity: STRANGER, blocked: NOT_LISTED }],
    ['none', { identity: STRANGER, blocked: NOT_KNOWN }],
    ['exempt-client list.example', { identity: STRANGER, trusted: LISTED, blocked: NOT_LISTED }],
    ['none', { identity: STRANGER, settings: suspicious }],
    ['not-greylisted only_if', { identity: NAMED, settings: suspicious }],
    ['not-greylisted only_if', { identity: ALIGNED, settings: suspicious }],
    ['none', { identity: undefined, settings: { exemptSpf: true, ...suspicious }, trusted: LISTED }],
  ]
  for (const [expected, given] of cases)
    assert.equal(await exemptionFor(given), expected, JSON.stringify(given))
})

test('a client without an address is looked up in no list', async () => {
  const investigate = createInvestigate({
    settings: { exemptSpf: true, onlyIf: 'suspicious' },
    identify: async () => undefined,
    trusted: () => assert.fail('the list of trusted clients was asked'),
    blocked: () => assert.fail('the list of blocked clients was asked'),
  })
  assert.deepEqual(await investigate({}, parseAddress('a@example.org'), () => true), {
    identity: undefined,
    exemption: undefined,
  })
})
