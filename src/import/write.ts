// Merges what was found in a source into a store, in batches, so that memory stays bounded and mail of running daemons
// comes in between. Every piece is merged by the rule of store/merge.ts, by which nothing in the store gets worse, and
// merging a piece twice has the effect of merging it once. So an import that was interrupted is simply run again.

import { messageOf } from '../errors.ts'
import { isOfImport } from '../greylist/imported.ts'
import { noteImport } from '../operator/imports.ts'
import { MAX_RULES } from '../operator/rulebook.ts'
import { within } from '../operator/within.ts'
import { UnreadableEntry } from '../store/encoding.ts'
import type { RecordStore } from '../store/records.ts'
import type { SharedStore } from '../store/store.ts'
import { type Found, type Piece, type SetField, SORTS, type Sort, sortOf } from './piece.ts'
import type { NotTaken } from './remembered.ts'

/** The store that is written to. */
export type Target = SharedStore & Pick<RecordStore, 'readRecord' | 'changeRecord'>

/** What became of the records of a source, in numbers. */
export interface Summary {
  /** Records that were read. */
  read: number
  /** Pieces that were merged, or would have been without `--dry-run`. */
  readonly taken: Record<Sort, number>
  /** Records that greymx would have forgotten by now. */
  expired: number
  /** Records of a kind that greymx cannot know. */
  unknowable: number
  /** Records that could not be read. */
  broken: number
}

/** What is told while a source is imported. */
export interface ImportWatch {
  /** A record is not taken. */
  onNotTaken(notTaken: NotTaken): void
  /** A piece is about to be merged. */
  onPiece(piece: Piece): void
  /** So many records were read by now. */
  onProgress(read: number): void
}

/** The store cannot be written to; what was merged before remains. */
export class WriteFailed extends Error {}

/** Number of pieces that are merged together: LMDB waits for the disk once for each batch, and Redis is busy for 2 ms. */
const BATCH = 512

/** Longest wait for a batch, in milliseconds, before the store counts as one that does not answer. */
const ANSWER_TIMEOUT = 30_000

/**
 * How much longer hosts look up keys of an import than is known to be necessary, in milliseconds, so that few batches
 * change it, and clocks may differ.
 */
const NOTED_AHEAD = 86_400_000

/** A summary of nothing. */
export function emptySummary(): Summary {
  const taken = Object.fromEntries(SORTS.map((sort) => [sort, 0])) as Record<Sort, number>
  return { read: 0, taken, expired: 0, unknowable: 0, broken: 0 }
}

/**
 * Merges all pieces of `source` into `target` and counts into `summary`. Without a target, it only counts. Rejects with
 * `WriteFailed` when the store fails, with the error of `source`, and once `signal` is aborted.
 */
export async function importAll(
  source: AsyncIterable<Found>,
  target: Target | undefined,
  summary: Summary,
  watch: ImportWatch,
  signal: AbortSignal,
): Promise<void> {
  const writer = target && new Writer(target)
  let batch: Piece[] = []
  const write = async () => {
    signal.throwIfAborted()
    const refused = (await writer?.write(batch)) ?? []
    for (const piece of batch) summary.taken[sortOf(piece)] += 1
    for (const { piece, problem } of refused) {
      summary.taken[sortOf(piece)] -= 1
      leaveOut({ kind: 'broken', where: piece.kind === 'key' ? piece.key : piece.field, problem })
    }
    batch = []
    watch.onProgress(summary.read)
  }
  const leaveOut = (notTaken: NotTaken) => {
    summary[notTaken.kind] += 1
    watch.onNotTaken(notTaken)
  }
  for await (const found of source) {
    summary.read += 1
    switch (found.kind) {
      case 'expired':
        summary.expired += 1
        break
      case 'broken':
      case 'unknowable':
        leaveOut(found)
        break
      default:
        watch.onPiece(found)
        batch.push(found)
    }
    if (batch.length >= BATCH) await write()
    else if (summary.read % BATCH === 0) {
      signal.throwIfAborted()
      watch.onProgress(summary.read)
    }
  }
  await write()
}

/** A piece that the store cannot take, and why. */
interface Refused {
  readonly piece: Piece
  readonly problem: string
}

/** Most fields that a record may have. */
async function mostFieldsIn(record: string): Promise<number> {
  if (record === 'rules') return MAX_RULES
  // This takes long to load, and few imports have recipients.
  return (await import('../operator/recipients.ts')).MAX_RECIPIENTS
}

class Writer {
  readonly #target: Target
  /** The fields of records of operators that the store has, by record. */
  readonly #fields = new Map<string, Set<string>>()
  /** Until when hosts know that there are keys of an import, in milliseconds since the epoch. */
  #notedUntil = 0

  constructor(target: Target) {
    this.#target = target
  }

  /** Merges pieces; resolves to those that the store cannot take, while it takes others. */
  async write(pieces: readonly Piece[]): Promise<readonly Refused[]> {
    const refused: Refused[] = []
    const fields = pieces.filter((piece) => piece.kind === 'field')
    const merges = pieces.map(async (piece) => {
      if (piece.kind === 'field') return
      try {
        await this.#target.merge(piece.key, piece.learnt)
      } catch (error) {
        if (!(error instanceof UnreadableEntry)) throw error
        refused.push({ piece, problem: messageOf(error) })
      }
    })
    const written = Promise.all([
      ...merges,
      fields.length > 0 && this.#setFields(fields, refused),
      this.#noteKeysOfImport(pieces),
    ])
    try {
      await within(ANSWER_TIMEOUT, written)
    } catch (error) {
      throw new WriteFailed(messageOf(error), { cause: error })
    }
    return refused
  }

  /** Tells hosts to look up keys that only an import makes, for as long as these are kept. */
  async #noteKeysOfImport(pieces: readonly Piece[]): Promise<void> {
    let longest = 0
    for (const piece of pieces)
      if (piece.kind === 'key' && isOfImport(piece.key)) longest = Math.max(longest, piece.learnt.left)
    const now = Date.now()
    if (longest === 0 || now + longest <= this.#notedUntil) return
    this.#notedUntil = now + longest + NOTED_AHEAD
    await noteImport(this.#target, this.#notedUntil, now)
  }

  /** Adds fields that the record does not have yet, as far as those who read it take so many. */
  async #setFields(fields: readonly SetField[], refused: Refused[]): Promise<void> {
    for (const record of new Set(fields.map((each) => each.record))) {
      const known = this.#fields.get(record) ?? new Set((await this.#target.readRecord(record)).keys())
      this.#fields.set(record, known)
      const most = await mostFieldsIn(record)
      const added: SetField[] = []
      for (const piece of fields) {
        if (piece.record !== record || known.has(piece.field)) continue
        if (known.size < most) {
          known.add(piece.field)
          added.push(piece)
        } else
          refused.push({ piece, problem: `the store has ${most} of ${record} already, and takes no more` })
      }
      if (added.length > 0)
        await this.#target.changeRecord(record, new Map(added.map(({ field, text }) => [field, text])))
    }
  }
}
