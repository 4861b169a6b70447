// The log of what operators changed, which every MX reads: who, when, what, and why. It is kept in a record of the store
// for each day. How a change is taken back is kept by the daemon that made it, for as long as an operator may notice a
// mistake. The log of the daemon has changes too, and is the place for those beyond the budget.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { RecordStore } from '../store/records.ts'
import { type Call, type Caller, type Change, defineCall, Refusal } from './call.ts'

/** How long a change is listed, in milliseconds. */
const LISTED_FOR = 90 * 86_400_000

/** How long a change can be taken back, in milliseconds. */
const UNDO_FOR = 3_600_000

/** Most changes that one daemon can take back, the most that they may weigh, and most that it lists for a day. */
const MAX_UNDOABLE = 100
const MAX_WEIGHT = 20_000
const MAX_LISTED_PER_DAY = 1000

/** Most changes in an answer. */
const MAX_SHOWN = 1000

/** Longest text of what was changed, in characters. */
const MAX_TEXT = 500

const DAY = 86_400_000

/** Bytes of the random name of a change. */
const ID_BYTES = 6

const shownChange = z
  .object({
    id: z.string(),
    at: z.iso.datetime(),
    who: z.string(),
    call: z.string(),
    params: z.string().describe('what was given, as JSON; empty if it is confidential'),
    why: z.string().optional(),
    mx: z.string().describe('the host that made the change'),
    undo: z.boolean().describe('whether this daemon can take it back'),
  })
  .meta({ id: 'Change' })

export type ShownChange = z.infer<typeof shownChange>

export interface ChangesParts {
  /** The store in use; called anew for each operation. */
  readonly records: () => RecordStore
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly now: () => number
  /** Name of this host. */
  readonly mx: string
  /** Called when a change that was made could not be listed. */
  readonly onProblem: (problem: string) => void
}

/** Lists what the calls that it is given change, and takes changes back. */
export class Changes {
  readonly #parts: ChangesParts
  /** The newest last. */
  readonly #undoable = new Map<string, Change>()
  /** Those that are being taken back: what was counted must not be added twice. */
  readonly #undoing = new Set<string>()
  #listed = { day: 0, count: 0 }

  constructor(parts: ChangesParts) {
    this.#parts = parts
  }

  /** The call as it was; each change that it makes is listed once it is made. */
  listed(call: Call): Call {
    if (!call.changes || call.isStream) return call
    const run: Call['run'] = async (params, caller, signal) => {
      let made: Change | undefined
      const onChange = (change: Change) => {
        made = change
      }
      const answer = await call.run(params, { ...caller, onChange }, signal)
      await this.#list(call, params, caller, made)
      return answer
    }
    return { ...call, run }
  }

  /** The calls that show changes and take them back. */
  get calls(): readonly Call[] {
    return [
      defineCall({
        name: 'changes',
        summary: 'lists what operators changed, the newest first',
        changes: false,
        params: z.strictObject({
          days: z
            .int()
            .min(1)
            .max(LISTED_FOR / DAY)
            .default(7),
        }),
        result: z.strictObject({ changes: z.array(shownChange) }),
        run: async ({ days }) => ({ changes: await this.#read(days) }),
      }),
      this.listed(
        defineCall({
          name: 'undo',
          summary: 'takes back a change that was made by this daemon within the last hour',
          changes: true,
          params: z.strictObject({ id: z.string().max(2 * ID_BYTES) }),
          result: z.strictObject({}),
          run: async ({ id }) => {
            await this.#undo(id)
            return {}
          },
        }),
      ),
    ]
  }

  async #list(
    call: Call,
    params: unknown,
    { name: who, onListed }: Caller,
    made: Change | undefined,
  ): Promise<void> {
    const id = randomBytes(ID_BYTES).toString('hex')
    const at = this.#parts.now()
    if (made) {
      this.#keep(id, made)
      onListed?.(id)
    }
    if (!this.#mayList(at)) return
    const { why, ...given } = params as { readonly why?: string }
    const shown = call.isConfidential ? '' : JSON.stringify(given).slice(0, MAX_TEXT)
    const text = JSON.stringify([at, who, call.name, shown, why ?? null, this.#parts.mx])
    try {
      await this.#parts.records().changeRecord(recordOf(at), new Map([[id, text]]), LISTED_FOR)
    } catch (error) {
      this.#parts.onProblem(`a change is missing in the list of changes: ${String(error)}`)
    }
  }

  #keep(id: string, change: Change): void {
    this.#undoable.set(id, change)
    let weight = 0
    for (const [other, { weight: own = 1 }] of [...this.#undoable].reverse()) {
      weight += own
      if (weight > MAX_WEIGHT && other !== id) this.#undoable.delete(other)
    }
    const [oldest] = this.#undoable.keys()
    if (oldest !== undefined && this.#undoable.size > MAX_UNDOABLE) this.#undoable.delete(oldest)
    // What was forgotten must not stay in memory after the hour.
    setTimeout(() => this.#undoable.delete(id), UNDO_FOR).unref()
  }

  #mayList(at: number): boolean {
    const day = Math.floor(at / DAY)
    if (day !== this.#listed.day) this.#listed = { day, count: 0 }
    this.#listed.count += 1
    return this.#listed.count <= MAX_LISTED_PER_DAY
  }

  async #read(days: number): Promise<ShownChange[]> {
    const now = this.#parts.now()
    const found: ShownChange[] = []
    for (let day = 0; day < days && found.length < MAX_SHOWN; day += 1) {
      const record = await this.#parts.records().readRecord(recordOf(now - day * DAY))
      const changes = [...record]
        .reverse()
        .map(([id, text]) => this.#shown(id, text))
        .filter((one) => one !== undefined)
      found.push(...changes.sort((one, other) => other.at.localeCompare(one.at)))
    }
    return found.slice(0, MAX_SHOWN)
  }

  #shown(id: string, text: string): ShownChange | undefined {
    const read = storedChange.safeParse(parsed(text))
    if (!read.success) return undefined
    const [at, who, call, params, why, mx] = read.data
    return {
      ...{ id, at: new Date(at).toISOString(), who, call, params, mx },
      ...(why === null ? {} : { why }),
      undo: this.#undoable.has(id),
    }
  }

  async #undo(id: string): Promise<void> {
    const found = this.#undoable.get(id)
    if (!found)
      throw new Refusal(
        'unknown',
        `cannot take back ${id}: expected a change that this daemon made within an hour`,
      )
    if (this.#undoing.has(id)) throw new Refusal('unavailable', `${id} is being taken back already`)
    this.#undoing.add(id)
    try {
      await found.undo()
      this.#undoable.delete(id)
    } finally {
      this.#undoing.delete(id)
    }
  }
}

const storedChange = z.tuple([
  z.number(),
  z.string(),
  z.string(),
  z.string(),
  z.string().nullable(),
  z.string(),
])

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The record of the day of an instant, such as `changes:2026-11-27`. */
function recordOf(at: number): string {
  return `changes:${new Date(at).toISOString().slice(0, 10)}`
}
