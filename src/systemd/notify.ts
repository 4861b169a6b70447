// What a service manager is told of us: that we are ready, that we read our settings again, that we stop, and that the
// event loop turns. Source: systemd, sd_notify(3), sd_watchdog_enabled(3).
//
// Each message goes out through systemd-notify(1), which is there wherever systemd is: it is a datagram to a unix
// socket, which Node.js cannot send. The native addons that could are compiled at installation, or bring a library of
// their own for each kind of machine, into a process that needs a few datagrams a minute.

import { execFile } from 'node:child_process'
import { messageOf } from '../message.ts'

/** Of systemd-notify, which waits until its message was taken, in milliseconds. */
const TIMEOUT = 5_000

/** Assignments like `READY=1`. */
type Message = readonly string[]

/** Does nothing where there is no service manager that wants to know. */
export class Notifier {
  readonly #environment: NodeJS.ProcessEnv | undefined
  readonly #onProblem: (problem: string) => void
  /** Milliseconds between two signs of life; absent where none are asked for. */
  readonly #interval: number | undefined
  #timer: NodeJS.Timeout | undefined
  #waiting = 0
  #sent: Promise<void> = Promise.resolve()
  #fails = false

  /**
   * Takes the variables that say whom to tell, and what, out of `environment`. `onProblem` is told when messages begin
   * not to get through.
   */
  constructor(environment: NodeJS.ProcessEnv, pid: number, onProblem: (problem: string) => void) {
    const { NOTIFY_SOCKET, WATCHDOG_USEC = '', WATCHDOG_PID = String(pid), PATH } = environment
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name]
    this.#onProblem = onProblem
    if (NOTIFY_SOCKET) this.#environment = { NOTIFY_SOCKET, ...(PATH === undefined ? {} : { PATH }) }
    const isWatched = /^[1-9]\d{0,15}$/.test(WATCHDOG_USEC) && WATCHDOG_PID === String(pid)
    if (isWatched) this.#interval = Number(WATCHDOG_USEC) / 1000 / 2
  }

  /** We serve, and go on showing that we are alive; `status` is a line for whoever asks. */
  ready(status: string): void {
    this.#send(['READY=1', `STATUS=${status}`])
    if (this.#interval !== undefined) {
      this.#timer ??= setInterval(() => this.#showLife(), this.#interval)
    }
  }

  /** Until the next `ready`. */
  reloading(): void {
    const now = process.hrtime.bigint() / 1000n // CLOCK_MONOTONIC
    this.#send(['RELOADING=1', `MONOTONIC_USEC=${now}`, 'STATUS=reading its settings again'])
  }

  stopping(): void {
    this.#send(['STOPPING=1', 'STATUS=stopping: open SMTP sessions may end'])
  }

  /** Resolves when what was told has got through, or cannot. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#sent
  }

  #showLife(): void {
    // What still waits says no less, and a manager that does not take it is not helped by more.
    if (this.#waiting === 0) this.#send(['WATCHDOG=1'])
  }

  /** One after another: READY before RELOADING means another thing than after it. */
  #send(message: Message): void {
    const environment = this.#environment
    if (!environment) return
    this.#waiting += 1
    this.#sent = this.#sent.then(async () => {
      const problem = await notify(message, environment)
      this.#waiting -= 1
      if (problem !== undefined && !this.#fails) this.#onProblem(problem)
      this.#fails = problem !== undefined
    })
  }
}

/** What went wrong, if anything did. */
function notify(message: Message, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('systemd-notify', message, { env, timeout: TIMEOUT }, (error, _stdout, stderr) => {
      resolve(error ? stderr.trim() || messageOf(error) : undefined)
    })
  })
}
