// The record of all running daemons that share a store: each writes how it is every few seconds, so that the others can
// tell. What follows from it is left to status.ts.

import { z } from 'zod'
import type { SettingTexts } from '../config/schema.ts'
import type { RecordStore } from '../store/records.ts'
import { ownSettings, type Settings } from './settings.ts'
import { ANSWER_TIMEOUT, within } from './within.ts'

const MEMBERS = 'members'
/** What the fields of heartbeats and of settings begin with; the name of the process follows. */
const [HEARTBEAT, SETTINGS] = ['h:', 's:']

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** A member is forgotten after so much silence, in milliseconds. */
const FORGOTTEN_AFTER = 7 * DAY
/** Most members that are kept; beyond it, those that are silent for the longest time leave. */
const MAX_MEMBERS = 100
/** Time between two searches for members to forget, in milliseconds. */
const SEARCH_INTERVAL = 60 * MINUTE
/** Settings are written when they change, and once in so many milliseconds, in case the store has lost them. */
const SETTINGS_INTERVAL = 5 * MINUTE
/** A clock that took longer than this to ask is not compared, in milliseconds. */
const MAX_CLOCK_ROUND_TRIP = 500

/** Longest texts of a heartbeat, in characters, and most listeners in it. */
const MAX_HOST = 253
const MAX_TEXT = 100
const MAX_LISTENERS = 4

const heartbeat = z.object({
  host: z.string(),
  pid: z.int(),
  version: z.string(),
  startedAt: z.number(),
  at: z.number(),
  offset: z.number(),
  store: z.object({ name: z.string(), up: z.boolean(), since: z.number(), problem: z.string().optional() }),
  dns: z.boolean(),
  listeners: z.array(z.string()),
  settings: z.string(),
  stopped: z.boolean().optional(),
})

/** What a member has written of itself. Instants are milliseconds since 1970 by the clock of its host. */
export type Heartbeat = z.infer<typeof heartbeat>

export interface Member extends Heartbeat {
  /** The name of the process. */
  readonly process: string
  /** Its settings other than defaults; absent when they are not known. */
  readonly differing?: Settings
}

/** How this process is, as it may change. */
export interface MemberState {
  readonly store: {
    readonly name: string
    readonly up: boolean
    readonly since: Date
    readonly problem?: string
  }
  readonly isDnsUp: boolean
  readonly listeners: readonly string[]
  readonly settings: SettingTexts
}

export interface MemberParts {
  readonly host: string
  readonly pid: number
  readonly version: string
  /** A name that no other process has. */
  readonly process: string
  /** Milliseconds since 1970, by the clock of this host. */
  readonly now: () => number
  readonly state: () => MemberState
}

/** This process as a member. */
export class OwnMember {
  readonly #parts: MemberParts
  readonly #startedAt: number
  #offset = 0
  #searchedAt = Number.NEGATIVE_INFINITY
  #settingsFrom: SettingTexts | undefined
  #settings: ReturnType<typeof ownSettings> = { differing: {}, digest: '' }
  #writtenDigest = ''
  #settingsWrittenAt = Number.NEGATIVE_INFINITY

  constructor(parts: MemberParts) {
    this.#parts = parts
    this.#startedAt = parts.now()
  }

  /** The store's clock less the clock of this host, in milliseconds, as it was found last. */
  get clockOffset(): number {
    return this.#offset
  }

  /** This process as it would write of itself now. */
  get current(): Member {
    const { host, pid, version, process, now, state } = this.#parts
    const { store, isDnsUp, listeners, settings } = state()
    if (settings !== this.#settingsFrom) {
      this.#settingsFrom = settings
      this.#settings = ownSettings(settings)
    }
    const { name, up, since, problem } = store
    return {
      process,
      host: host.slice(0, MAX_HOST),
      pid,
      version: version.slice(0, MAX_TEXT),
      startedAt: this.#startedAt,
      at: now(),
      offset: this.#offset,
      store: {
        name: name.slice(0, MAX_TEXT),
        up,
        since: since.getTime(),
        ...(problem === undefined ? {} : { problem: problem.slice(0, MAX_TEXT) }),
      },
      dns: isDnsUp,
      listeners: listeners.slice(0, MAX_LISTENERS).map((listener) => listener.slice(0, MAX_TEXT)),
      settings: this.#settings.digest,
      differing: this.#settings.differing,
    }
  }

  /** Writes how this process is. Rejects when the store fails. */
  async write(store: RecordStore): Promise<void> {
    await this.#findOffset(store)
    const now = this.#parts.now()
    const own = this.current
    const changes = new Map<string, string | undefined>()
    const isSearchDue = Math.abs(now - this.#searchedAt) >= SEARCH_INTERVAL
    if (isSearchDue) {
      for (const process of leaving(await readMembers(store), own)) {
        changes.set(HEARTBEAT + process, undefined)
        changes.set(SETTINGS + process, undefined)
      }
    }
    const isSettingsDue =
      own.settings !== this.#writtenDigest || Math.abs(now - this.#settingsWrittenAt) >= SETTINGS_INTERVAL
    if (isSettingsDue) changes.set(SETTINGS + own.process, JSON.stringify(own.differing))
    changes.set(HEARTBEAT + own.process, encode(own))
    await within(ANSWER_TIMEOUT, store.changeRecord(MEMBERS, changes, FORGOTTEN_AFTER))
    if (isSearchDue) this.#searchedAt = now
    if (!isSettingsDue) return
    this.#writtenDigest = own.settings
    this.#settingsWrittenAt = now
  }

  /** Writes that this process stops, so that nobody looks for it. Rejects when the store fails. */
  async writeStopped(store: RecordStore): Promise<void> {
    const own = { ...this.current, stopped: true }
    const changes = new Map([[HEARTBEAT + own.process, encode(own)]])
    await within(ANSWER_TIMEOUT, store.changeRecord(MEMBERS, changes, FORGOTTEN_AFTER))
  }

  /** Asks for the store's clock. Where it does not tell, as for want of a right, the clocks are not compared. */
  async #findOffset(store: RecordStore): Promise<void> {
    const { now } = this.#parts
    const askedAt = now()
    const offset = await within(ANSWER_TIMEOUT, store.clockOffset()).catch(() => undefined)
    if (offset === undefined) return
    // A slow answer would say more of the network, or of this process, than of the clocks.
    if (Math.abs(now() - askedAt) <= MAX_CLOCK_ROUND_TRIP) this.#offset = Math.round(offset)
  }
}

/** All members that the store knows, in the order of their hosts. What greymx has not written is left out. */
export async function readMembers(store: RecordStore): Promise<Member[]> {
  const fields = await within(ANSWER_TIMEOUT, store.readRecord(MEMBERS))
  const members: Member[] = []
  for (const [field, text] of fields) {
    if (!field.startsWith(HEARTBEAT)) continue
    const process = field.slice(HEARTBEAT.length)
    const read = heartbeat.safeParse(parsed(text))
    const settings = z.record(z.string(), z.string()).safeParse(parsed(fields.get(SETTINGS + process)))
    if (!read.success) continue
    members.push({ ...read.data, process, ...(settings.success ? { differing: settings.data } : {}) })
  }
  return members.sort((one, other) => compare(one.host, other.host) || one.startedAt - other.startedAt)
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '')
  } catch {
    return undefined
  }
}

function encode({ process: _process, differing: _differing, ...written }: Member): string {
  return JSON.stringify(written)
}

/** When a member was seen last, by the clock of the store. */
export function lastSeenAt({ at, offset }: Heartbeat): number {
  return at + offset
}

/** The processes that leave the record: forgotten ones, those in whose place `own` is, and those beyond the most. */
function leaving(members: readonly Member[], own: Member): string[] {
  const now = lastSeenAt(own)
  const others = members.filter(({ process }) => process !== own.process)
  const isReplaced = (member: Member) =>
    member.host === own.host &&
    (member.stopped || member.listeners.join() === own.listeners.join()) &&
    lastSeenAt(member) < lastSeenAt({ ...own, at: own.startedAt })
  const isForgotten = (member: Member) => now - lastSeenAt(member) > FORGOTTEN_AFTER || isReplaced(member)
  const kept = others
    .filter((member) => !isForgotten(member))
    .sort((one, other) => lastSeenAt(other) - lastSeenAt(one))
  return [...others.filter(isForgotten), ...kept.slice(MAX_MEMBERS - 1)].map(({ process }) => process)
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
