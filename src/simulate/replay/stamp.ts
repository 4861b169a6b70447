// Reads the time at the beginning of a log line, in every form in which syslog daemons, journalctl and docker write it.
// The forms of syslog that name no zone are read in the zone of this process, and those that name no year get theirs
// from the order of the lines and the date of the file.
// Sources: RFC 3164 section 4.1.2, RFC 3339 section 5.6, journalctl(1) (short, short-iso, short-full, short-unix).

/** The time of a line. */
export type Stamp = InstantStamp | LocalStamp

interface Written {
  /** Index in the line of what stands behind the time and the space after it. */
  readonly end: number
  /** Whether the time has no fraction of a second. */
  readonly isWholeSecond: boolean
}

/** A time with its zone. */
export interface InstantStamp extends Written {
  readonly kind: 'instant'
  /** Milliseconds since 1970. */
  readonly at: number
}

/** A time as a clock on the wall shows it. */
export interface LocalStamp extends Written {
  readonly kind: 'local'
  readonly year: number | undefined
  /** 0 to 11. */
  readonly month: number
  readonly day: number
  readonly hour: number
  /** Milliseconds since the beginning of the hour. */
  readonly sinceHour: number
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** The weekday with which lines of journalctl's short-full begin. */
const WEEKDAY = /^[A-Z][a-z]{2} (?=\d{4}-)/
const ZONE_NAME = /^([A-Z]{2,5}|[+-]\d\d) /
const UNIX = /^(\d{9,11})\.(\d{6}) /

/** The time at the beginning of `line`, or `undefined` when it has none in a known form. */
export function readStamp(line: string): Stamp | undefined {
  if (line.charAt(3) !== ' ') return isDigit(line, 0) ? (readIso(line, 0) ?? readUnix(line)) : undefined
  const [weekday] = WEEKDAY.exec(line) ?? []
  return weekday === undefined ? readClassic(line) : readIso(line, weekday.length)
}

/** `Nov 26 12:36:01`, perhaps with a fraction. */
function readClassic(line: string): Stamp | undefined {
  const date = {
    year: undefined,
    month: MONTHS.indexOf(line.slice(0, 3)),
    day: line.charAt(4) === ' ' ? numberAt(line, 5, 1) : numberAt(line, 4, 2),
  }
  const time = timeAt(line, 7)
  if (line.charAt(6) !== ' ' || !isDate(date) || !time || line.charAt(time.end) !== ' ') return undefined
  return { kind: 'local', ...date, ...time, end: time.end + 1 }
}

/** `2026-11-26T12:36:01`, perhaps with a fraction and a zone; behind a weekday, the zone is a name. */
function readIso(line: string, start: number): Stamp | undefined {
  const separators = `${line.charAt(start + 4)}${line.charAt(start + 7)}${line.charAt(start + 10)}`
  if (separators !== '--T' && separators !== '-- ') return undefined
  const date = {
    year: numberAt(line, start, 4),
    month: numberAt(line, start + 5, 2) - 1,
    day: numberAt(line, start + 8, 2),
  }
  const time = timeAt(line, start + 11)
  if (Number.isNaN(date.year) || !isDate(date) || !time) return undefined
  const zone = start === 0 ? zoneAt(line, time.end) : namedZoneAt(line, time.end)
  if (zone.end < line.length && line.charAt(zone.end) !== ' ') return undefined
  const end = zone.end + 1
  if (zone.offset === undefined) return { kind: 'local', ...date, ...time, end }
  const hour = Date.UTC(date.year, date.month, date.day, time.hour)
  return { kind: 'instant', at: hour + time.sinceHour - zone.offset, end, isWholeSecond: time.isWholeSecond }
}

/** Seconds since 1970 with six digits behind the dot. */
function readUnix(line: string): Stamp | undefined {
  const [all, seconds, microseconds = ''] = UNIX.exec(line) ?? []
  if (all === undefined) return undefined
  const at = Number(seconds) * 1000 + Number(microseconds.slice(0, 3))
  return { kind: 'instant', at, end: all.length, isWholeSecond: false }
}

function isDate({ month, day }: { readonly month: number; readonly day: number }): boolean {
  return day >= 1 && day <= (DAYS[month] ?? 0)
}

interface TimeOfDay {
  readonly hour: number
  readonly sinceHour: number
  readonly isWholeSecond: boolean
  /** Index behind it. */
  readonly end: number
}

/** `12:36:01`, perhaps with a fraction; second 60 is a leap second. */
function timeAt(line: string, start: number): TimeOfDay | undefined {
  if (line.charAt(start + 2) !== ':' || line.charAt(start + 5) !== ':') return undefined
  const hour = numberAt(line, start, 2)
  const minute = numberAt(line, start + 3, 2)
  const second = numberAt(line, start + 6, 2)
  if (!(hour < 24 && minute < 60 && second <= 60)) return undefined
  const sinceHour = minute * 60_000 + second * 1000
  const mark = line.charAt(start + 8)
  if (mark !== '.' && mark !== ',') return { hour, sinceHour, isWholeSecond: true, end: start + 8 }
  let end = start + 9
  while (isDigit(line, end)) end += 1
  const thousandths = Number(line.slice(start + 9, Math.min(end, start + 12)).padEnd(3, '0'))
  return { hour, sinceHour: sinceHour + thousandths, isWholeSecond: false, end }
}

interface Zone {
  /** Distance from UTC in milliseconds; absent when the line names no zone that is known. */
  readonly offset: number | undefined
  readonly end: number
}

/** A zone like Z, +0100 or -03:30. */
function zoneAt(line: string, start: number): Zone {
  const sign = line.charAt(start)
  if (sign === 'Z') return { offset: 0, end: start + 1 }
  if (sign !== '+' && sign !== '-') return { offset: undefined, end: start }
  const minutesAt = line.charAt(start + 3) === ':' ? start + 4 : start + 3
  const minutes = numberAt(line, start + 1, 2) * 60 + numberAt(line, minutesAt, 2)
  if (Number.isNaN(minutes)) return { offset: undefined, end: start }
  return { offset: (sign === '-' ? -minutes : minutes) * 60_000, end: minutesAt + 2 }
}

/** A space and the name of a zone. All names but UTC are those of the zone of whoever ran journalctl. */
function namedZoneAt(line: string, start: number): Zone {
  const [named, name] = ZONE_NAME.exec(line.slice(start + 1, start + 8)) ?? []
  if (named === undefined) return { offset: undefined, end: start }
  return { offset: name === 'UTC' ? 0 : undefined, end: start + named.length }
}

/** The number in so many digits, or NaN. */
function numberAt(line: string, start: number, digits: number): number {
  let number = 0
  for (let index = start; index < start + digits; index += 1) {
    if (!isDigit(line, index)) return Number.NaN
    number = number * 10 + line.charCodeAt(index) - DIGIT_ZERO
  }
  return number
}

function isDigit(line: string, index: number): boolean {
  const code = line.charCodeAt(index)
  return code >= DIGIT_ZERO && code <= DIGIT_NINE
}

const DIGIT_ZERO = 0x30
const DIGIT_NINE = 0x39

/** Gives the stamps of one file, in their order, their instants. */
export class StampClock {
  readonly #firstYear: number
  /** Turns of the year so far. */
  #turns = 0
  #month: number | undefined
  /** The hour of the last local stamp and its instant, since asking for the zone takes time. */
  #hour = { key: '', at: 0 }

  /** `firstYear` is the year of the first line that names none. */
  constructor(firstYear: number) {
    this.#firstYear = firstYear
  }

  /** The instant, in milliseconds since 1970. */
  instantOf(stamp: Stamp): number {
    if (stamp.kind === 'instant') return stamp.at
    const { month, day, hour, sinceHour } = stamp
    const year = stamp.year ?? this.#firstYear + this.#turnsAt(month)
    const key = `${year} ${month} ${day} ${hour}`
    if (key !== this.#hour.key) this.#hour = { key, at: new Date(year, month, day, hour).getTime() }
    return this.#hour.at + sinceHour
  }

  /**
   * The turns of the year until a line of this month. Lines may be a little out of order, so that a line of the month
   * before is no turn, and a line of December behind one of January belongs to the old year.
   */
  #turnsAt(month: number): number {
    const step = month - (this.#month ?? month)
    if (step === 11) return this.#turns - 1
    if (step < -1) this.#turns += 1
    if (step !== -1) this.#month = month
    return this.#turns
  }
}

/** The instant `years` later, at the same time of the year in the zone of this process. */
export function yearsLater(at: number, years: number): number {
  const date = new Date(at)
  return date.setFullYear(date.getFullYear() + years)
}
