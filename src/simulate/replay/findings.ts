// What a log cannot tell, and what of it could not be read: counted while it is read, and said in plain sentences, each
// with the first line that it is about. A figure of a replay is worth as much as the log behind it.

import type { Place } from './logged.ts'

/** Something that was found, with the number of its cases and the first of them as FILE:LINE. */
export interface Note {
  readonly kind: FindingKind
  readonly count: number
  readonly first: string
  readonly sentence: string
}

/** `3 lines are`, or `1 line is`. */
function many(count: number, one: string, more: string): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : more}`
}

/** The sentences for each kind, in the order in which they are printed: what is missing first, then what is unsure. */
const SENTENCES = {
  damage: (n) => `${many(n, 'file is', 'files are')} damaged and read up to the damage.`,
  duplicate: (n) =>
    `${many(n, 'file is', 'files are')} given twice, or a copy of another one, and counted once.`,
  'too-long': (n) => `${many(n, 'line is', 'lines are')} longer than 64 KiB and left out.`,
  nul: (n) =>
    `${many(n, 'line with NUL bytes is', 'lines with NUL bytes are')} left out. MTAs write none; a rotation that truncates a ` +
    'file may.',
  binary: (n) =>
    `${many(n, 'record of the journal whose message is', 'records of the journal whose messages are')} no text left out.`,
  'no-time': (n) =>
    `${many(n, 'line without a time in a known form is', 'lines without a time in a known form are')} left out. The text of ` +
    "greymx's own log has times only where journald, docker or a syslog daemon stamps its lines. Months are read in English.",
  malformed: (n) =>
    `${many(n, 'line', 'lines')} of greymx, Postfix or Sendmail left out: cut short, mixed with another line, or of an unknown form.`,
  forged: (n) =>
    `${many(n, 'line', 'lines')} left out, because the addresses can be read in more ways than one, as when a client forges a ` +
    'piece of log.',
  outlier: (n) =>
    `${many(n, 'line', 'lines')} left out, because the time is more than a day ahead of the lines around.`,
  repeated: (n) =>
    `${many(n, 'line stands', 'lines stand')} for several equal ones that a syslog daemon has left out, so that attempts are missing.`,
  late: (n) =>
    `${many(n, 'message was', 'messages were')} not complete within 10 minutes of the log, or before the memory for waiting was ` +
    'used up. What was logged by then is replayed.',
  covered: (n) =>
    `${many(n, 'attempt', 'attempts')} in lines of MTAs left out, because greymx's own lines of that time tell more.`,
  refused: (n) =>
    `${many(n, 'recipient was', 'recipients were')} refused by the MTA or by another filter and left out. A greylister is mostly ` +
    'not asked about these.',
  reinjected: (n) =>
    `${many(n, 'message that came', 'messages that came')} back from a content filter left out. The attempt was the one before.`,
  local: (n) => `${many(n, 'message', 'messages')} submitted on the MTA's own host left out.`,
  'no-client': (n) => `${many(n, 'attempt', 'attempts')} of a client without an IP address left out.`,
  'no-sender': (n) =>
    `${many(n, 'attempt', 'attempts')} left out, because the log does not tell the whole sender. Sendmail cuts it after 200 ` +
    'characters.',
  dropped: (n) =>
    `${many(n, 'message was', 'messages were')} given up by the client after a recipient had passed. Postfix does not log for ` +
    'whom they were, so that these attempts are missing.',
  'no-recipients': (n) =>
    `${many(n, 'recipient is', 'recipients are')} missing. The MTA has logged how many there were, and not who they are.`,
  'after-data': (n) =>
    `${many(n, 'message was', 'messages were')} refused at DATA or later. The log names one recipient of each; others are missing.`,
  'no-recipient': (n) =>
    `${many(n, 'attempt was', 'attempts were')} judged at MAIL FROM, before a recipient was known.`,
  filtered: (n) =>
    `${many(n, 'deferral', 'deferrals')} by filters and policy servers taken for a greylister's. The MTA does not log whose they are.`,
  backwards: (n) =>
    `${many(n, 'attempt is', 'attempts are')} logged more than a second before the one ahead, as when a clock is set back. Its ` +
    'time counts.',
  yearless: (n) =>
    `${many(n, 'attempt has', 'attempts have')} a time without a year. The date of the file tells the year, which turns where ` +
    'months begin anew.',
  zoneless: (n) =>
    `${many(n, 'attempt has', 'attempts have')} a time without a zone, read in the zone of this process. Set TZ for another one. ` +
    'The hour that is repeated when summer time ends is read as one.',
  'whole-seconds': (n) =>
    `${many(n, 'attempt has', 'attempts have')} a time in whole seconds. A client that came back within a second of the delay, or ` +
    'of another limit, may be judged otherwise than it was.',
  'accepted-late': (n) =>
    `${many(n, 'attempt that passed has', 'attempts that passed have')} the time at which Sendmail first logged the message, ` +
    'which is often when it was complete.',
  unnamed: (n) =>
    `${many(n, 'attempt is', 'attempts are')} of a client of which the log has no confirmed host name. It is known by its network.`,
  'no-spf': (n) =>
    `${many(n, 'attempt is', 'attempts are')} judged as if SPF did not pass, because the log does not tell. Host name or network ` +
    'stand for such a client.',
  'no-helo': (n) =>
    `${many(n, 'bounce is', 'bounces are')} of a client whose HELO is not logged. SPF judges bounces by HELO.`,
  rewritten: (n) =>
    `${many(n, 'attempt that passed has', 'attempts that passed have')} sender and recipient as the MTA delivered them: in the ` +
    'order of delivery, after its own rewriting, with members of aliases that it does not log, and with recipients that it added.',
  replaced: (n) =>
    `${many(n, 'attempt has', 'attempts have')} an address with ?, which may stand for a character that Postfix does not log.`,
  observed: (n) =>
    `${many(n, 'attempt was', 'attempts were')} judged by a greymx that observed and deferred nothing. The verdict is the one it ` +
    'would have had, and no retries followed it.',
  'store-failed': (n) =>
    `${many(n, 'attempt was', 'attempts were')} decided while greymx's store failed. Such a verdict is not compared.`,
  callout: (n) =>
    `${many(n, 'bounce', 'bounces')} ended before DATA, as callouts do. Only variants that judge bounces at RCPT judge them.`,
} as const satisfies Readonly<Record<string, (count: number) => string>>

export type FindingKind = keyof typeof SENTENCES

const KINDS = Object.keys(SENTENCES) as FindingKind[]

interface Found {
  count: number
  readonly first: Place
}

/** Counts what is found; what it holds does not grow with the log. */
export class Findings {
  readonly #found = new Map<FindingKind, Found>()

  count(kind: FindingKind, place: Place, number = 1): void {
    if (number <= 0) return
    const found = this.#found.get(kind)
    if (found) found.count += number
    else this.#found.set(kind, { count: number, first: place })
  }

  /** What was found, in the order of the table. */
  notes(): Note[] {
    return KINDS.flatMap((kind) => {
      const found = this.#found.get(kind)
      if (!found) return []
      const { count, first } = found
      return { kind, count, first: `${first.file}:${first.line}`, sentence: SENTENCES[kind](count) }
    })
  }
}
