// Whose mail is greylisted, kept in the store in place of the settings (`recipients: store`), so that operators and their
// programs can change it while greymx runs, for all MXs (`greymx recipients`).

import { z } from 'zod'
import { type AddressRule, parseAddressRule } from '../exempt/addresses.ts'
import { compileGreylisted, type Exempt } from '../exempt/exempt.ts'
import type { RecordStore } from '../store/records.ts'
import { type Call, defineCall, defineStream, Refusal } from './call.ts'
import { addressRule } from './params.ts'
import { RecordCopy } from './record-copy.ts'

export interface RecipientParts {
  readonly records: () => RecordStore
  /** Whether the settings say that the recipients are in the store. */
  readonly isInUse: () => boolean
  /** Called when the recipients cannot be read, once for each reason. */
  readonly onProblem: (problem: string) => void
}

const RECORD = 'recipients'

/** Most recipients and domains in the store. */
export const MAX_RECIPIENTS = 100_000

/** Most of them in one call. */
export const MAX_CHANGES = 500

const LISTS = ['only', 'except'] as const
type List = (typeof LISTS)[number]

const recipientOf = z.object({ list: z.enum(LISTS), recipient: z.string() }).meta({ id: 'ListedRecipient' })

export type ListedRecipient = z.infer<typeof recipientOf>

const rules = z.array(addressRule).max(MAX_CHANGES).default([])

/** The recipients in the store, as this host knows them, and the calls that list and change them. */
export class Recipients {
  readonly calls: readonly Call[]
  readonly #copy: RecordCopy<Exempt>

  constructor({ records, isInUse, onProblem }: RecipientParts) {
    this.#copy = new RecordCopy<Exempt>({
      name: RECORD,
      records,
      read: compileFields,
      initial: () => undefined,
      onProblem,
    })
    this.calls = [
      defineStream({
        name: 'recipients',
        summary: 'lists the recipients in the store whose mail alone is greylisted, or is not',
        changes: false,
        params: z.strictObject({}),
        result: recipientOf,
        run: () => listed(records()),
      }),
      defineCall({
        name: 'recipients-change',
        summary: 'changes the recipients in the store whose mail alone is greylisted, or is not',
        changes: true,
        params: z.strictObject({
          only: rules.describe('recipients and domains whose mail alone is greylisted'),
          except: rules.describe('recipients and domains whose mail is not greylisted'),
          remove: rules.describe('recipients and domains that are in neither list any more'),
        }),
        result: z.strictObject({ kept: z.number(), isInUse: z.boolean() }),
        run: async ({ only, except, remove }) => {
          const changes = new Map<string, string | undefined>(
            remove.map((rule) => [fieldOf(rule), undefined]),
          )
          for (const rule of only) changes.set(fieldOf(rule), 'only')
          for (const rule of except) changes.set(fieldOf(rule), 'except')
          if (changes.size === 0)
            throw new Refusal('unsuited', 'nothing is to be changed: expected only, except or remove')
          const kept = new Set((await records().readRecord(RECORD)).keys())
          for (const [field, list] of changes) {
            if (list === undefined) kept.delete(field)
            else kept.add(field)
          }
          if (kept.size > MAX_RECIPIENTS)
            throw new Refusal(
              'unsuited',
              `there would be ${kept.size} recipients: expected ${MAX_RECIPIENTS} at most`,
            )
          await records().changeRecord(RECORD, changes)
          await this.#copy.refresh()
          return { kept: kept.size, isInUse: isInUse() }
        },
      }),
    ]
  }

  /** Exempts recipients whose mail is not greylisted, by the copy that this host has. */
  readonly exempt: Exempt = (attempt) => this.#copy.current(attempt)

  /** Reads the recipients, and from then on whenever they have changed. Never rejects. */
  start(): Promise<void> {
    return this.#copy.start()
  }

  close(): void {
    this.#copy.close()
  }
}

async function* listed(records: RecordStore): AsyncGenerator<ListedRecipient> {
  const fields = await records.readRecord(RECORD)
  for (const recipient of [...fields.keys()].sort()) {
    const list = fields.get(recipient)
    if (isList(list)) yield { list, recipient }
  }
}

/** The function for the fields of the record; those that greymx has not written are left out. */
function compileFields(fields: ReadonlyMap<string, string>): Exempt {
  const rulesIn: Record<List, AddressRule[]> = { only: [], except: [] }
  for (const [recipient, list] of fields) {
    if (!isList(list)) continue
    try {
      rulesIn[list].push(parseAddressRule(recipient))
    } catch {
      // A later version may know other forms.
    }
  }
  const { only, except } = rulesIn
  return compileGreylisted(only.length > 0 ? { only, except } : { except })
}

/** Domains and addresses are one, however their case is. */
function fieldOf(rule: string): string {
  return rule.startsWith('/') ? rule : rule.toLowerCase()
}

function isList(text: string | undefined): text is List {
  return LISTS.some((list) => list === text)
}
