// Reads what stands before the message of a log line: time, host, program and process, as syslog daemons, journalctl
// and docker write it. What the message means is left to greymx.ts, postfix.ts and sendmail.ts.
// Sources: RFC 3164 section 4.1, systemd.journal-fields(7), systemd's JOURNAL_EXPORT_FORMATS, docker's json-file.

import { decodeText } from '../../milter/text.ts'
import type { Findings } from './findings.ts'
import type { FileLine } from './lines.ts'
import type { Place } from './logged.ts'
import { readStamp, type Stamp, type StampClock } from './stamp.ts'

/** A line of a log, taken apart. */
export interface LogLine {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly stamp: Stamp
  readonly host: string
  /** `''` when the line names none. */
  readonly program: string
  /** The number of the process as text; `''` when the line names none. */
  readonly process: string
  readonly text: string
  readonly place: Place
}

type Message = Pick<LogLine, 'host' | 'program' | 'process' | 'text'>

/** Takes the lines of one file apart, in their order. */
export class HeadReader {
  readonly #file: string
  readonly #clock: StampClock
  readonly #findings: Findings
  /** The fields so far of a record in the journal's export format. */
  #record: Map<string, string> | undefined

  constructor(file: string, clock: StampClock, findings: Findings) {
    this.#file = file
    this.#clock = clock
    this.#findings = findings
  }

  /** The line, or `undefined` when it is none by itself; what cannot be read is counted. */
  read(line: FileLine): LogLine | undefined {
    const place = { file: this.#file, line: line.number }
    if ('fault' in line) {
      this.#findings.count(line.fault, place)
      return undefined
    }
    const { text } = line
    if (this.#record || text.startsWith('__CURSOR=')) return this.#readExport(text, place)
    // journalctl tells of boots and of gaps in lines of its own.
    if (text === '' || text.startsWith('-- ')) return undefined
    if (text.startsWith('{')) return this.#readJson(text, place)
    const stamp = readStamp(text)
    if (!stamp) {
      this.#findings.count('no-time', place)
      return undefined
    }
    return this.#stamped(stamp, readMessage(text.slice(stamp.end)), place)
  }

  #stamped(stamp: Stamp, message: Message, place: Place): LogLine {
    // greymx's own time in its JSON tells more than the stamp of a syslog daemon, which may have no fraction.
    const own = ownTime(message.text) ?? stamp
    const { host, program, process, text } = message
    return { at: this.#clock.instantOf(own), stamp: own, host, program, process, text, place }
  }

  /** A line of JSON: of greymx, of journalctl -o json, or of docker's json-file. */
  #readJson(text: string, place: Place): LogLine | undefined {
    const own = ownTime(text)
    if (own) return this.#stamped(own, { host: '', program: '', process: '', text }, place)
    const fields = parseObject(text)
    const time = textOf(fields?.time)
    const log = textOf(fields?.log)
    if (time !== undefined && log !== undefined) {
      const stamp = readStamp(time)
      const message = { host: '', program: '', process: '', text: log.replace(/\r?\n$/, '') }
      if (stamp) return this.#stamped(stamp, message, place)
    }
    const record = new Map<string, string>()
    for (const name of JOURNAL_FIELDS) {
      const value = fields?.[name]
      // journalctl writes what is no UTF-8 as a list of bytes.
      const text = Array.isArray(value) ? decodeText(Buffer.from(value)) : textOf(value)
      if (text !== undefined) record.set(name, text)
    }
    return this.#journalled(record, place)
  }

  /** A line of journalctl -o export: a field, or the empty line that ends a record. */
  #readExport(text: string, place: Place): LogLine | undefined {
    this.#record ??= new Map()
    if (text === '') {
      const record = this.#record
      this.#record = undefined
      return this.#journalled(record, place)
    }
    const equals = text.indexOf('=')
    const name = text.slice(0, Math.max(equals, 0))
    if (JOURNAL_FIELDS.includes(name)) this.#record.set(name, text.slice(equals + 1))
    return undefined
  }

  #journalled(record: ReadonlyMap<string, string>, place: Place): LogLine | undefined {
    const [, microseconds] = /^(\d{4,17})$/.exec(record.get('__REALTIME_TIMESTAMP') ?? '') ?? []
    if (microseconds === undefined) {
      this.#findings.count('no-time', place)
      return undefined
    }
    const text = record.get('MESSAGE')
    if (text === undefined) {
      // The journal keeps messages with line breaks or control characters in a binary form, which no MTA's line needs.
      this.#findings.count('binary', place)
      return undefined
    }
    const at = Math.floor(Number(microseconds) / 1000)
    const message = {
      host: record.get('_HOSTNAME') ?? '',
      program: record.get('SYSLOG_IDENTIFIER') ?? '',
      process: record.get('_PID') ?? record.get('SYSLOG_PID') ?? '',
      text,
    }
    return this.#stamped({ kind: 'instant', at, end: 0, isWholeSecond: false }, message, place)
  }
}

/** The fields of the journal that are read. */
const JOURNAL_FIELDS = [
  '__REALTIME_TIMESTAMP',
  '_HOSTNAME',
  'SYSLOG_IDENTIFIER',
  '_PID',
  'SYSLOG_PID',
  'MESSAGE',
]

/** A program's name has none of the marks of greymx's own fields, which may stand there instead. */
const PROGRAM = /^([^\s[\]{}"=]+?)(?:\[(\d+)\])?:$/

/** The message behind the time: `HOST PROGRAM[PROCESS]: TEXT`, without the host, or the text alone. */
function readMessage(rest: string): Message {
  const space = rest.indexOf(' ')
  const first = space === -1 ? rest : rest.slice(0, space)
  const alone = readProgram('', first, rest, space)
  if (alone) return alone
  const secondEnd = space === -1 ? -1 : rest.indexOf(' ', space + 1)
  const second = secondEnd === -1 ? rest.slice(space + 1) : rest.slice(space + 1, secondEnd)
  const named = space > 0 ? readProgram(first, second, rest, secondEnd) : undefined
  return named ?? { host: '', program: '', process: '', text: rest }
}

/** The message whose program is `word`, which ends at `end` of `rest`; -1 is the end of the line. */
function readProgram(host: string, word: string, rest: string, end: number): Message | undefined {
  if (!word.endsWith(':')) return undefined
  const [, program, process = ''] = PROGRAM.exec(word) ?? []
  if (program === undefined) return undefined
  return { host, program, process, text: end === -1 ? '' : rest.slice(end + 1) }
}

const OWN_TIME = /^\{"time":"([0-9T:.Z-]{20,35})"/

/** The time with which a line of greymx's JSON begins. */
function ownTime(text: string): Stamp | undefined {
  const [, time] = text.startsWith('{') ? (OWN_TIME.exec(text) ?? []) : []
  return time === undefined ? undefined : readStamp(time)
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
