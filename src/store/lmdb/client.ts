// An LMDB environment in a directory of this machine, open in a process of its own (process.ts).
//
// LMDB maps its file into memory and trusts it: reading one that was cut short or overwritten can end the process by a
// signal, and a disk that stands still stops the thread that waits for it. In a process of its own, what ends that one
// costs the answers that are due, and never mail. It is started again; state that is damaged, or that nobody here
// wrote, is moved aside first, kept, and the environment begins empty.

import { type ChildProcess, fork } from 'node:child_process'
import { lstatSync, readdirSync, renameSync, rmSync, statfsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../../message.ts'
import { UnreadableEntry } from '../encoding.ts'
import type { Answer, Contents, Obstacle, Operation } from './file.ts'
import type { Report, Request } from './process.ts'

/** What happens to the state; `problem` is for the operator. */
export interface LmdbEvents {
  onReady(): void
  onProblem(problem: string): void
  /** Damaged state was moved to `movedTo`; the environment begins empty. */
  onMovedAside(problem: string, movedTo: string): void
}

const PROGRAM = fileURLToPath(new URL('./process.js', import.meta.url))

const DATA_FILE = 'data.mdb'
const LOCK_FILE = 'lock.mdb'

/** So many damaged states are kept; older ones go. */
const KEPT_ASIDE = 3

/** Time between attempts to open what could not be opened, in milliseconds. */
const RETRY = 1000

/** A process that answers nothing for so long is ended and started anew, in milliseconds. */
const SILENCE = 10_000

/** How long its orderly end may take, in milliseconds. */
const PATIENCE = 5000

/** What may wait for the process; what comes on top fails at once. */
const MOST_WAITING = 20_000

/** Signals by which a process ends that reads what is not there. */
const CRASHES: ReadonlySet<string | null> = new Set(['SIGBUS', 'SIGSEGV', 'SIGABRT'])

/** A second crash within so many milliseconds is laid to the file, even where it could be opened. */
const CRASH_WINDOW = 60_000

/** Without so much room, in bytes, what looks like damage may be for the want of it: maps of files that cannot grow. */
const LEAST_ROOM = 128 * 1024

/** So much of what the process last said is shown, in characters. */
const LAST_WORDS = 500

interface Waiting {
  readonly operation: Operation
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Why the environment is not open. */
interface End {
  readonly obstacle: Obstacle
  readonly problem: string
  /** Whether the process ended by itself, by a signal that damage leads to. */
  readonly isCrash?: boolean
}

/** Operations reject while the environment is not open. */
export class LmdbClient {
  readonly #directory: string
  readonly #contents: Contents
  readonly #now: () => number
  readonly #events: LmdbEvents
  #process: ChildProcess | undefined
  /** Why nothing is asked of the process now; `undefined` while it can serve. */
  #problem: string | undefined = 'not open yet'
  /** Operations that go out together at the end of this turn of the event loop. */
  #gathered: Waiting[] = []
  /** What was sent and not answered yet, by its id. */
  readonly #sent = new Map<number, readonly Waiting[]>()
  /** How many operations those are together. */
  #waiting = 0
  #lastId = 0
  #silence: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #openFile: number | undefined
  #crashedAt = Number.NEGATIVE_INFINITY
  #isClosing = false

  /** `now` gives milliseconds since the epoch. */
  constructor(directory: string, contents: Contents, now: () => number, events: LmdbEvents) {
    this.#directory = resolve(directory)
    this.#contents = contents
    this.#now = now
    this.#events = events
  }

  /** Rejects, naming the directory, when somebody has to see to it first; a full disk is waited for. */
  async open(): Promise<void> {
    const end = await this.#start()
    if (end && end.obstacle !== 'passing') {
      throw new Error(`Cannot open the LMDB store in ${this.#directory}: ${end.problem}`)
    }
    if (end) this.#retryLater(end.problem)
  }

  /** What was asked before is still answered. */
  async close(): Promise<void> {
    this.#isClosing = true
    clearTimeout(this.#retry)
    const child = this.#process
    if (!child) return
    const exited = new Promise((done) => child.once('exit', done))
    const tooLate = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
    this.#send()
    this.#disconnectIfIdle()
    await exited
    clearTimeout(tooLate)
  }

  /** What the operation gives, as file.ts has it. */
  ask(operation: Operation): Promise<unknown> {
    if (this.#problem !== undefined) return Promise.reject(new Error(`LMDB: ${this.#problem}`))
    if (this.#waiting >= MOST_WAITING) {
      return Promise.reject(new Error('LMDB: too many operations are waiting already'))
    }
    return new Promise((resolve, reject) => {
      if (this.#gathered.length === 0) setImmediate(() => this.#send())
      this.#gathered.push({ operation, resolve, reject })
      this.#waiting += 1
    })
  }

  #send(): void {
    const batch = this.#gathered
    const child = this.#process
    if (batch.length === 0 || !child) return
    this.#gathered = []
    this.#lastId += 1
    this.#sent.set(this.#lastId, batch)
    const operations = batch.map(({ operation }) => operation)
    const request: Request = { id: this.#lastId, now: this.#now(), operations }
    // What it does not get it does not answer: its end, which is told apart, fails all of that.
    child.send(request, () => undefined)
    this.#silence ??= setTimeout(() => child.kill('SIGKILL'), SILENCE).unref()
  }

  #answered(id: number, answers: readonly Answer[]): void {
    const batch = this.#sent.get(id) ?? []
    this.#sent.delete(id)
    this.#waiting -= batch.length
    if (this.#sent.size > 0) this.#silence?.refresh()
    else this.#endSilence()
    for (const [index, { resolve, reject }] of batch.entries()) {
      const answer = answers[index]
      if (answer && 'value' in answer) resolve(answer.value)
      else if (answer?.isUnreadable) reject(new UnreadableEntry(answer.error))
      else reject(new Error(`LMDB: ${answer?.error ?? 'no answer'}`))
    }
    if (this.#isClosing) this.#disconnectIfIdle()
  }

  #disconnectIfIdle(): void {
    if (this.#sent.size > 0 || !this.#process?.connected) return
    this.#problem = 'closed'
    this.#process.disconnect()
  }

  #endSilence(): void {
    clearTimeout(this.#silence)
    this.#silence = undefined
  }

  /** Why the environment could not be opened, if so. What is damaged goes first; what replaces it is new. */
  async #start(): Promise<End | undefined> {
    const end = await this.#spawn()
    if (end?.obstacle !== 'damage') return end
    return this.#moveAside(end.problem) ?? this.#spawn()
  }

  /** Resolves when the process has opened the environment, or with why it has not and is gone. */
  #spawn(): Promise<End | undefined> {
    this.#openFile = inodeOf(join(this.#directory, DATA_FILE))
    const child = fork(PROGRAM, [this.#directory, this.#contents], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#process = child
    let lastWords = ''
    child.stderr?.setEncoding('utf8').on('data', (words: string) => {
      lastWords = (lastWords + words).slice(-LAST_WORDS)
    })
    return new Promise((resolve) => {
      let isOpen = false
      let refusal: End | undefined
      const ended = (end: End) => {
        if (this.#process === child) this.#process = undefined
        const known = end.obstacle === 'damage' && isFull(this.#directory) ? fullDisk(end.problem) : end
        if (isOpen) void this.#lost(known)
        else resolve(known)
      }
      child.on('message', (report: Report) => {
        switch (report.kind) {
          case 'opened':
            isOpen = true
            this.#opened()
            return resolve(undefined)
          case 'cannot-open':
            refusal = report
            return void child.kill('SIGKILL')
          case 'answers':
            return this.#answered(report.id, report.answers)
        }
      })
      child.once('error', (error) => {
        if (child.pid === undefined) ended({ obstacle: 'passing', problem: messageOf(error) })
      })
      child.once('exit', (status, signal) => ended(refusal ?? exitOf(status, signal, lastWords)))
    })
  }

  #opened(): void {
    this.#openFile = inodeOf(join(this.#directory, DATA_FILE))
    this.#problem = undefined
    this.#events.onReady()
  }

  /** The process that had the environment open has ended. */
  async #lost(end: End): Promise<void> {
    this.#failed(end.problem)
    if (this.#isClosing) return
    const isSecond = performance.now() - this.#crashedAt < CRASH_WINDOW
    // A first crash may have been anything; one of the file's making recurs as it is opened, or soon after.
    if (end.obstacle === 'damage' && (end.isCrash !== true || isSecond)) this.#moveAside(end.problem)
    if (end.isCrash) this.#crashedAt = performance.now()
    await this.#restart()
  }

  async #restart(): Promise<void> {
    const end = await this.#start()
    if (end && !this.#isClosing) this.#retryLater(end.problem)
  }

  #retryLater(problem: string): void {
    this.#failed(problem)
    this.#retry = setTimeout(() => void this.#restart(), RETRY)
  }

  #failed(problem: string): void {
    this.#problem = problem
    this.#endSilence()
    const lost = [...this.#sent.values(), this.#gathered].flat()
    this.#sent.clear()
    this.#gathered = []
    this.#waiting = 0
    for (const { reject } of lost) reject(new Error(`LMDB: ${problem}`))
    if (!this.#isClosing) this.#events.onProblem(problem)
  }

  /** Why it cannot be, if so. Files that are not those that were found damaged were moved by another process. */
  #moveAside(problem: string): End | undefined {
    const data = join(this.#directory, DATA_FILE)
    if (inodeOf(data) !== this.#openFile) return undefined
    const suffix = `.damaged-${new Date(this.#now()).toISOString().replace(/[-:]/g, '')}`
    try {
      for (const name of [DATA_FILE, LOCK_FILE]) {
        const path = join(this.#directory, name)
        if (inodeOf(path) !== undefined) renameSync(path, path + suffix)
      }
      this.#dropOldest()
    } catch (error) {
      return { obstacle: 'lasting', problem: `${problem}; it cannot be moved aside: ${messageOf(error)}` }
    }
    this.#events.onMovedAside(problem, data + suffix)
    return undefined
  }

  #dropOldest(): void {
    for (const name of [DATA_FILE, LOCK_FILE]) {
      const aside = readdirSync(this.#directory).filter((other) => other.startsWith(`${name}.damaged-`))
      for (const old of aside.sort().slice(0, -KEPT_ASIDE)) {
        rmSync(join(this.#directory, old), { recursive: true, force: true })
      }
    }
  }
}

function exitOf(status: number | null, signal: NodeJS.Signals | null, lastWords: string): End {
  if (CRASHES.has(signal)) {
    return { obstacle: 'damage', problem: `reading it ended in ${signal}`, isCrash: true }
  }
  const words = lastWords.trim().replace(/\s*\n\s*/g, ' ')
  const problem = `the process for it ended with ${signal ?? `status ${status}`}${words && `: ${words}`}`
  return { obstacle: signal === null ? 'lasting' : 'passing', problem }
}

function isFull(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize < LEAST_ROOM
  } catch {
    return false // there is no such directory yet
  }
}

function fullDisk(problem: string): End {
  return { obstacle: 'passing', problem: `the disk is full (${problem})` }
}

/** `undefined` where there is no such file. */
function inodeOf(path: string): number | undefined {
  try {
    return lstatSync(path).ino
  } catch {
    return undefined
  }
}
