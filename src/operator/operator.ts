// All that operators may do while greymx runs, joined: the rules that they make, the ledger of deferrals, and the table of
// their calls. How a call arrives, and who may make it, is left to admin/.

import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Exempt } from '../exempt/exempt.ts'
import type { RuntimeRuleFor } from '../exempt/runtime-rules.ts'
import type { Outcome } from '../outcome.ts'
import type { RecordStore } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Call } from './call.ts'
import { Changes } from './changes.ts'
import { entryCalls } from './entries.ts'
import { type Deciding, explainCalls } from './explain.ts'
import { Imports } from './imports.ts'
import { LedgerWriter } from './ledger.ts'
import { Recipients } from './recipients.ts'
import { reportCalls } from './report.ts'
import { RuleBook } from './rulebook.ts'
import { ruleCalls } from './rules.ts'
import { type Stored, storedBy } from './stored.ts'

export interface OperatorParts {
  /** The stores in use; both are called anew for each operation, as a reload may change them. */
  readonly records: () => RecordStore
  readonly store: () => Store
  /** Name of this host among the MXs. */
  readonly host: string
  /** Milliseconds since the epoch, by the clock of the store, so that a rule ends everywhere at once. */
  readonly now: () => number
  /** Called when rules or ledger cannot be read or written; once for each reason. */
  readonly onProblem: (problem: string) => void
}

/** What the calls ask by, besides the rules. */
export type Asked = Omit<Deciding, 'runtimeRuleFor'> & {
  readonly areRecipientsInStore: boolean
  /** The setting `greylist.retry_window`, in milliseconds. */
  readonly retryWindow: number
}

/** Longest wait for the rules at the start, in milliseconds. */
const START_TIMEOUT = 1000

/** How often deferrals are written to the ledger, in milliseconds. */
const WRITE_INTERVAL = 1000

export class Operator {
  readonly calls: readonly Call[]
  readonly #rules: RuleBook
  readonly #recipients: Recipients
  readonly #imports: Imports
  readonly #ledger: LedgerWriter
  readonly #onProblem: (problem: string) => void
  #asked: Asked | undefined
  #timer: NodeJS.Timeout | undefined
  #problem = ''

  constructor({ records, store, host, now, onProblem }: OperatorParts) {
    this.#onProblem = onProblem
    this.#rules = new RuleBook({ records, now, onProblem })
    this.#imports = new Imports({ records, now, onProblem })
    const isInUse = () => this.#asked?.areRecipientsInStore ?? false
    this.#recipients = new Recipients({ records, isInUse, onProblem })
    const stored = (): Stored => this.#asked?.stored ?? storedBy({ normalizeSender: true })
    this.#ledger = new LedgerWriter({ records, now, mx: host, stored })
    // What this host has noted is part of each answer.
    const written = (): RecordStore => {
      void this.#write()
      return records()
    }
    const deciding = (): Deciding => {
      if (!this.#asked) throw new Error('nothing is decided yet')
      return { ...this.#asked, runtimeRuleFor: this.#rules.ruleFor }
    }
    const changes = new Changes({ records, now, mx: host, onProblem })
    const calls = [
      ...explainCalls({ deciding, records: written, now }),
      ...entryCalls({
        ...{ records: written, store, stored, now },
        retryWindow: () => this.#asked?.retryWindow ?? 0,
      }),
      ...ruleCalls({ rules: this.#rules, records: written, store, stored, now }),
      ...this.#recipients.calls,
      ...reportCalls({ records: written, store, stored, now }),
    ]
    this.calls = [...calls.map((call) => changes.listed(call)), ...changes.calls]
  }

  /** The rule that operators have made for an attempt. */
  get ruleFor(): RuntimeRuleFor {
    return this.#rules.ruleFor
  }

  /** Exempts recipients whose mail is not greylisted by what operators keep in the store. */
  get exemptByStore(): Exempt {
    return this.#recipients.exempt
  }

  /** Whether the store may have keys that only an import makes. */
  get hasImports(): () => boolean {
    return this.#imports.hasAny
  }

  /** Makes the calls ask by these settings from now on. */
  use(asked: Asked): void {
    this.#asked = asked
  }

  /** Notes an outcome. */
  take(outcome: Outcome): void {
    this.#ledger.take(outcome)
  }

  /**
   * Reads the rules, and begins to write the ledger. Resolves once the rules are read, or START_TIMEOUT later, as mail
   * has to flow while the store does not answer.
   */
  async start(): Promise<void> {
    await Promise.race([
      Promise.all([this.#rules.start(), this.#recipients.start(), this.#imports.start()]),
      sleep(START_TIMEOUT, undefined, { ref: false }),
    ])
    this.#timer ??= setInterval(() => void this.#write(), WRITE_INTERVAL)
    this.#timer.unref()
  }

  /** Writes what was noted, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#rules.close()
    this.#recipients.close()
    this.#imports.close()
    await this.#write()
  }

  async #write(): Promise<void> {
    try {
      await this.#ledger.write()
      this.#problem = ''
    } catch (error) {
      const problem = messageOf(error)
      if (problem !== this.#problem) this.#onProblem(problem)
      this.#problem = problem
    }
  }
}
