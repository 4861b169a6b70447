// greymx import: takes over what another greylister, or a store of greymx, has left behind, and tells what became of it.
// How sources are read, and what is kept of them, is left to import/.

import type { Config } from '../config/schema.ts'
import { fileProblemOf, messageOf } from '../errors.ts'
import { openSource } from '../import/lines.ts'
import { OWN_NAME, PEERS } from '../import/peers/peers.ts'
import { describePiece, type Found, SORTS, type Sort, sortOf } from '../import/piece.ts'
import { readExport } from '../import/read.ts'
import type { NotTaken, Remembered } from '../import/remembered.ts'
import { type TranslationSettings, translate } from '../import/translate.ts'
import { emptySummary, importAll, type Summary, WriteFailed } from '../import/write.ts'
import { inWords } from '../operator/in-words.ts'
import { storedBy } from '../operator/stored.ts'
import { formatStoreSpec } from '../store/open.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'
import { Counting } from './progress.ts'
import { openForCommand } from './store.ts'

export interface ImportValues {
  readonly config: string | undefined
  readonly json: boolean
  readonly peer: string
  readonly source: string
  readonly isDryRun: boolean
  /** Number of things of each sort that are printed. */
  readonly sample: number
  /** Number of broken records with which the import has succeeded. */
  readonly maxErrors: number
}

/** Most records of each kind that are not taken and shown. */
const MAX_SHOWN = 20

/** Longest problem that is shown, in characters. */
const MAX_PROBLEM_LENGTH = 500

const INTERRUPTED = 'The import was interrupted'

/** How long an import may go on after a signal, in milliseconds, until it has written what it has begun to write. */
const STOP_GRACE = 2000

/** Imports, and prints what became of the records. */
export async function importFrom(values: ImportValues): Promise<ExitStatus> {
  const config = loadOrComplain(values.config)
  if (!config) return EXIT.config
  const name = formatStoreSpec(config.store)
  const report = new Report(values, name)
  const stopped = new AbortController()
  let killing: NodeJS.Timeout | undefined
  const stop = (signal: NodeJS.Signals) => {
    stopped.abort(new Error('interrupted'))
    // Whoever writes to it may be silent for as long as it likes.
    if (values.source === '-') process.stdin.destroy()
    // Node cannot leave the read of a silent pipe, not even to exit. Without its handler, the signal ends the process.
    killing = setTimeout(() => {
      report.endedBy(INTERRUPTED, EXIT.unavailable)
      process.kill(process.pid, signal)
    }, STOP_GRACE)
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  // Without a store, nothing at all can be changed.
  const store = values.isDryRun ? undefined : await openForCommand(config.store, 'write')
  if (!store && !values.isDryRun) return EXIT.unavailable
  try {
    await importAll(sourceOf(values, config, stopped.signal), store, report.summary, report, stopped.signal)
    return report.end()
  } catch (error) {
    if (error instanceof WriteFailed)
      return report.endedBy(`Cannot write to ${name}: ${error.message}`, EXIT.unavailable)
    if (stopped.signal.aborted) return report.endedBy(INTERRUPTED, EXIT.unavailable)
    const isFile = error instanceof Error && 'code' in error
    return report.endedBy(
      `Cannot read ${shownSource(values.source)}: ${isFile ? fileProblemOf(error) : messageOf(error)}`,
      isFile ? EXIT.usage : EXIT.data,
    )
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    clearTimeout(killing)
    await store?.close()
  }
}

/** What comes of each record of the source. */
async function* sourceOf(
  { peer, source }: ImportValues,
  config: Config,
  signal: AbortSignal,
): AsyncGenerator<Found> {
  if (peer === OWN_NAME) return yield* readExport(openSource(source, signal), Date.now)
  const settings = translationSettings(config)
  const { times, autoWhitelist } = config.greylist
  const options = { now: Date.now(), delay: times.delay, passes: autoWhitelist?.after ?? 0 }
  let number = 0
  for await (const record of readerOf(peer)(source, options)) {
    number += 1
    yield isNotTaken(record) ? record : translate(record, `record ${number}`, Date.now(), settings)
  }
}

function readerOf(name: string): (typeof PEERS)[number]['read'] {
  const peer = PEERS.find((other) => other.name === name)
  if (!peer) throw new Error(`there is no reader for ${name}`) // the command line takes no other name
  return peer.read
}

function isNotTaken(record: Remembered | NotTaken): record is NotTaken {
  return record.kind === 'broken' || record.kind === 'unknowable'
}

/** The settings by which what a peer remembers is kept. */
function translationSettings({ greylist, milter }: Config): TranslationSettings {
  const { times, prefixes, autoWhitelist } = greylist
  return {
    times,
    prefixes,
    nat64Prefixes: milter.nat64Prefixes,
    judgesRecipients: milter.judgeAt === 'rcpt',
    ...(autoWhitelist ? { listedFor: autoWhitelist.lifetime } : {}),
    stored: storedBy(greylist),
  }
}

/** What is said of an import, while it runs and at its end. */
class Report {
  readonly summary: Summary = emptySummary()
  readonly #values: ImportValues
  readonly #store: string
  readonly #counting = new Counting(process.stderr)
  readonly #samples = new Map<Sort, number>()

  /** `store` is the name of the store. */
  constructor(values: ImportValues, store: string) {
    this.#values = values
    this.#store = store
  }

  onPiece(piece: Parameters<typeof sortOf>[0]): void {
    const { sample, json } = this.#values
    if (sample === 0) return
    const sort = sortOf(piece)
    const shown = this.#samples.get(sort) ?? 0
    if (shown >= sample) return
    this.#samples.set(sort, shown + 1)
    this.#counting.end()
    const text = printable(describePiece(piece, inWords))
    print(json ? `${JSON.stringify({ sample: { sort, text } })}\n` : `${text}\n`)
  }

  onNotTaken({ kind, where, problem }: NotTaken): void {
    const count = this.summary[kind]
    if (count > MAX_SHOWN) return
    this.#counting.end()
    const source = shownSource(this.#values.source)
    const place = /^\d+$/.test(where) ? `${source}:${where}` : `${source}: ${where}`
    const what = kind === 'broken' ? '' : 'not taken over: '
    complain(`${printable(`${place}: ${what}${problem}`).slice(0, MAX_PROBLEM_LENGTH)}\n`, 'warn')
    if (count === MAX_SHOWN)
      complain(`${source}: further records of this kind are counted, and not shown\n`, 'warn')
  }

  onProgress(read: number): void {
    this.#counting.show(read)
  }

  /** Prints the summary, and returns the exit status of an import that has read its whole source. */
  end(): ExitStatus {
    this.#print(true)
    const { maxErrors } = this.#values
    const { broken } = this.summary
    if (broken <= maxErrors) return EXIT.ok
    complain(`Broken records: ${broken}: expected ${maxErrors} at most (--max-errors)\n`)
    return EXIT.data
  }

  /** Prints why the import has ended before its end, and what was done by then. */
  endedBy(problem: string, status: ExitStatus): ExitStatus {
    this.#counting.end()
    complain(`${printable(problem).slice(0, MAX_PROBLEM_LENGTH)}\n`)
    this.#print(false)
    return status
  }

  #print(isComplete: boolean): void {
    this.#counting.end()
    const { json, isDryRun, peer } = this.#values
    const source = shownSource(this.#values.source)
    const { summary } = this
    const store = this.#store
    if (json) {
      print(
        `${JSON.stringify({ peer, source, store, dryRun: isDryRun, complete: isComplete, ...summary })}\n`,
      )
      return
    }
    const { read, taken, expired, unknowable, broken } = summary
    if (!isComplete && SORTS.every((sort) => taken[sort] === 0)) {
      print('Nothing was taken over.\n')
      return
    }
    const parts = [
      `${taken.passed} passed`,
      `${taken.waiting} waiting`,
      `${taken.listed} in the auto-whitelist`,
      ...(taken.other > 0 ? [`${taken.other} other`] : []),
      ...(taken.rules > 0 ? [`${taken.rules} of rules and recipients`] : []),
    ]
    const begun = isDryRun ? 'Would be taken over' : 'Taken over'
    const lines = [
      `${begun} into ${store}: ${parts.join(', ')}.`,
      `Left out: ${expired} expired, ${unknowable} that greymx cannot know, ${broken} broken. Records read: ${read}.`,
      ...(isDryRun ? ['Nothing was changed (--dry-run).'] : []),
      ...(isComplete ? [] : ['This is not all. What was taken over stays, and the import can be run again.']),
    ]
    print(lines.map((line) => `${line}\n`).join(''))
  }
}

/** The source as it may be shown: a URL without user name and password. */
function shownSource(source: string): string {
  return source.replace(/^([a-z+]+:\/\/)[^/]*@/, '$1')
}

/** The text without control characters, as strangers have written it. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ')
}
