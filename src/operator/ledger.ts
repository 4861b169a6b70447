// The ledger: which first messages were deferred, and which of them came back, so that operators can ask about one by its
// reference, and see what never returned. Each MX writes what it has noted once a second, into a record for each hour, and
// no RCPT waits for that. Strangers cause most deferrals, so each MX has a budget for an hour: a larger one for senders
// that something vouches for, a small one for all others, and no name or network may use up more than a part of it.
// The log has what the ledger leaves out.

import { ALLOWED_BY } from '../exempt/runtime-rules.ts'
import type { Outcome } from '../outcome.ts'
import { customerNetwork } from '../ranges.ts'
import type { RecordStore } from '../store/records.ts'
import type { Stored } from './stored.ts'

/** A first message that was deferred. Times are in milliseconds since the epoch. */
export interface Deferral {
  readonly ref: string
  readonly at: number
  /** Name of the MX that deferred it. */
  readonly mx: string
  readonly client: string
  /** The client's confirmed host name. */
  readonly name?: string | undefined
  readonly helo?: string | undefined
  /** The name of the client that stands for it: `spf:example.org`. */
  readonly identity: string
  readonly sender: string
  /** Absent if keys have no recipient. */
  readonly recipient?: string | undefined
  /** When it came back and passed. */
  readonly returnedAt?: number | undefined
}

/** A return, by the reference of the message. */
interface Return {
  readonly ref: string
  readonly at: number
}

/** How long the ledger is kept, in milliseconds. */
export const LEDGER_LIFETIME = 8 * 86_400_000

const HOUR = 3_600_000

/** Number of deferrals that one MX notes in an hour of senders that something vouches for, and of all others. */
const VOUCHED_BUDGET = 400
const OTHERS_BUDGET = 100

/** Number of them that one name of a client may have, and one network of a customer. */
const NAME_BUDGET = 20

/** Number of returns that one MX notes in an hour, and of passes by a rule of `greymx allow`, which may be returns. */
const RETURN_BUDGET = 1000
const ALLOWED_BUDGET = 500

/** Longest text of an address or name in the ledger, in characters; what has a longer one is left out. */
const MAX_TEXT = 320

export interface LedgerParts {
  /** The store in use; called anew for each write. */
  readonly records: () => RecordStore
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Name of this host. */
  readonly mx: string
  /** How addresses stand in the store. */
  readonly stored: () => Stored
}

/** Notes outcomes, and writes them into a store. */
export class LedgerWriter {
  readonly #parts: LedgerParts
  /** The hour of the budgets, as a number of hours since the epoch. */
  #hour = 0
  readonly #used = new Map<string, number>()
  #unwritten = new Map<string, Map<string, string>>()

  constructor(parts: LedgerParts) {
    this.#parts = parts
  }

  /**
   * Notes an outcome, if it is a first deferral or a return. What an operator has allowed passes without a look at the
   * store, so that it may be a return.
   */
  take(outcome: Outcome): void {
    const { attempt, reason, ref, identity, rule } = outcome
    if (reason === 'new') {
      if (ref !== undefined && identity !== undefined) this.#noteDeferral(outcome, ref, identity)
    } else if (ref !== undefined) {
      if (isReturn(outcome)) this.#noteReturn(ref, ['returns', RETURN_BUDGET])
    } else if (rule?.startsWith(ALLOWED_BY)) {
      const allowed = this.#parts.stored().ref(attempt.sender, attempt.recipient)
      this.#noteReturn(allowed, ['allowed', ALLOWED_BUDGET])
    }
  }

  /** Writes what was noted. Rejects when the store does not take it; it is offered again then, within the hour. */
  async write(): Promise<void> {
    const unwritten = this.#unwritten
    this.#unwritten = new Map()
    const results = await Promise.allSettled(
      [...unwritten].map(async ([record, fields]) => {
        await this.#parts.records().changeRecord(record, fields, LEDGER_LIFETIME)
        unwritten.delete(record)
      }),
    )
    this.#keep(unwritten)
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Keeps what could not be written, as far as it is of the hours for which there is a budget. */
  #keep(unwritten: ReadonlyMap<string, Map<string, string>>): void {
    const kept = new Set([recordOf(this.#parts.now()), recordOf(this.#parts.now() - HOUR)])
    for (const [record, fields] of unwritten) {
      if (!kept.has(record)) continue
      this.#unwritten.set(record, new Map([...fields, ...(this.#unwritten.get(record) ?? [])]))
    }
  }

  #noteDeferral({ attempt }: Outcome, ref: string, identity: string): void {
    const { client, sender, recipient } = attempt
    const texts = [client.name ?? '', client.helo ?? '', identity, sender.text, recipient?.text ?? '']
    if (!client.address || texts.some((text) => text.length > MAX_TEXT)) return
    const budgets = new Map([
      isVouched(identity) ? ['vouched', VOUCHED_BUDGET] : ['others', OTHERS_BUDGET],
      [identity, NAME_BUDGET],
      [`of ${customerNetwork(client.address)}`, NAME_BUDGET],
    ])
    if (!this.#mayNote(budgets)) return
    const at = this.#parts.now()
    const { mx, stored } = this.#parts
    const { address, name, helo } = client
    const shown = stored().shown(sender, recipient)
    const noted = { ref, at, mx, client: address.text, name, helo, identity, ...shown }
    this.#note(at, deferralField(noted), deferralValues(noted))
  }

  #noteReturn(ref: string, budget: readonly [name: string, size: number]): void {
    if (!this.#mayNote(new Map([budget]))) return
    const at = this.#parts.now()
    this.#note(at, `r${ref}`, [at])
  }

  #note(at: number, field: string, values: ReadonlyArray<string | number | undefined>): void {
    const record = recordOf(at)
    const fields = this.#unwritten.get(record) ?? new Map<string, string>()
    fields.set(field, JSON.stringify(values))
    this.#unwritten.set(record, fields)
  }

  /** Whether one more may be noted under each of these budgets, and counts it under all of them if so. */
  #mayNote(budgets: ReadonlyMap<string, number>): boolean {
    const hour = Math.floor(this.#parts.now() / HOUR)
    if (hour !== this.#hour) {
      this.#hour = hour
      this.#used.clear()
    }
    for (const [name, budget] of budgets) if ((this.#used.get(name) ?? 0) >= budget) return false
    for (const name of budgets.keys()) this.#used.set(name, (this.#used.get(name) ?? 0) + 1)
    return true
  }
}

/**
 * All deferrals of the time from `since` until `now`, an hour at a time, the newest first. Rejects when the store cannot
 * be read.
 */
export async function* readLedger(records: RecordStore, times: LedgerTimes): AsyncGenerator<Deferral[]> {
  for await (const { deferrals } of readHours(records, times)) yield deferrals.map(({ deferral }) => deferral)
}

export interface LedgerTimes {
  /** Milliseconds since the epoch. */
  readonly since: number
  readonly now: number
}

/** Removes the deferrals that match, and returns them. */
export async function forgetDeferrals(
  records: RecordStore,
  matches: (deferral: Deferral) => boolean,
  now: number,
): Promise<Deferral[]> {
  const forgotten: Deferral[] = []
  for await (const { record, deferrals } of readHours(records, { since: now - LEDGER_LIFETIME, now })) {
    const due = deferrals.filter(({ deferral }) => matches(deferral))
    if (due.length === 0) continue
    await records.changeRecord(record, new Map(due.map(({ field }) => [field, undefined])), LEDGER_LIFETIME)
    forgotten.push(...due.map(({ deferral }) => deferral))
  }
  return forgotten
}

/** Notes deferrals again that `forgetDeferrals` has removed. */
export async function restoreDeferrals(records: RecordStore, deferrals: readonly Deferral[]): Promise<void> {
  for (const deferral of deferrals) {
    const field = [deferralField(deferral), JSON.stringify(deferralValues(deferral))] as const
    await records.changeRecord(recordOf(deferral.at), new Map([field]), LEDGER_LIFETIME)
  }
}

function deferralField({ ref, mx }: Deferral): string {
  return `d${ref}${mx}`
}

function deferralValues({ at, mx, client, name, helo, identity, sender, recipient }: Deferral) {
  return [at, mx, client, name, helo, identity, sender, recipient]
}

/** The deferrals of an hour, each with the field that has it. */
interface LedgerHour {
  readonly record: string
  readonly deferrals: ReadonlyArray<{ readonly field: string; readonly deferral: Deferral }>
}

async function* readHours(records: RecordStore, { since, now }: LedgerTimes): AsyncGenerator<LedgerHour> {
  // A message that came back did so in the same hour or a later one, which is read before.
  const returns = new Map<string, number>()
  for (let at = now; recordOf(at) >= recordOf(since); at -= HOUR) {
    const record = recordOf(at)
    const found: Array<{ field: string; deferral: Deferral }> = []
    for (const [field, text] of await records.readRecord(record)) {
      const noted = readField(field, text)
      if (noted === undefined) continue
      if (!('client' in noted)) returns.set(noted.ref, Math.max(noted.at, returns.get(noted.ref) ?? 0))
      else if (noted.at >= since) found.push({ field, deferral: noted })
    }
    found.sort((one, other) => compare(one.deferral, other.deferral))
    yield {
      record,
      deferrals: found.map(({ field, deferral }) => ({
        field,
        deferral: withReturn(deferral, returns.get(deferral.ref)),
      })),
    }
  }
}

/** The order of deferrals: the newest first, and those of one millisecond by reference and MX, so that lists can go on. */
function compare(one: Deferral, other: Deferral): number {
  return Math.floor(other.at) - Math.floor(one.at) || byText(one.ref, other.ref) || byText(one.mx, other.mx)
}

function byText(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}

/** The deferrals with this reference, the newest first: of one sender and recipient, or rarely of several. */
export async function findDeferrals(records: RecordStore, ref: string, now: number): Promise<Deferral[]> {
  const found: Deferral[] = []
  for await (const deferrals of readLedger(records, { since: now - LEDGER_LIFETIME, now }))
    found.push(...deferrals.filter((deferral) => deferral.ref === ref))
  return found
}

/** Whether a message passes that was deferred before, for whatever reason it passes. */
export function isReturn({ verdict, reason, waited }: Outcome): boolean {
  return verdict === 'pass' && (reason === 'retry' || reason === 'max-deferrals' || waited > 0)
}

function withReturn(deferral: Deferral, at: number | undefined): Deferral {
  return at !== undefined && at >= deferral.at ? { ...deferral, returnedAt: at } : deferral
}

/** Whether something vouches for a sender: the name that stands for the client is not its network's. */
export function isVouched(identity: string): boolean {
  return !identity.startsWith('network:')
}

/** What a field says; `undefined` for one that greymx has not written. */
function readField(field: string, text: string): Deferral | Return | undefined {
  const ref = field.slice(1, 9)
  let values: unknown
  try {
    values = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(values) || typeof values[0] !== 'number') return undefined
  const [at, ...others] = values
  if (field.startsWith('r')) return { ref, at }
  if (!others.every((part) => part === null || typeof part === 'string')) return undefined
  const [mx = '', client = '', name, helo, identity = '', sender = '', recipient = null] = others
  return {
    ref,
    at,
    mx,
    client,
    identity,
    sender,
    ...(name === null ? {} : { name }),
    ...(helo === null ? {} : { helo }),
    ...(recipient === null ? {} : { recipient }),
  }
}

/** The record of the hour of an instant, such as `ledger:2026-11-27T13`; names of later hours are greater. */
function recordOf(at: number): string {
  return `ledger:${new Date(at).toISOString().slice(0, 13)}`
}
