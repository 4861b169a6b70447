// The log: one line per outcome and per event, as text (key=value) or JSON, on standard output. It never waits for its
// reader (journald, docker): while the reader is stuck, lines are dropped and counted, and mail flows.

import { constants, fstatSync, openSync } from 'node:fs'
import sonicBoom from 'sonic-boom'
import type { Outcome } from '../outcome.ts'
import { formOf, type LineForm, PRIORITIES } from './form.ts'

/** Levels in ascending order; a line is shown at the level of the settings and above. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LogSettings {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
}

/** Fields of one line, in their order; fields that are `undefined` are left out. */
export type Fields = Readonly<Record<string, string | number | undefined>>

/** Writes lines. */
export interface Log {
  event(level: LogLevel, message: string, fields?: Fields): void
  /** Writes an outcome at level info. */
  outcome(outcome: Outcome): void
}

/** Receives whole lines, each with its line break. */
export interface LogFile {
  /** What a line needs besides its fields; nothing, if absent. */
  readonly form?: LineForm
  write(line: string): void
}

/** Lines are written together once they have this many bytes, or after this many milliseconds. */
const FLUSH_BYTES = 12 * 1024
const FLUSH_INTERVAL = 100

/** Largest buffer for a reader that is stuck, in bytes; lines beyond it are dropped. */
const MAX_BUFFERED = 8 * 1024 * 1024

const STANDARD_OUTPUT = 1

/** Standard output, buffered. `close` writes the rest, as far as it can be written without waiting. */
export class StandardOutput implements LogFile {
  readonly form = formOf(STANDARD_OUTPUT)
  readonly #file = new sonicBoom.SonicBoom({
    fd: openOutput(),
    retryEAGAIN: () => !this.#isClosing,
    sync: false,
    minLength: FLUSH_BYTES,
    periodicFlush: FLUSH_INTERVAL,
    maxLength: MAX_BUFFERED,
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
      if (dropped > 0)
        this.write(
          `${headOf(this.form, 'warn')}level=warn msg="log lines were dropped, as their reader took none: mail was not held up" count=${dropped}\n`,
        )
    })
  }

  write(line: string): void {
    // Outcomes come in batches, so that the lines of one turn of the event loop are joined.
    if (this.#lines === '') setImmediate(() => this.#handOver())
    this.#lines += line
  }

  close(): void {
    this.#isClosing = true
    try {
      this.#handOver()
      this.#file.flushSync()
    } catch {
      // The reader is gone, and the log was the place to say so.
    }
  }

  #handOver(): void {
    const lines = this.#lines
    this.#lines = ''
    if (lines !== '') this.#file.write(lines)
  }
}

/**
 * Returns the descriptor of standard output. A pipe is opened anew, so that writing never blocks: a blocked write would
 * hold a thread of Node's pool, and delay the end of the process, for as long as the reader is stuck.
 */
function openOutput(): number {
  if (!fstatSync(STANDARD_OUTPUT).isFIFO()) return STANDARD_OUTPUT
  return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK)
}

/** Returns a log that writes to `file`. `settings` is called for each line, so that a reload takes effect at once. */
export function createLog(file: LogFile, settings: () => LogSettings): Log {
  const { form = 'plain' } = file
  const write = (level: LogLevel, fields: Fields) => {
    // A line of JSON has its time within.
    if (settings().format === 'text') file.write(headOf(form, level) + textLine(fields))
    else file.write((form === 'journal' ? PRIORITIES[level] : '') + jsonLine(fields))
  }
  const isShown = (level: LogLevel) => LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(settings().level)
  return {
    event(level, message, fields = {}) {
      if (isShown(level)) write(level, { level, msg: message, ...fields })
    },
    outcome(outcome) {
      if (isShown('info')) write('info', outcomeFields(outcome))
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
    evidence: outcome.evidence,
    hint: outcome.hint,
    store: outcome.store,
    error: outcome.error,
  }
}

/** Matches values that need no quotes after `key=`: printable ASCII but space, quote, equals sign and backslash. */
const BARE = /^[!#-<>-[\]-~]+$/
/** Matches characters that would disturb a terminal, end the line, or change the order in which it is shown. */
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu

/** What stands before a line of text: a priority, or the time by RFC 3339 and a space. */
function headOf(form: LineForm, level: LogLevel): string {
  if (form === 'journal') return PRIORITIES[level]
  return form === 'stamped' ? `${new Date().toISOString()} ` : ''
}

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

/** Escapes characters that JSON leaves as they are, though they may mislead a reader. */
function visible(json: string): string {
  return json.replace(INVISIBLE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function seconds(count: number): string {
  return `${count}s`
}
