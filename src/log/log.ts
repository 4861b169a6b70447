// The log: one line per outcome and per event, as text (key=value) or JSON, on standard output. Written without ever
// waiting for whoever reads it: when the reader stands still, lines are dropped and counted, not mail.

import { constants, fstatSync, openSync } from 'node:fs'
import sonicBoom from 'sonic-boom'
import type { Outcome } from '../outcome.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LogSettings {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
}

/** Fields of one line, in order; those that are `undefined` are left out. */
export type Fields = Readonly<Record<string, string | number | undefined>>

export interface Log {
  event(level: LogLevel, message: string, fields?: Fields): void
  outcome(outcome: Outcome): void
}

export interface LogFile {
  write(line: string): void
}

/** Lines leave together, after so many bytes or milliseconds. */
const FLUSH_BYTES = 12 * 1024
const FLUSH_AFTER = 100

/** What may wait for a reader that stands still, in bytes. */
const MAX_WAITING = 8 * 1024 * 1024

/** `close` writes what still waits, as far as it can be written at once. */
export class StandardOutput implements LogFile {
  readonly #file = new sonicBoom.SonicBoom({
    fd: openOutput(),
    retryEAGAIN: () => !this.#isClosing,
    sync: false,
    minLength: FLUSH_BYTES,
    periodicFlush: FLUSH_AFTER,
    maxLength: MAX_WAITING,
  })
  #isClosing = false
  #dropped = 0
  #lines = ''

  constructor() {
    this.#file.on('drop', () => {
      this.#dropped += 1
    })
    // A closed pipe or a full disk ends the log, never the service.
    this.#file.on('error', () => undefined)
    this.#file.on('drain', () => {
      const dropped = this.#dropped
      this.#dropped = 0
      if (dropped > 0) this.write(`level=warn msg="lines of this log were dropped" count=${dropped}\n`)
    })
  }

  write(line: string): void {
    // Lines written together are handed over together: outcomes come in batches.
    if (this.#lines === '') setImmediate(() => this.#handOver())
    this.#lines += line
  }

  close(): void {
    this.#isClosing = true
    try {
      this.#handOver()
      this.#file.flushSync()
    } catch {
      // Nobody reads any more; there is nowhere left to say so.
    }
  }

  #handOver(): void {
    const lines = this.#lines
    this.#lines = ''
    if (lines !== '') this.#file.write(lines)
  }
}

/**
 * Standard output; a pipe is opened anew so that writing never blocks. A blocked write would hold a thread of Node's
 * pool, and the end of the process with it, for as long as the reader stands still.
 */
function openOutput(): number {
  if (!fstatSync(1).isFIFO()) return 1
  return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK)
}

/** `settings` is asked at each line, so that a reload takes effect at once. */
export function createLog(file: LogFile, settings: () => LogSettings): Log {
  const write = (fields: Fields) => {
    file.write(settings().format === 'json' ? jsonLine(fields) : textLine(fields))
  }
  const isShown = (level: LogLevel) => LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(settings().level)
  return {
    event(level, message, fields = {}) {
      if (isShown(level)) write({ level, msg: message, ...fields })
    },
    outcome(outcome) {
      if (isShown('info')) write(outcomeFields(outcome))
    },
  }
}

function outcomeFields(outcome: Outcome): Fields {
  const { client, sender, recipient, mta, queueId } = outcome.attempt
  return {
    verdict: outcome.verdict,
    reason: outcome.reason,
    would: outcome.would && 'tempfail',
    would_reason: outcome.would,
    client: client.address?.text ?? 'unknown',
    name: client.name,
    identity: outcome.identity,
    rule: outcome.rule,
    sender: sender.text || '<>',
    recipient: recipient?.text,
    waited: seconds(Math.floor(outcome.waited / 1000)),
    retry_in: seconds(Math.ceil(outcome.retryIn / 1000)),
    ref: outcome.ref,
    mta,
    id: queueId,
    hint: outcome.hint,
    store: outcome.store,
    error: outcome.error,
  }
}

/** What may stand bare after `key=`: printable ASCII but space, quote, equals sign and backslash. */
const BARE = /^[!#-<>-[\]-~]+$/
/** What would disturb a terminal, end the line, or show it in another order than it has. */
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu

/** Without the time: whoever keeps the log (journald, docker) stamps each line. */
function textLine(fields: Fields): string {
  let line = ''
  for (const key in fields) {
    const value = fields[key]
    if (value !== undefined) line += `${line === '' ? '' : ' '}${key}=${quoted(value)}`
  }
  return `${line}\n`
}

function jsonLine(fields: Fields): string {
  return `${visible(JSON.stringify({ time: new Date().toISOString(), ...fields }))}\n`
}

function quoted(value: string | number): string {
  const text = String(value)
  if (BARE.test(text)) return text
  return visible(JSON.stringify(text))
}

/** Escapes in JSON what JSON itself leaves as it is, though it may mislead whoever reads it. */
function visible(json: string): string {
  return json.replace(INVISIBLE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function seconds(count: number): string {
  return `${count}s`
}
