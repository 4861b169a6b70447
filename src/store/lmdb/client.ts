// The client of an LMDB environment that is open in a process of its own (process.ts). It starts that process, sends it
// batches of operations, restarts it after a pause, and moves damaged files aside. Whether the environment can be
// written to is found out by the circuit breakers of its users, guard.ts and journal.ts.
//
// LMDB maps its file into memory and trusts it. Reading a file that was cut short or overwritten can kill the process
// by a signal, and a disk that hangs blocks the thread that waits for it. In a process of its own, such a crash costs
// the pending answers, and never mail. A file that is damaged, or that greymx did not write, is moved aside and kept
// before the restart, and the environment begins empty. This file itself never touches the directory, as a call to a
// disk that hangs does not return.

import { type ChildProcess, fork } from 'node:child_process'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../../errors.ts'
import { Departures } from '../departures.ts'
import { UnreadableEntry } from '../encoding.ts'
import { type ConnectionWatch, StoreUnusable, UNWATCHED } from '../store.ts'
import type { Damage } from './aside.ts'
import type { Answer, Contents, Obstacle } from './file.ts'
import { isLookUp, type Operation } from './operation.ts'
import type { Report, Request } from './process.ts'

/** Callbacks for what happens to the files; `problem` is for the operator. */
export interface LmdbEvents {
  /** The damaged file was moved to `movedTo`; the environment begins empty. */
  onMovedAside(problem: string, movedTo: string): void
}

const PROGRAM = fileURLToPath(new URL('./process.js', import.meta.url))

/** Time between attempts to open the environment anew, in milliseconds: what reconnecting is for another store. */
const REOPEN_BACKOFF = 1000

/** A process that has not opened the environment within this time, in milliseconds, is killed. */
const OPEN_TIMEOUT = 6000

/** Number of processes that are tried in turn while another one, in another PID namespace, has the same PID. */
const MAX_PIDS_TRIED = 5

/** A process that owes answers and sends none for this time, in milliseconds, is killed and restarted. */
const ANSWER_TIMEOUT = 10_000

/** Time that the process gets to exit by itself at `close`, in milliseconds; then it is killed. */
const EXIT_TIMEOUT = 5000

/** Time in which a killed process ends, in milliseconds; one that waits for a disk may not, and is left alone then. */
const KILL_TIMEOUT = 500

/** Longest answers for which operations of the same kind wait, in milliseconds. */
const MAX_LOOK_UP_WAIT = 2
const MAX_OTHER_WAIT = 10

/** Number of operations that may be pending; further ones reject at once. */
const MAX_WAITING_OPERATIONS = 20_000

/** Signals that kill a process that reads a damaged file. */
const CRASHES: ReadonlySet<string | null> = new Set(['SIGBUS', 'SIGSEGV', 'SIGABRT'])

/** A second crash within this time, in milliseconds, counts as damage of the file, even if it could be opened. */
const CRASH_WINDOW = 60_000

/** Length of the end of the process's stderr that is shown, in characters. */
const MAX_LAST_WORDS = 500

/** A user and a group of this machine, by their numbers. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

interface PendingOperation {
  readonly operation: Operation
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Operations of one kind that are to be sent. */
interface Lane {
  gathered: PendingOperation[]
  readonly departures: Departures
}

/** Operations that were sent together; `onEnd` is called when they are answered, or never will be. */
interface Batch {
  readonly pending: readonly PendingOperation[]
  readonly onEnd: () => void
}

/** Why the environment could not be opened, or is not open any more. */
interface Failure {
  readonly obstacle: Obstacle
  readonly problem: string
  /** Whether the process was killed by one of `CRASHES`. */
  readonly isCrash?: boolean
}

const NOT_OPEN_IN_TIME: Failure = {
  obstacle: 'lasting',
  problem: `it is not open after ${OPEN_TIMEOUT / 1000} s, as its disk or network does not answer: expected a directory on a disk that works`,
}

/** A client whose operations reject while the environment is not open. */
export class LmdbClient {
  readonly #directory: string
  readonly #contents: Contents
  readonly #now: () => number
  readonly #events: LmdbEvents
  readonly #owner: Owner | undefined
  #watch = UNWATCHED
  #process: ChildProcess | undefined
  /** Why operations are refused now; `undefined` while the process can serve. */
  #problem: string | undefined = 'not open yet'
  /**
   * Operations that are sent together. Look-ups do not wait for writes, whose transactions take longer. All other
   * operations are done in the order in which they were asked, as operators' calls read records that were just written.
   */
  readonly #lookUps: Lane = {
    gathered: [],
    departures: new Departures(() => this.#send(this.#lookUps), MAX_LOOK_UP_WAIT),
  }
  readonly #others: Lane = {
    gathered: [],
    departures: new Departures(() => this.#send(this.#others), MAX_OTHER_WAIT),
  }
  readonly #lanes = [this.#lookUps, this.#others]
  /** Batches that are sent and not answered yet, by request id. */
  readonly #sent = new Map<number, Batch>()
  /** Number of operations that are gathered or sent, and not answered yet. */
  #waiting = 0
  #lastId = 0
  #answerTimer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined
  /** Inode of the data file that the process opened. */
  #openFile: number | undefined
  /** What the next process has to move aside first. */
  #damage: Damage | undefined
  /** Resolves when a process that did not open the environment in time has ended. */
  #ending: Promise<unknown> | undefined
  #crashedAt = Number.NEGATIVE_INFINITY
  #isClosing = false

  /** `now` returns milliseconds since the epoch. With an `owner`, the process runs as that user. */
  constructor(directory: string, contents: Contents, now: () => number, events: LmdbEvents, owner?: Owner) {
    this.#directory = resolve(directory)
    this.#contents = contents
    this.#now = now
    this.#events = events
    this.#owner = owner
  }

  /**
   * Opens the environment. Rejects, naming the directory, when the operator has to mend something first; on a full disk
   * it resolves and retries in the background.
   */
  async open(): Promise<void> {
    const failure = await this.#start()
    if (failure && failure.obstacle !== 'passing') {
      this.#isClosing = true
      throw new Error(`Cannot open the LMDB store in ${this.#directory}: ${failure.problem}`)
    }
    if (failure) this.#retryLater(failure.problem)
  }

  /** Has `watch` told of the process from now on: when it has opened the environment, and when it has ended. */
  watch(watch: ConnectionWatch): void {
    this.#watch = watch
  }

  /**
   * Resolves when the process has exited, after it has answered the operations of before. A process that a disk keeps
   * from ending is left behind.
   */
  async close(): Promise<void> {
    this.#isClosing = true
    clearTimeout(this.#retryTimer)
    const child = this.#process
    if (!child) return
    const exited = new Promise((done) => child.once('exit', done))
    const killTimer = setTimeout(() => child.kill('SIGKILL'), EXIT_TIMEOUT)
    for (const lane of this.#lanes) this.#send(lane)
    this.#disconnectIfIdle()
    await Promise.race([exited, sleep(EXIT_TIMEOUT + KILL_TIMEOUT, undefined, { ref: false })])
    clearTimeout(killTimer)
    letGo(child)
  }

  /** Resolves with the value of `operation` (file.ts), and rejects with its error. */
  ask(operation: Operation): Promise<unknown> {
    if (this.#problem !== undefined) return Promise.reject(new StoreUnusable(`LMDB: ${this.#problem}`))
    if (this.#waiting >= MAX_WAITING_OPERATIONS) {
      return Promise.reject(new Error('LMDB: too many operations are waiting already'))
    }
    return new Promise((resolve, reject) => {
      const lane = isLookUp(operation) ? this.#lookUps : this.#others
      lane.gathered.push({ operation, resolve, reject })
      this.#waiting += 1
      lane.departures.request()
    })
  }

  #send(lane: Lane): void {
    const pending = lane.gathered
    const child = this.#process
    if (pending.length === 0 || !child) return
    lane.gathered = []
    this.#lastId += 1
    const answered = lane.departures.sent()
    this.#sent.set(this.#lastId, { pending, onEnd: () => answered(lane.gathered.length > 0) })
    const operations = pending.map(({ operation }) => operation)
    const request: Request = { id: this.#lastId, now: this.#now(), operations }
    // A failed send needs no handling: the exit of the process, which is reported apart, fails all pending operations.
    child.send(request, () => undefined)
    this.#answerTimer ??= setTimeout(() => child.kill('SIGKILL'), ANSWER_TIMEOUT).unref()
  }

  #answered(id: number, answers: readonly Answer[]): void {
    const batch = this.#sent.get(id)
    if (!batch) return
    const { pending, onEnd } = batch
    this.#sent.delete(id)
    this.#waiting -= pending.length
    if (this.#sent.size > 0) this.#answerTimer?.refresh()
    else this.#clearAnswerTimer()
    for (const [index, { resolve, reject }] of pending.entries()) {
      const answer = answers[index]
      if (answer && 'value' in answer) resolve(answer.value)
      else if (answer?.isUnreadable) reject(new UnreadableEntry(answer.error))
      else reject(new Error(`LMDB: ${answer?.error ?? 'no answer'}`))
    }
    onEnd()
    if (!this.#isClosing) return
    for (const lane of this.#lanes) this.#send(lane)
    this.#disconnectIfIdle()
  }

  #disconnectIfIdle(): void {
    if (this.#sent.size > 0 || !this.#process?.connected) return
    this.#problem = 'closed'
    this.#process.disconnect()
  }

  #clearAnswerTimer(): void {
    clearTimeout(this.#answerTimer)
    this.#answerTimer = undefined
  }

  /**
   * Starts the process, again after a damaged file was moved aside, and again while another process has its PID.
   * Returns why the environment is not open, if so.
   */
  async #start(): Promise<Failure | undefined> {
    let failure = await this.#spawn()
    if (failure?.obstacle === 'damage') {
      this.#markDamaged(failure.problem)
      failure = await this.#spawn()
    }
    for (let tried = 1; failure?.obstacle === 'taken-pid' && tried < MAX_PIDS_TRIED; tried += 1) {
      failure = await this.#spawn()
    }
    return failure
  }

  /** Resolves when the process has opened the environment or, with the reason, when it has exited without. */
  #spawn(): Promise<Failure | undefined> {
    const damage = this.#damage && JSON.stringify(this.#damage)
    const child = fork(
      PROGRAM,
      [this.#directory, this.#contents, ...(damage === undefined ? [] : [damage])],
      { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'], ...this.#owner },
    )
    this.#process = child
    let lastWords = ''
    child.stderr?.setEncoding('utf8').on('data', (words: string) => {
      lastWords = (lastWords + words).slice(-MAX_LAST_WORDS)
    })
    return new Promise((resolve) => {
      let isOpen = false
      let refusal: Failure | undefined
      const openTimer = setTimeout(() => {
        this.#ending = new Promise((done) => child.once('exit', done))
        if (this.#process === child) this.#process = undefined
        letGo(child)
        resolve(NOT_OPEN_IN_TIME)
      }, OPEN_TIMEOUT)
      const ended = (failure: Failure) => {
        clearTimeout(openTimer)
        if (this.#process === child) this.#process = undefined
        if (isOpen) void this.#lost(failure)
        else resolve(failure)
      }
      child.on('message', (report: Report) => {
        switch (report.kind) {
          case 'moved-aside':
            this.#damage = undefined
            return this.#events.onMovedAside(report.problem, report.movedTo)
          case 'opening':
            this.#openFile = report.file
            return
          case 'opened':
            clearTimeout(openTimer)
            isOpen = true
            this.#opened(report.file)
            return resolve(undefined)
          case 'cannot-open':
            refusal = report
            return void child.kill('SIGKILL')
          case 'answers':
            return this.#answered(report.id, report.answers)
        }
      })
      // There is one more each time that a signal cannot be sent; without a listener, it would end this process.
      child.on('error', (error) => {
        if (child.pid === undefined) ended({ obstacle: 'passing', problem: messageOf(error) })
      })
      child.once('exit', (status, signal) => {
        const take = () => ended(refusal ?? exitOf(status, signal, lastWords))
        // The last messages may arrive after the exit, and before the disconnection.
        if (child.connected) child.once('disconnect', take)
        else take()
      })
    })
  }

  #opened(file: number | undefined): void {
    this.#openFile = file
    this.#damage = undefined
    this.#problem = undefined
    this.#watch.onReady()
  }

  /** Handles the exit of a process that had the environment open. */
  async #lost(failure: Failure): Promise<void> {
    this.#failed(failure.problem)
    if (this.#isClosing) return
    const isSecond = performance.now() - this.#crashedAt < CRASH_WINDOW
    // A first crash may have any cause; one that the file causes recurs when it is opened, or soon after.
    if (failure.obstacle === 'damage' && (failure.isCrash !== true || isSecond))
      this.#markDamaged(failure.problem)
    if (failure.isCrash) this.#crashedAt = performance.now()
    await this.#restart()
  }

  async #restart(): Promise<void> {
    await this.#ending
    if (this.#isClosing) return
    const failure = await this.#start()
    if (failure && !this.#isClosing) this.#retryLater(failure.problem)
  }

  #retryLater(problem: string): void {
    this.#failed(problem)
    this.#retryTimer = setTimeout(() => void this.#restart(), REOPEN_BACKOFF)
  }

  #failed(problem: string): void {
    this.#problem = problem
    this.#clearAnswerTimer()
    const batches = [...this.#sent.values()]
    const lost = [
      ...batches.map(({ pending }) => pending),
      ...this.#lanes.map(({ gathered }) => gathered),
    ].flat()
    this.#sent.clear()
    for (const lane of this.#lanes) lane.gathered = []
    for (const { onEnd } of batches) onEnd()
    this.#waiting = 0
    for (const { reject } of lost) reject(new StoreUnusable(`LMDB: ${problem}`))
    if (!this.#isClosing) this.#watch.onLost(problem)
  }

  /** Has the next process move the environment's files aside. */
  #markDamaged(problem: string): void {
    const file = this.#openFile
    this.#damage = { problem, at: this.#now(), ...(file === undefined ? {} : { file }) }
  }
}

/** Kills a process and does not wait for its end: while it waits for a disk, it may not end. */
function letGo(child: ChildProcess): void {
  child.kill('SIGKILL')
  if (child.connected) child.disconnect()
  child.stderr?.destroy()
  child.unref()
}

function exitOf(status: number | null, signal: NodeJS.Signals | null, lastWords: string): Failure {
  if (CRASHES.has(signal)) {
    return { obstacle: 'damage', problem: `reading the file ended in ${signal}`, isCrash: true }
  }
  const words = lastWords.trim().replace(/\s*\n\s*/g, ' ')
  const problem = `the process that has the file open ended with ${signal ?? `status ${status}`}${words && `: ${words}`}`
  return { obstacle: signal === null ? 'lasting' : 'passing', problem }
}
