// Keeps the statistics and the heartbeat of this daemon in the store, and answers the calls `stats` and `status` from
// what all daemons have there. Both are written every few seconds; no mail waits for it.

import { randomBytes } from 'node:crypto'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { RecordStore } from '../store/records.ts'
import type { Call } from './call.ts'
import { type MemberState, OwnMember } from './members.ts'
import { Statistics } from './statistics.ts'
import { statsCall } from './stats.ts'
import { statusCall } from './status.ts'
import { within } from './within.ts'

/** Time between two writes, in milliseconds: so much is lost when the process is killed. */
const WRITE_INTERVAL = 10_000

/** Longest wait for the last write when the daemon stops, in milliseconds. */
const LAST_WRITE_TIMEOUT = 1_000

/** What the fleet needs to know of this daemon. Functions tell what may change with a reload. */
export interface FleetParts {
  readonly host: string
  readonly pid: number
  readonly version: string
  readonly records: () => RecordStore
  readonly state: () => MemberState
  /** The setting `greylist.retry_window`, in milliseconds. */
  readonly retryWindow: () => number
  readonly log: Log
  /** Hands outcomes on that wait for their batch, so that they are counted too. */
  readonly handOn: () => void
  /** Milliseconds since 1970, by the clock of this host. */
  readonly now?: () => number
}

export class Fleet {
  /** Takes each outcome, as soon as it is answered. */
  readonly statistics: Statistics
  /**
   * Milliseconds since 1970 by the clock of the store, so that one host whose clock is wrong agrees with the others; by
   * that of this host until the store was first asked.
   */
  readonly now: () => number
  readonly calls: readonly Call[]
  readonly #own: OwnMember
  readonly #records: () => RecordStore
  readonly #isStoreUp: () => boolean
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #isFailing = false

  constructor({ host, pid, version, records, state, retryWindow, log, handOn, now = Date.now }: FleetParts) {
    const process = randomBytes(6).toString('hex')
    this.#records = records
    this.#isStoreUp = () => state().store.up
    this.#log = log
    this.#own = new OwnMember({ host, pid, version, process, now, state })
    this.now = () => now() + this.#own.clockOffset
    this.statistics = new Statistics({ mx: host, process, now: this.now })
    this.calls = [
      statsCall({ statistics: this.statistics, mx: host, records, now: this.now, retryWindow, handOn }),
      statusCall({ own: this.#own, records }),
    ]
  }

  /** Writes at once, as after a start or a reload, and then every few seconds. */
  begin(): void {
    void this.write()
    this.#timer ??= setInterval(() => void this.write(), WRITE_INTERVAL).unref()
  }

  /** Writes the heartbeat and what was counted. Never rejects: what the store has not taken is offered again. */
  write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  /** Writes what is left, and that this daemon stops, if it has begun. Waits a second at most. Never rejects. */
  async close(): Promise<void> {
    if (!this.#timer) return
    clearInterval(this.#timer)
    const last = async () => {
      await this.#writing
      const records = this.#records()
      await Promise.allSettled([this.statistics.write(records), this.#own.writeStopped(records)])
    }
    await within(LAST_WRITE_TIMEOUT, last()).catch(() => undefined)
  }

  async #writeAll(): Promise<void> {
    const records = this.#records()
    const results = await Promise.allSettled([this.#own.write(records), this.statistics.write(records)])
    const failed = results.find((result) => result.status === 'rejected')
    this.#noteResult(failed && messageOf(failed.reason))
  }

  /** Logs when writing begins to fail, and when it works again. Of a store that is down, others tell. */
  #noteResult(problem: string | undefined): void {
    if (problem === undefined) {
      if (this.#isFailing) this.#log.event('info', 'statistics and status are written to the store again')
      this.#isFailing = false
    } else if (!this.#isFailing && this.#isStoreUp()) {
      this.#isFailing = true
      const message =
        'statistics and status cannot be written to the store: mail is not affected, and they are offered again'
      this.#log.event('warn', message, { problem })
    }
  }
}
