// The calls that list what is kept of triplets, and that forget it (`greymx list`, `greymx forget`). They go through all
// keys of the store, beside mail. Keys of first attempts are digests, which the ledger tells where it has them.

import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type Address, parseAddress } from '../address.ts'
import { compileAddresses, parseAddressRule } from '../exempt/addresses.ts'
import { attemptRef, loopKey, nameInKey, partsOfKey, readTripletKey, tripletKey } from '../greylist/keys.ts'
import { isConcealed } from '../greylist/privacy.ts'
import { isInNetwork, parseNetwork } from '../ip.ts'
import type { Entry } from '../store/entry.ts'
import type { KeptKey, RecordStore } from '../store/records.ts'
import { kindOf, type Store } from '../store/store.ts'
import { type Call, type Caller, defineCall, defineStream, Refusal } from './call.ts'
import { type ShownDeferral, showDeferral, shownDeferral, stateOf } from './explain.ts'
import {
  type Deferral,
  forgetDeferrals,
  isVouched,
  LEDGER_LIFETIME,
  readLedger,
  restoreDeferrals,
} from './ledger.ts'
import { addressRule, duration, recipientAddress, ref } from './params.ts'
import { isAddressRule, unknownRef } from './rules.ts'
import { addressIn, recipientIn, type Stored } from './stored.ts'

export interface EntryParts {
  readonly records: () => RecordStore
  readonly store: () => Store
  /** How addresses stand in the store. */
  readonly stored: () => Stored
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** The setting `greylist.retry_window`, in milliseconds. */
  readonly retryWindow: () => number
}

/** Most entries that are kept while they are sorted. */
const MAX_SORTED = 10_000

/** Most keys of which a `forget` can be taken back, as they are kept in memory for as long. */
const MAX_RESTORED = 10_000

/** How often `list --follow` looks for what is new, in milliseconds. */
const FOLLOW_INTERVAL = 1000

/** How long after a deferral its return is still shown by `list --follow`, in milliseconds. */
const FOLLOWED_BACK = 2 * 3_600_000

const shownEntry = z
  .object({
    state: z.enum(['waiting', 'passed']),
    client: z.string().describe('the name of the client under which it is kept'),
    sender: z.string().optional().describe('the sender form; absent where the key is a digest'),
    recipient: z.string().optional(),
    age: z.number().describe('milliseconds since the first attempt, or since the last pass was written'),
    ref: z.string().optional(),
    key: z.string(),
  })
  .meta({ id: 'Entry' })

export type ShownEntry = z.infer<typeof shownEntry>

const SORTS = ['age', 'client', 'sender', 'recipient'] as const

const filters = {
  client: z
    .string()
    .max(300)
    .optional()
    .describe('an address, a network, a domain or a name like spf:example.org'),
  sender: addressRule.optional(),
  recipient: addressRule.optional(),
}

/** The kinds of keys that have addresses. */
const KINDS_WITH_ADDRESSES = new Set(['t', 'f', 'd', 'g', 'n', 'x', 'y', 'z'])

/** The kinds of keys of what a name has shown, with the name first. */
const KINDS_OF_NAMES = new Set(['o', 'w', 'p', 's', 'k', 'u', 'c', 'e', 'm'])

const about = z
  .string()
  .max(320)
  .optional()
  .describe('a reference, an address, a domain, a network or a name of a client: whichever of them it is')

export function entryCalls({ records, store, stored, now, retryWindow }: EntryParts): Call[] {
  return [
    defineStream({
      name: 'waiting',
      summary: 'lists the first messages that were deferred and are awaited, the newest first',
      changes: false,
      params: z.strictObject({
        about,
        before: z.iso.datetime().optional().describe('only what was deferred before'),
        limit: z.int().min(1).max(MAX_SORTED).default(MAX_SORTED),
      }),
      result: shownDeferral,
      run: ({ about: wanted, before, limit }, _caller, signal) => {
        const isAbout = wanted === undefined ? undefined : aboutMatcher(wanted, stored())
        const end = before === undefined ? Number.POSITIVE_INFINITY : Date.parse(before)
        return limited(waiting(isAbout, end, signal), limit)
      },
    }),
    defineStream({
      name: 'list',
      summary:
        'lists what is kept of triplets, as it is found; with follow, what is deferred and returns from now on',
      changes: false,
      params: z.strictObject({
        ...filters,
        about,
        state: z.enum(['waiting', 'passed']).optional(),
        older: duration.optional().describe('only what is older'),
        sort: z.enum(SORTS).optional(),
        limit: z.int().min(1).max(MAX_SORTED).optional(),
        follow: z.boolean().optional(),
      }),
      result: shownEntry,
      run: (given, _caller, signal) => {
        const isWanted = filterOf(given, stored())
        if (given.follow) return follow(isWanted, signal)
        if (given.sort) return sorted(isWanted, given.sort, given.limit ?? MAX_SORTED, signal)
        return limited(entries(isWanted, signal), given.limit)
      },
    }),
    defineCall({
      name: 'forget',
      summary:
        'forgets what is kept of a reference, a client, a sender or a recipient, or everything about one address',
      changes: true,
      isConfidential: true,
      params: z.strictObject({
        ref: ref.optional(),
        ...filters,
        address: recipientAddress
          .optional()
          .describe('everything that names this address, as sender or recipient'),
        why: z.string().max(200).optional().describe('why, for the list of changes'),
      }),
      result: z.strictObject({
        forgotten: z.number().describe('number of keys'),
        deferrals: z.number().describe('number of deferrals in the ledger'),
        unreadable: z
          .number()
          .describe('keys with digests in place of addresses, of which nobody can tell whose they are'),
      }),
      run: (given, { onChange }, signal) => forget(given, signal, onChange),
    }),
  ]

  async function* waiting(
    isAbout: ((known: Known) => boolean) | undefined,
    end: number,
    signal: AbortSignal,
  ): AsyncGenerator<ShownDeferral> {
    const since = now() - Math.min(retryWindow(), LEDGER_LIFETIME)
    for await (const deferrals of readLedger(records(), { since, now: now() })) {
      if (signal.aborted) return
      for (const deferral of deferrals) {
        const { at, returnedAt, client, name, identity } = deferral
        if (returnedAt !== undefined || at >= end) continue
        const isFound = (known: string) => isAbout?.({ ...deferral, host: name, client: known }) ?? true
        if (isFound(identity) || isFound(`network:${client}`)) yield showDeferral(deferral)
      }
    }
  }

  async function* entries(isWanted: Wanted, signal: AbortSignal): AsyncGenerator<ShownEntry> {
    const known = await digestsInLedger()
    // What has no value yet is shown with that of a triplet that has just been added.
    const mayBe = (key: string) => {
      const entry = shownOf({ key, value: JUST_ADDED }, known)
      return entry !== undefined && isWanted.triplet(entry)
    }
    for await (const batch of records().scanKeys(signal, mayBe))
      for (const each of batch) {
        const entry = shownOf(each, known)
        if (entry && isWanted.entry(entry)) yield entry
      }
  }

  /** The deferrals of the ledger by the keys of their first attempts. */
  async function digestsInLedger(): Promise<Map<string, Deferral>> {
    const known = new Map<string, Deferral>()
    for await (const deferrals of readLedger(records(), { since: now() - LEDGER_LIFETIME, now: now() }))
      for (const deferral of deferrals) known.set(firstKeyOf(deferral), deferral)
    return known
  }

  function firstKeyOf({ sender, recipient }: Deferral): string {
    const to = recipientIn(stored(), recipient)
    return loopKey('first', formOf(addressIn(sender), to), to)
  }

  function formOf(sender: Address, recipient: Address | undefined): string {
    return stored().form(sender, recipient)
  }

  async function* follow(isWanted: Wanted, signal: AbortSignal): AsyncGenerator<ShownEntry> {
    let seen: Map<string, number | undefined> | undefined
    while (!signal.aborted) {
      const found: Deferral[] = []
      const since = now() - FOLLOWED_BACK
      for await (const deferrals of readLedger(records(), { since, now: now() })) found.push(...deferrals)
      const next = new Map<string, number | undefined>()
      for (const deferral of found.reverse()) {
        const id = `${deferral.ref} ${deferral.mx} ${deferral.at}`
        next.set(id, deferral.returnedAt)
        // What was there before is not shown, and tells what changes from now on.
        if (!seen || (seen.has(id) && seen.get(id) === deferral.returnedAt)) continue
        const entry = entryOf(deferral)
        if (isWanted.entry(entry)) yield entry
      }
      seen = next
      await sleep(FOLLOW_INTERVAL, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  async function* sorted(
    isWanted: Wanted,
    by: (typeof SORTS)[number],
    limit: number,
    signal: AbortSignal,
  ): AsyncGenerator<ShownEntry> {
    let best: ShownEntry[] = []
    const cut = () => {
      best = best.sort(orderBy(by)).slice(0, limit)
    }
    for await (const entry of entries(isWanted, signal)) {
      best.push(entry)
      if (best.length >= 2 * limit) cut()
    }
    cut()
    yield* best
  }

  async function forget(given: ForgetParams, signal: AbortSignal, onChange: Caller['onChange']) {
    const { ref: wanted, address, client, sender, recipient } = given
    const hasCriteria = client !== undefined || sender !== undefined || recipient !== undefined
    if ([wanted !== undefined, address !== undefined, hasCriteria].filter(Boolean).length !== 1)
      throw new Refusal(
        'unsuited',
        'expected ref, or address, or one or more of client, sender and recipient',
      )
    const about = aboutOf(given, stored())
    const deferrals = await forgetDeferrals(records(), about.deferral, now())
    if (wanted !== undefined && deferrals.length === 0) throw new Refusal('unknown', unknownRef(wanted))
    const pairs = deferrals.map(({ sender: from, recipient: to }) => {
      const address = recipientIn(stored(), to)
      return { form: formOf(addressIn(from), address), to: address }
    })
    const firsts = new Set(pairs.map(({ form, to }) => loopKey('first', form, to)))
    const isKnownDigest = (key: string, name: string) =>
      pairs.some(({ form, to }) => tripletKey(name, form, to) === key)
    let forgotten = 0
    let unreadable = 0
    const kept: KeptKey[] = []
    const isDue = (key: string) => {
      const triplet = readTripletKey(key)
      const isDigest = triplet ? triplet.sender === undefined : kindOf(key) === 'f'
      if (firsts.has(key) || about.key(key)) return true
      if (triplet && isDigest && isKnownDigest(key, triplet.name)) return true
      if (isDigest) unreadable += 1
      return false
    }
    for await (const batch of records().scanKeys(signal, isDue)) {
      await Promise.all(batch.map(({ key }) => store().forget(key)))
      forgotten += batch.length
      if (forgotten <= MAX_RESTORED) kept.push(...batch)
    }
    if (forgotten <= MAX_RESTORED)
      onChange?.({
        weight: kept.length + deferrals.length,
        async undo() {
          await restoreDeferrals(records(), deferrals)
          // A count would be added once more if it was restored again.
          for (let key = kept.at(-1); key !== undefined; key = kept.at(-1)) {
            await restore(key)
            kept.pop()
          }
        },
      })
    return { forgotten, deferrals: deferrals.length, unreadable }
  }

  /** Keeps what was forgotten for as long as was left of it; what was learnt meanwhile remains. */
  async function restore({ key, value, left }: KeptKey): Promise<void> {
    if (typeof value === 'number') await store().count(key, left, value)
    else if (value.passed) await store().pass(key, left)
    else await store().add(key, left + value.age, value.age, value.holder)
  }

  /** The entry of the ledger for a deferral, as `list --follow` shows it. */
  function entryOf({ at, returnedAt, identity, sender, recipient, ref: name }: Deferral): ShownEntry {
    const to = recipientIn(stored(), recipient)
    const form = formOf(addressIn(sender), to)
    const state = returnedAt === undefined ? 'waiting' : 'passed'
    const key = tripletKey(identity, form, to)
    return {
      state,
      client: identity,
      sender: form,
      ...(recipient === undefined ? {} : { recipient }),
      age: now() - (returnedAt ?? at),
      ref: name,
      key,
    }
  }

  /** What a key of the store tells of a triplet; `undefined` for keys of other things. */
  function shownOf(
    { key, value }: Pick<KeptKey, 'key' | 'value'>,
    known: ReadonlyMap<string, Deferral>,
  ): ShownEntry | undefined {
    if (typeof value === 'number') return undefined
    const kept = { state: stateOf(value), age: value.age, key }
    const triplet = readTripletKey(key)
    if (triplet) {
      const { name, sender, recipient } = triplet
      if (sender === undefined) return { ...kept, client: name }
      const to = recipient === undefined ? undefined : addressIn(recipient)
      const shown = { ...kept, client: name, sender, ref: attemptRef(sender, to) }
      return recipient === undefined ? shown : { ...shown, recipient }
    }
    if (kindOf(key) !== 'f') return undefined
    const deferral = known.get(key)
    if (!deferral) return { ...kept, client: UNKNOWN_CLIENT }
    // A client with more names than its network's has a key of its own under each.
    if (isVouched(deferral.identity)) return undefined
    return { ...entryOf(deferral), ...kept }
  }
}

/** Stands for the client of a first attempt that the ledger does not have. */
const UNKNOWN_CLIENT = '(digest)'

interface Filters {
  readonly about?: string | undefined
  readonly client?: string | undefined
  readonly sender?: string | undefined
  readonly recipient?: string | undefined
}

interface ForgetParams extends Omit<Filters, 'about'> {
  readonly ref?: string | undefined
  readonly address?: string | undefined
}

interface Wanted {
  /** Whether a triplet is wanted, in whichever state. */
  triplet(entry: ShownEntry): boolean
  entry(entry: ShownEntry): boolean
}

const JUST_ADDED: Entry = { passed: false, age: 0 }

function filterOf(
  given: Filters & { readonly state?: string | undefined; readonly older?: number | undefined },
  stored: Stored,
): Wanted {
  const { state, older } = given
  const triplet = matcherOf(given, stored)
  return {
    triplet,
    entry: (entry) =>
      (state === undefined || entry.state === state) &&
      (older === undefined || entry.age > older) &&
      triplet(entry),
  }
}

/** What is known of a triplet. */
interface Known {
  readonly ref?: string | undefined
  /** The confirmed name of the host that sent it. */
  readonly host?: string | undefined
  readonly client: string
  readonly sender?: string | undefined
  readonly recipient?: string | undefined
}

/** Whether what is known of a triplet matches all filters that are given. */
function matcherOf(
  { about: text, client, sender, recipient }: Filters,
  stored: Stored,
): (known: Known) => boolean {
  const isAbout = text === undefined ? undefined : aboutMatcher(text, stored)
  const isClient = client === undefined ? undefined : clientMatcher(client)
  const isSender = sender === undefined ? undefined : addressMatcher(sender, stored)
  const isRecipient = recipient === undefined ? undefined : addressMatcher(recipient, stored)
  return (known) =>
    (!isAbout || isAbout(known)) &&
    (!isClient || isClient(known.client)) &&
    (!isSender || (known.sender !== undefined && isSender(known.sender))) &&
    (!isRecipient || (known.recipient !== undefined && isRecipient(known.recipient)))
}

/** Whether any part of what is known is meant by a text. */
function aboutMatcher(text: string, stored: Stored): (known: Known) => boolean {
  const isClient = clientMatcher(text)
  const isAddress = isAddressRule(text) ? addressMatcher(text, stored) : () => false
  const domain = text.toLowerCase()
  return ({ ref: name, host, client, sender, recipient }) =>
    name === text ||
    (host !== undefined && (host === domain || host.endsWith(`.${domain}`))) ||
    isClient(client) ||
    (sender !== undefined && isAddress(sender)) ||
    (recipient !== undefined && isAddress(recipient))
}

/** Whether an address of the store is meant by a rule. Of a hash, only a rule that is an address can tell. */
function addressMatcher(rule: string, stored: Stored): (text: string) => boolean {
  const matches = compileAddresses([parseAddressRule(rule)])
  const forms = stored.formsOf(parseAddress(rule))
  return (text) => (isConcealed(text) ? forms.has(text) : matches(parseAddress(text)) !== undefined)
}

/** Whether a name of a client is meant by an address, a network, a domain, or the name itself. */
function clientMatcher(wanted: string): (name: string) => boolean {
  const network = parseNetwork(wanted)
  const domain = wanted.toLowerCase()
  return (name) => {
    if (name === wanted) return true
    const within = /network:([^+]+)/.exec(name)?.[1]
    const own = network && within !== undefined ? parseNetwork(within) : undefined
    if (network && own) return isInNetwork(network.address, own) || isInNetwork(own.address, network)
    return /^(spf|host|carrier):([^+]+)/.exec(name)?.[2] === domain
  }
}

/** What is to be forgotten: whether a deferral of the ledger is, and a key of the store. */
function aboutOf(
  { ref: wanted, address, ...filters }: ForgetParams,
  stored: Stored,
): {
  deferral(deferral: Deferral): boolean
  key(key: string): boolean
} {
  if (wanted !== undefined)
    return {
      deferral: (deferral) => deferral.ref === wanted,
      key: (key) => {
        const { sender, recipient } = readTripletKey(key) ?? {}
        if (sender === undefined) return false
        return attemptRef(sender, recipient === undefined ? undefined : addressIn(recipient)) === wanted
      },
    }
  if (address !== undefined) {
    const forms = stored.formsOf(parseAddress(address))
    return {
      deferral: ({ sender, recipient }) =>
        [sender, recipient ?? ''].some((text) => text !== '' && forms.has(addressIn(text).normal)),
      key: (key) => KINDS_WITH_ADDRESSES.has(kindOf(key)) && partsOfKey(key).some((part) => forms.has(part)),
    }
  }
  const matches = matcherOf(filters, stored)
  const { client, sender, recipient } = filters
  const isName =
    client !== undefined && sender === undefined && recipient === undefined
      ? clientMatcher(client)
      : undefined
  return {
    deferral: ({ identity, sender: from, recipient: to }) =>
      matches({ client: identity, sender: from, recipient: to }),
    key: (key) => {
      const triplet = readTripletKey(key)
      if (triplet)
        return matches({ client: triplet.name, sender: triplet.sender, recipient: triplet.recipient })
      return isName !== undefined && KINDS_OF_NAMES.has(kindOf(key)) && isName(nameInKey(key))
    },
  }
}

async function* limited<T>(items: AsyncIterable<T>, limit = Number.POSITIVE_INFINITY): AsyncGenerator<T> {
  let count = 0
  for await (const item of items) {
    yield item
    count += 1
    if (count >= limit) return
  }
}

function orderBy(by: (typeof SORTS)[number]): (one: ShownEntry, other: ShownEntry) => number {
  if (by === 'age') return (one, other) => other.age - one.age
  return (one, other) => (one[by] ?? '').localeCompare(other[by] ?? '')
}
