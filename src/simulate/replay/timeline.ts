// Puts attempts in the order of their time, although an MTA tells only later who the recipients of a message are. Each
// attempt or message gets a slot where the log first tells of it; a slot is handed on when all before it are complete.
//
// What is held is bounded: a slot waits for its end MAX_WAIT of the log's time at most, and all slots together hold
// MAX_HELD characters of log. The oldest message is given up as it is when one of these is reached, so that memory does
// not grow with the log.

import type { Findings } from './findings.ts'
import type { LoggedAttempt, Place } from './logged.ts'
import type { Stamp } from './stamp.ts'

/** Longest wait for the end of a message, in milliseconds of the log's time; MTAs deliver within seconds. */
export const MAX_WAIT = 600_000
/** Largest number of characters that all slots hold together; they take some 150 MB of memory. */
export const MAX_HELD = 64 * 1024 * 1024
/** What an attempt and a message count beside the text that they hold, in characters. */
const ATTEMPT_SIZE = 512
export const MESSAGE_SIZE = 2048
/** Steps back in time that the order of lines from several processes explains, in milliseconds. */
const TOLERATED_STEP_BACK = 1000

/** An attempt before its place in time is known. */
export type Draft = Omit<LoggedAttempt, 'at' | 'place'>

/** A place in time. */
export interface Slot {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly stamp: Stamp
  readonly place: Place
}

/** A place that is kept for a message until its recipients are known. */
export interface OpenSlot extends Slot {
  /** Counts characters of log that are held for it. */
  hold(characters: number): void
  complete(drafts: readonly Draft[]): void
}

interface KeptSlot extends Slot {
  drafts: readonly Draft[] | undefined
  /** Completes the slot with what is known. */
  readonly giveUp: () => void
  size: number
}

export class Timeline {
  readonly #findings: Findings
  readonly #onAttempt: (draft: Draft, slot: Slot) => void
  /** Slots from `#start` on, in the order of the log. */
  #slots: KeptSlot[] = []
  #start = 0
  #size = 0
  #firstAt: number | undefined
  #lastAt = Number.NEGATIVE_INFINITY

  /** `onAttempt` receives each attempt before it is handed on. */
  constructor(findings: Findings, onAttempt: (draft: Draft, slot: Slot) => void) {
    this.#findings = findings
    this.#onAttempt = onAttempt
  }

  /** The instants of the first and of the last attempt so far, in milliseconds since 1970. */
  get span(): { readonly firstAt: number; readonly lastAt: number } | undefined {
    return this.#firstAt === undefined ? undefined : { firstAt: this.#firstAt, lastAt: this.#lastAt }
  }

  /** Adds an attempt of which all is known. */
  add(slot: Slot, draft: Draft): void {
    this.#push({ ...slot, drafts: [draft], giveUp: () => undefined, size: ATTEMPT_SIZE + sizeOf(draft) })
  }

  /** Keeps a place for a message. `giveUp` has to complete it with what is known by then. */
  begin({ at, stamp, place }: Slot, giveUp: () => void): OpenSlot {
    const slot: KeptSlot = { at, stamp, place, drafts: undefined, giveUp, size: MESSAGE_SIZE }
    this.#push(slot)
    return {
      at,
      stamp,
      place,
      hold: (characters) => {
        slot.size += characters
        this.#size += characters
      },
      complete: (drafts) => {
        slot.drafts = drafts
      },
    }
  }

  /** The attempts whose place in time is sure when the log has reached `now`. */
  take(now: number): LoggedAttempt[] {
    const taken: LoggedAttempt[] = []
    for (let slot = this.#slots[this.#start]; slot; slot = this.#slots[this.#start]) {
      if (!slot.drafts) {
        if (this.#size <= MAX_HELD && now - slot.at <= MAX_WAIT) break
        this.#findings.count('late', slot.place)
        slot.giveUp()
      }
      this.#handOn(slot, taken)
    }
    return taken
  }

  /** The attempts that are left when the log has ended. */
  takeRest(): LoggedAttempt[] {
    const taken: LoggedAttempt[] = []
    for (let slot = this.#slots[this.#start]; slot; slot = this.#slots[this.#start]) {
      if (!slot.drafts) slot.giveUp()
      this.#handOn(slot, taken)
    }
    return taken
  }

  #handOn(slot: KeptSlot, taken: LoggedAttempt[]): void {
    this.#size -= slot.size
    this.#start += 1
    if (this.#start * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#start)
      this.#start = 0
    }
    for (const draft of slot.drafts ?? []) {
      if (this.#firstAt !== undefined && slot.at < this.#lastAt - TOLERATED_STEP_BACK)
        this.#findings.count('backwards', slot.place)
      this.#firstAt ??= slot.at
      this.#lastAt = Math.max(this.#lastAt, slot.at)
      this.#onAttempt(draft, slot)
      taken.push({ ...draft, at: this.#lastAt - this.#firstAt, place: slot.place })
    }
  }

  #push(slot: KeptSlot): void {
    this.#slots.push(slot)
    this.#size += slot.size
  }
}

/** The characters that an attempt keeps, approximately: an address has its text in four forms. */
function sizeOf({ attempt: { sender, recipient } }: Draft): number {
  return 4 * (sender.text.length + (recipient?.text.length ?? 0))
}
