// Tells the service manager that we are ready, that we reload our settings, that we stop, and, for its watchdog, that
// the event loop turns. When to say so is left to the caller.
// Source: systemd, sd_notify(3), sd_watchdog_enabled(3).
//
// A message is a datagram to a unix socket, which Node.js cannot send. We send it through systemd-notify(1), which is
// installed wherever systemd is. Native addons that could send it are compiled at installation, or bring a library for
// each kind of machine, and all that for a few datagrams a minute.

import { execFile } from 'node:child_process'
import { messageOf } from '../errors.ts'

/** Time-out of systemd-notify in milliseconds; it waits until the service manager has taken the message. */
const NOTIFY_TIMEOUT = 5_000

/** Assignments of sd_notify(3), like `READY=1`. */
type Message = readonly string[]

/** Sends messages to the service manager, in order; does nothing if none asks for them. */
export class Notifier {
  readonly #environment: NodeJS.ProcessEnv | undefined
  readonly #onProblem: (problem: string) => void
  /** Milliseconds between two messages to the watchdog; absent if the service manager has none for us. */
  readonly #watchdogInterval: number | undefined
  #watchdogTimer: NodeJS.Timeout | undefined
  #unsent = 0
  #lastSent: Promise<void> = Promise.resolve()
  #isFailing = false

  /**
   * Removes the service manager's variables from `environment`. Calls `onProblem` when a message fails, and again only
   * after one has got through.
   */
  constructor(environment: NodeJS.ProcessEnv, pid: number, onProblem: (problem: string) => void) {
    const { NOTIFY_SOCKET, WATCHDOG_USEC = '', WATCHDOG_PID = String(pid), PATH } = environment
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name]
    this.#onProblem = onProblem
    if (NOTIFY_SOCKET) this.#environment = { NOTIFY_SOCKET, ...(PATH === undefined ? {} : { PATH }) }
    const isWatched = /^[1-9]\d{0,15}$/.test(WATCHDOG_USEC) && WATCHDOG_PID === String(pid)
    if (isWatched) this.#watchdogInterval = Number(WATCHDOG_USEC) / 1000 / 2
  }

  /** Tells that we serve, and starts the messages to the watchdog; `systemctl status` shows `status`. */
  ready(status: string): void {
    this.#send(['READY=1', `STATUS=${status}`])
    if (this.#watchdogInterval !== undefined) {
      this.#watchdogTimer ??= setInterval(() => this.#pingWatchdog(), this.#watchdogInterval)
    }
  }

  /** Tells that we reload our settings, which lasts until the next `ready`. */
  reloading(): void {
    const now = process.hrtime.bigint() / 1000n // CLOCK_MONOTONIC
    this.#send(['RELOADING=1', `MONOTONIC_USEC=${now}`, 'STATUS=reading the configuration again'])
  }

  /** Tells that we are shutting down. */
  stopping(): void {
    this.#send(['STOPPING=1', 'STATUS=stopping: waiting for open SMTP sessions to finish'])
  }

  /** Resolves when all messages were taken or have failed. */
  async close(): Promise<void> {
    clearInterval(this.#watchdogTimer)
    await this.#lastSent
  }

  #pingWatchdog(): void {
    // A message that still waits tells as much, and a service manager that does not take it is not helped by more.
    if (this.#unsent === 0) this.#send(['WATCHDOG=1'])
  }

  /** Messages go out one after another: READY before RELOADING means another thing than after it. */
  #send(message: Message): void {
    const environment = this.#environment
    if (!environment) return
    this.#unsent += 1
    this.#lastSent = this.#lastSent.then(async () => {
      const problem = await notify(message, environment)
      this.#unsent -= 1
      if (problem !== undefined && !this.#isFailing) this.#onProblem(problem)
      this.#isFailing = problem !== undefined
    })
  }
}

/** Sends `message`; resolves with the problem, or with `undefined` when the service manager took it. */
function notify(message: Message, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('systemd-notify', message, { env, timeout: NOTIFY_TIMEOUT }, (error, _stdout, stderr) => {
      resolve(error ? stderr.trim() || messageOf(error) : undefined)
    })
  })
}
