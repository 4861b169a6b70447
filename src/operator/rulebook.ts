// The rules that operators make while greymx runs. They are in one record of the store, of which every MX has a copy
// (record-copy.ts).

import { randomBytes } from 'node:crypto'
import { messageOf } from '../errors.ts'
import { compileRuntimeRules, type RuntimeRule, type RuntimeRuleFor } from '../exempt/runtime-rules.ts'
import type { RecordStore } from '../store/records.ts'
import { Refusal } from './call.ts'
import { RecordCopy } from './record-copy.ts'

/** A rule as operators see it. */
export interface Rule extends RuntimeRule {
  /** Who made it, as `Caller` has it. */
  readonly by: string
  /** Milliseconds since the epoch at which it was made. */
  readonly madeAt: number
  /** Why, in the operator's words. */
  readonly why?: string | undefined
}

export type NewRule = Omit<Rule, 'id' | 'madeAt'>

export interface RuleBookParts {
  /** Where the rules are; read anew for each operation, as a reload may change the store. */
  readonly records: () => RecordStore
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly now: () => number
  /** Called when the rules cannot be read, once for each reason, and when one of them is left out. */
  readonly onProblem: (problem: string) => void
}

const RECORD = 'rules'

/** Most rules. An attempt to which any of them may apply is held against each. */
export const MAX_RULES = 1000

/** How long a rule is still shown after its end, in milliseconds. */
const SHOWN_AFTER_END = 7 * 86_400_000

/** Bytes of the random name of a rule. */
const ID_BYTES = 3

export class RuleBook {
  readonly #parts: RuleBookParts
  readonly #copy: RecordCopy<RuntimeRuleFor>
  /** The rules that were told to be unreadable. */
  readonly #told = new Set<string>()

  constructor(parts: RuleBookParts) {
    const { records, now, onProblem } = parts
    this.#parts = parts
    this.#copy = new RecordCopy<RuntimeRuleFor>({
      name: RECORD,
      records,
      read: (fields) => compileRuntimeRules(this.#readable(fields), now),
      initial: () => undefined,
      onProblem,
    })
  }

  /** The rule for an attempt, by the copy that this host has. */
  readonly ruleFor: RuntimeRuleFor = (attempt) => this.#copy.current(attempt)

  /** Reads the rules, and from then on whenever they have changed. Never rejects. */
  start(): Promise<void> {
    return this.#copy.start()
  }

  close(): void {
    this.#copy.close()
  }

  /** All rules, the newest first; those that have ended are among them for a week. Rejects when they cannot be read. */
  async rules(): Promise<Rule[]> {
    const rules = await this.#read(this.#parts.records())
    return rules.sort((one, other) => other.madeAt - one.madeAt)
  }

  /** Makes a rule, which holds on this host once this resolves, and on all others within a second. */
  async add(rule: NewRule): Promise<Rule> {
    const records = this.#parts.records()
    const now = this.#parts.now()
    const kept = await this.#read(records)
    const isOver = ({ until }: Rule) => until !== undefined && until < now - SHOWN_AFTER_END
    const changes = new Map<string, string | undefined>(kept.filter(isOver).map(({ id }) => [id, undefined]))
    if (kept.length - changes.size >= MAX_RULES)
      throw new Refusal('unavailable', `there are ${MAX_RULES} rules already: expected to end some first`)
    const made: Rule = { ...rule, id: newId(new Set(kept.map(({ id }) => id))), madeAt: now }
    const { id, ...text } = made
    const unreadable = readRule(id, JSON.stringify(text))
    if (typeof unreadable === 'string')
      throw new Refusal('unsuited', `Cannot make such a rule: ${unreadable}`)
    changes.set(id, JSON.stringify(text))
    await records.changeRecord(RECORD, changes)
    await this.#copy.refresh()
    return made
  }

  /** Puts rules back that were ended, as they were. */
  async restore(rules: readonly Rule[]): Promise<void> {
    const changes = new Map(rules.map(({ id, ...text }) => [id, JSON.stringify(text)]))
    await this.#parts.records().changeRecord(RECORD, changes)
    await this.#copy.refresh()
  }

  /** Ends rules at once, everywhere within a second. */
  async remove(ids: readonly string[]): Promise<void> {
    const changes = new Map<string, string | undefined>(ids.map((id) => [id, undefined]))
    await this.#parts.records().changeRecord(RECORD, changes)
    await this.#copy.refresh()
  }

  async #read(records: RecordStore): Promise<Rule[]> {
    return this.#readable(await records.readRecord(RECORD))
  }

  /** The rules that can be read. One that cannot, as of a newer version, is left out and told once. */
  #readable(fields: ReadonlyMap<string, string>): Rule[] {
    const rules: Rule[] = []
    for (const [id, text] of fields) {
      const rule = readRule(id, text)
      if (typeof rule !== 'string') {
        rules.push(rule)
        continue
      }
      const problem = `rule ${id} is left out: ${rule}`
      if (!this.#told.has(problem)) this.#parts.onProblem(problem)
      this.#told.add(problem)
    }
    return rules
  }
}

/** The rule in a field of the record, or why it cannot be used. */
export function readRule(id: string, text: string): Rule | string {
  try {
    const { kind, client, sender, recipient, until, by, madeAt, why } = JSON.parse(text)
    if (kind !== 'allow' && kind !== 'off') throw new Error(`unknown kind ${JSON.stringify(kind)}`)
    const rule: Rule = { id, kind, client, sender, recipient, until, by, madeAt, why }
    const texts = [client, sender, recipient, why].filter((part) => part !== undefined)
    const isReadable =
      texts.every((part) => typeof part === 'string') &&
      (until === undefined || Number.isFinite(until)) &&
      typeof by === 'string' &&
      Number.isFinite(madeAt)
    if (!isReadable) throw new Error('expected texts and times')
    compileRuntimeRules([rule], () => 0) // throws when a criterion cannot be read
    return rule
  } catch (error) {
    return messageOf(error)
  }
}

function newId(taken: ReadonlySet<string>): string {
  for (;;) {
    const id = randomBytes(ID_BYTES).toString('hex')
    if (!taken.has(id)) return id
  }
}
