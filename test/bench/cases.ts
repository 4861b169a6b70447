// What `npm run bench -- --rules` compares: settings, each with attempts to judge.

import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { parseAddressRule } from '../../src/exempt/addresses.ts'
import { parseClientRule } from '../../src/exempt/clients.ts'
import { parseDnsList } from '../../src/exempt/dnsfilter.ts'
import { readAddressLists, readClientLists } from '../../src/exempt/lists.ts'
import { parseNetwork } from '../../src/ip.ts'
import { postgreyClients, postgreyRecipients } from '../support/postgrey.ts'
import {
  changed,
  deferred,
  FARM_NETWORKS,
  type Maker,
  madeUp,
  madeUpAnew,
  plain,
  regulars,
  sisters,
} from './attempts.ts'
import { below, mulberry32, type Random } from './random.ts'

export type Rules = Pick<Config, 'greylist' | 'identity' | 'exempt' | 'investigate' | 'dnswl'>

export interface Case {
  readonly name: string
  readonly rules: Rules
  readonly attempts: Maker
  /** Makes attempts that the rule judges differently from the base. */
  readonly decided?: Maker
  /** Whether DNS answers are not cached between attempts. */
  readonly asksAnew?: boolean
  /** The case that it is compared with; `OFF` if absent. */
  readonly base?: Case
}

export const FEW_ENTRIES = 10
const MANY_ENTRIES = 10_000

const DEFAULTS = defaults()
const NO_RULES: Rules = {
  greylist: {
    ...withoutWhitelist(DEFAULTS.greylist),
    normalizeSender: false,
    widensBySpf: false,
    maxDeferrals: 0,
    maxPending: 1000,
  },
  identity: { ...DEFAULTS.identity, spfDomain: false, hostDomain: false, asksSpf: false },
  exempt: { ...DEFAULTS.exempt, clients: [], recipients: [] },
  investigate: DEFAULTS.investigate,
  dnswl: [],
}

export const OFF: Case = { name: 'every rule off', rules: NO_RULES, attempts: plain }
export const OFF_MADE_UP: Case = {
  name: 'every rule off, VERP, BATV and SRS',
  rules: NO_RULES,
  attempts: madeUp,
}

/** For each kind of list, a case with few entries and one with many. */
export const PAIRS: ReadonlyArray<readonly [Case, Case]> = [
  pair('exempt.clients, networks', networksOf(usualLength), (entries) => ({
    rules: exempting({ clients: entries.map(parseClientRule) }),
    decided: changed('exempt-client', (n) => ({ address: firstOf(entryOf(entries, n)) })),
  })),
  pair('exempt.clients, names', domains, (entries) => ({
    rules: exempting({ clients: entries.map(parseClientRule) }),
    decided: changed('exempt-client', (n) => ({ name: `mx1.${entryOf(entries, n)}` })),
  })),
  pair('exempt.senders, addresses', addresses, (entries) => ({
    rules: exempting({ senders: entries.map(parseAddressRule) }),
    decided: changed('exempt-sender', (n) => ({ sender: entryOf(entries, n) })),
  })),
  pair('exempt.senders, domains', domains, (entries) => ({
    rules: exempting({ senders: entries.map(parseAddressRule) }),
    decided: changed('exempt-sender', (n) => ({ sender: `info@lists.${entryOf(entries, n)}` })),
  })),
  pair('exempt.recipients, addresses', addresses, (entries) => ({
    rules: exempting({ recipients: entries.map(parseAddressRule) }),
    decided: changed('exempt-recipient', (n) => ({ recipient: entryOf(entries, n) })),
  })),
  pair('exempt.recipients, domains', domains, (entries) => ({
    rules: exempting({ recipients: entries.map(parseAddressRule) }),
    decided: changed('exempt-recipient', (n) => ({ recipient: `info@lists.${entryOf(entries, n)}` })),
  })),
]

export const CASES: readonly Case[] = [
  OFF,
  ...PAIRS.flat(),
  {
    // The matcher makes one look-up for each prefix length, so this is the most that a list of networks costs.
    name: `exempt.clients, networks of 62 lengths: ${MANY_ENTRIES.toLocaleString('en')}`,
    rules: exempting({
      clients: networksOf(everyLength)(mulberry32(MANY_ENTRIES), MANY_ENTRIES).map(parseClientRule),
    }),
    attempts: plain,
  },
  {
    name: "Postgrey's lists of Debian, with patterns",
    rules: exempting({
      clients: readClientLists([postgreyClients]).rules,
      recipients: readAddressLists([postgreyRecipients]).rules,
    }),
    attempts: plain,
    decided: changed('exempt-client', (n) => ({ name: `fallback${n}.mail.ru` })),
  },
  { name: 'normalize_sender, plain', rules: greylisting({ normalizeSender: true }), attempts: plain },
  OFF_MADE_UP,
  {
    name: 'normalize_sender, VERP, BATV and SRS',
    rules: greylisting({ normalizeSender: true }),
    attempts: madeUp,
    decided: madeUpAnew,
    base: OFF_MADE_UP,
  },
  { name: 'host_domain', rules: identifying({ hostDomain: true }), attempts: plain, decided: sisters },
  {
    name: 'spf_domain, from memory',
    rules: identifying({ spfDomain: true, asksSpf: true }),
    attempts: plain,
    decided: sisters,
  },
  {
    name: 'spf_domain, asked anew',
    rules: identifying({ spfDomain: true, asksSpf: true }),
    attempts: plain,
    decided: sisters,
    asksAnew: true,
  },
  {
    name: 'auto_whitelist, not whitelisted',
    rules: greylisting(whitelistOf(DEFAULTS.greylist)),
    attempts: plain,
  },
  {
    name: 'auto_whitelist, whitelisted',
    rules: greylisting(whitelistOf(DEFAULTS.greylist)),
    attempts: regulars,
  },
  {
    name: 'max_deferrals',
    rules: greylisting({ maxDeferrals: DEFAULTS.greylist.maxDeferrals }),
    attempts: plain,
    decided: deferred(DEFAULTS.greylist.maxDeferrals),
  },
  {
    name: 'dnswl, from memory',
    rules: { ...NO_RULES, dnswl: [parseDnsList('list.example.net', 'trusted')] },
    attempts: plain,
    decided: changed('exempt-client', (n) => ({ address: `203.0.113.${n % 256}` })),
  },
  {
    name: 'all defaults on',
    rules: DEFAULTS,
    attempts: plain,
    decided: changed('exempt-recipient', () => ({ recipient: 'postmaster@example.com' })),
  },
]

/** The zones of ordinary senders: the record of a domain includes that of its provider, which names the hosts. */
export const ZONES = {
  example: `
    * TXT "v=spf1 include:_spf.farms.example -all"
    _spf.farms TXT "v=spf1 ${FARM_NETWORKS.join(' ')} -all"`,
  'list.example.net': '*.113.0.203 A 127.0.5.1',
}

function pair(
  name: string,
  makeEntries: (random: Random, count: number) => string[],
  make: (entries: readonly string[]) => Pick<Case, 'rules' | 'decided'>,
): readonly [Case, Case] {
  const sized = (size: number): Case => ({
    name: `${name}: ${size.toLocaleString('en')}`,
    ...make(makeEntries(mulberry32(size), size)),
    attempts: plain,
  })
  return [sized(FEW_ENTRIES), sized(MANY_ENTRIES)]
}

/** Networks of which every fifth is IPv6 and none contains a farm. */
function networksOf(lengthOf: (n: number) => number): (random: Random, count: number) => string[] {
  return (random, count) =>
    Array.from({ length: count }, (_, n) => {
      const [a, b, c, d] = [below(random, 256), below(random, 256), below(random, 256), below(random, 256)]
      if (n % 5 === 4)
        return `24${hex(a)}:${hex(b)}${hex(c)}:${hex(d)}${hex(a)}:${hex(b)}${hex(d)}::/${lengthOf(n)}`
      return `${32 + (a % 64)}.${b}.${c}.${d}/${lengthOf(n)}`
    })
}

/** Prefix lengths that are usual in lists; ten networks have all of them. */
function usualLength(n: number): number {
  return [16, 20, 22, 24, 32, 24, 27, 29, 32, 48][n % 10] ?? 0
}

/** Every prefix length from /12 to /32, and for IPv6 from /24 to /64. */
function everyLength(n: number): number {
  return n % 5 === 4 ? 24 + (n % 41) : 12 + (n % 21)
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

function domains(random: Random, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `listed-${below(random, 1000)}-${n}.example.net`)
}

function addresses(random: Random, count: number): string[] {
  return domains(random, count).map((domain, n) => `person${n}@${domain}`)
}

function entryOf(entries: readonly string[], n: number): string {
  // This picks entries from all parts of the list.
  return entries[(n * 7919) % entries.length] ?? ''
}

function firstOf(network: string): string {
  return parseNetwork(network)?.address.text ?? ''
}

function exempting(lists: Partial<Rules['exempt']>): Rules {
  return { ...NO_RULES, exempt: { ...NO_RULES.exempt, ...lists } }
}

function greylisting(settings: Partial<Rules['greylist']>): Rules {
  return { ...NO_RULES, greylist: { ...NO_RULES.greylist, ...settings } }
}

function identifying(settings: Partial<Rules['identity']>): Rules {
  return { ...NO_RULES, identity: { ...NO_RULES.identity, ...settings } }
}

function withoutWhitelist({ autoWhitelist, ...rest }: Rules['greylist']): Rules['greylist'] {
  return rest
}

function whitelistOf({ autoWhitelist }: Rules['greylist']): Partial<Rules['greylist']> {
  return autoWhitelist ? { autoWhitelist } : {}
}

function defaults(): Rules {
  const loaded = parseConfig('', '')
  if (loaded.kind === 'faults') throw new Error(loaded.faults.join('\n'))
  return loaded.config
}
