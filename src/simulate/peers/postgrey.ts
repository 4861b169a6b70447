// Postgrey's decisions in virtual time, with the settings of Debian's package and of the program: 5 minutes, 2 days,
// 35 days, the client's /24 or /64, and an auto-whitelist after five passes.
// Source: postgrey of Debian 12 (package postgrey 1.37-2), whose subroutines are named below; postgrey(8). A test has the
// program itself decide on the same attempts.
// Left out: --privacy, --lookup-by-host, the header, attributes cut at 512 bytes. The hour of the nightly cleaning is in
// UTC.

import type { Attempt } from '../../attempt.ts'
import { compileAddresses } from '../../exempt/addresses.ts'
import { compileClients } from '../../exempt/clients.ts'
import { parseAddressList, parseClientList } from '../../exempt/lists.ts'
import { type IpAddress, networkOf } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'
import { lowerAscii, policyRequest, splitAtFirst } from './policy-request.ts'
import { POSTGREY_CLIENTS, POSTGREY_RECIPIENTS } from './postgrey-lists.ts'

/** Texts of whitelists, in the form of Postgrey's files. */
export interface PostgreyLists {
  readonly clients: string
  readonly recipients: string
}

/** The lists that Debian's package installs. */
export const DEBIAN_LISTS: PostgreyLists = { clients: POSTGREY_CLIENTS, recipients: POSTGREY_RECIPIENTS }
/** Debian's list of recipients alone: no client is on a list. */
export const NO_CLIENTS: PostgreyLists = { clients: '', recipients: POSTGREY_RECIPIENTS }

// Postgrey counts whole seconds.
const HOUR = 3600
const DAY = 24 * HOUR
const DELAY = 300
const RETRY_WINDOW = 2 * DAY
const MAX_AGE = 35 * DAY
const PREFIX = { ipv4: 24, ipv6: 64 } as const
/** Passes after which a client is on the auto-whitelist. */
const PASSES_TO_LIST = 5
/** Shortest time between two passes that count, and between two updates of a client on the auto-whitelist. */
const PASS_SPACING = HOUR
const MAINTENANCE_INTERVAL = HOUR
const CLEANING_INTERVAL = 23 * HOUR
/** Hours of the day in which old entries are deleted. */
const CLEANING_HOURS = [2, 3, 4, 5, 6]

/** When a triplet was seen first, and last. */
interface Entry {
  readonly first: number
  readonly last: number
}

/** Passes of a client that counted, and the time of the last. */
interface Passes {
  readonly count: number
  readonly last: number
}

export class Postgrey implements Judge {
  readonly name: string
  readonly #isExempt: (attempt: Attempt, clientName: string) => boolean
  readonly #entries = new Map<string, Entry>()
  readonly #passes = new Map<string, Passes>()
  #maintainedAt: number | undefined
  #cleanedAt = 0

  constructor(name: string, lists: PostgreyLists) {
    this.name = name
    this.#isExempt = compileExempt(lists)
  }

  judgesAtData(): boolean {
    // A policy server is asked in smtpd_recipient_restrictions.
    return false
  }

  async judge(attempt: Attempt, at: number): Promise<Verdict> {
    const now = Math.floor(at / 1000)
    const verdict = this.#decide(attempt, now)
    this.#maintain(now)
    return verdict
  }

  /** As in smtpd_access_policy(). */
  #decide(attempt: Attempt, now: number): Verdict {
    const { address } = attempt.client
    const request = policyRequest(attempt)
    if (!address || !request || this.#isExempt(attempt, request.clientName)) return 'pass'

    const passes = this.#passes.get(address.text)
    if (passes && passes.count >= PASSES_TO_LIST) {
      if (now >= passes.last + PASS_SPACING) this.#countPass(address, now)
      return 'pass'
    }

    const key = postgreyKey(address, request.sender, request.recipient)
    const entry = this.#entries.get(key)
    const hasPassed = entry !== undefined && entry.last - entry.first >= DELAY
    const isAwaited = entry !== undefined && now - entry.first <= RETRY_WINDOW
    const first = hasPassed || isAwaited ? entry.first : now
    this.#entries.set(key, { first, last: now })

    if (now - first < DELAY) return 'tempfail'
    if (!hasPassed && (!passes || now >= passes.last + PASS_SPACING)) this.#countPass(address, now)
    return 'pass'
  }

  #countPass({ text }: IpAddress, now: number): void {
    this.#passes.set(text, { count: (this.#passes.get(text)?.count ?? 0) + 1, last: now })
  }

  /** As in do_maintenance(): nothing but its cleaning, some night, ends an entry that has passed. */
  #maintain(now: number): void {
    this.#maintainedAt ??= now
    if (now - this.#maintainedAt < MAINTENANCE_INTERVAL) return
    this.#maintainedAt = now
    if (!CLEANING_HOURS.includes(new Date(now * 1000).getUTCHours())) return
    if (now - this.#cleanedAt < CLEANING_INTERVAL) return
    this.#cleanedAt = now
    for (const [key, { first, last }] of this.#entries) {
      const maxAge = last - first < DELAY ? RETRY_WINDOW : MAX_AGE
      if (now - last > maxAge) this.#entries.delete(key)
    }
    for (const [client, { last }] of this.#passes) {
      if (now - last > MAX_AGE) this.#passes.delete(client)
    }
  }
}

/** As in read_clients_whitelists() and read_recipients_whitelists(). */
function compileExempt(lists: PostgreyLists): (attempt: Attempt, clientName: string) => boolean {
  const { rules } = parseClientList('whitelist_clients', lists.clients)
  const inNetworks = compileClients(rules.filter(({ kind }) => kind === 'network'))
  // Postgrey matches patterns with the name alone, which compileClients() would also match with the address.
  const hasName = compileClients(rules.filter(({ kind }) => kind !== 'network'))
  const isRecipient = compileAddresses(parseAddressList('whitelist_recipients', lists.recipients).rules)
  return ({ client, recipient }, clientName) =>
    hasName({ name: clientName }) !== undefined ||
    inNetworks({ address: client.address }) !== undefined ||
    // Postgrey's expressions for addresses ask for an @, so that `postmaster` alone is not on the list.
    (recipient !== undefined && recipient.domain !== '' && isRecipient(recipient) !== undefined)
}

/** What Postgrey takes for one triplet. */
export function postgreyKey(address: IpAddress, sender: string, recipient: string): string {
  const network = networkOf(address, PREFIX[address.kind]).address.text
  return lowerAscii(`${network}/${normalSender(sender)}/${recipient}`)
}

/** As in do_sender_substitutions(): without BATV's tag, extension and numbers that stand alone. */
function normalSender(sender: string): string {
  const { user, domain } = splitAtFirst(sender)
  if (domain === undefined) return sender
  const normal = withoutBatv(user)
    .replace(/\+.*/, '')
    .replace(/\b\d+\b/g, '#')
  return `${normal}@${domain}`
}

/** The address in `prvs=TAG=user` or `prvs=user=TAG`, where a tag begins with ten digits and small letters. */
function withoutBatv(user: string): string {
  const [prefix, left = '', right = '', ...more] = user.replace(/=+$/, '').split('=')
  if (prefix !== 'prvs' || right === '' || more.length > 0) return user
  const isTag = (text: string) => /^[0-9a-z]{10}/.test(text)
  return isTag(right) && !isTag(left) ? left : right
}
