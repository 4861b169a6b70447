// greymx report: asks the running daemon what greylisting held back, and prints it, also as a message for cron.

import { hostname } from 'node:os'
import { inWords } from '../operator/in-words.ts'
import type { ShownLost, ShownReport } from '../operator/report.ts'
import { type CallValues, callDaemon } from './call.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { print } from './output.ts'
import { localTime } from './times.ts'

/** Prints the report; with `isMail` as a message with headers, for `sendmail -t`. */
export async function report(
  values: CallValues & { readonly isMail: boolean },
  params: object,
): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'report', params)
  if ('status' in answered) return answered.status
  const found = answered.answer as ShownReport
  if (values.json) print(`${JSON.stringify(found)}\n`)
  else print(`${values.isMail ? headersOf(found) : ''}${textOf(found)}`)
  return EXIT.ok
}

function headersOf({ deferred, neverReturned }: ShownReport): string {
  return `To: postmaster\nSubject: greymx on ${hostname()}: ${deferred} deferred, ${neverReturned} never returned\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n`
}

function textOf(found: ShownReport): string {
  const { since, until, deferred, returned, waiting, neverReturned, proven, delays, overAnHour, lost } = found
  if (deferred === 0)
    return `No first message was deferred from ${localTime(since)} to ${localTime(until)}.\n`
  const lines = [
    `From ${localTime(since)} to ${localTime(until)}, as far as it was noted:`,
    '',
    `${number(deferred)} first messages were deferred`,
    `${number(returned)} came back and passed`,
    `${number(waiting)} may still come back`,
    `${number(neverReturned)} never came back, ${percent(neverReturned, deferred)} of all`,
    `${number(proven.deferred)} were of proven senders, of which ${percent(proven.returned, proven.deferred)} came back`,
  ]
  if (delays)
    lines.push(
      '',
      `Half of those that came back had waited less than ${inWords(delays.half)}, nine of ten less than ${inWords(delays.nineOfTen)}, the longest ${inWords(delays.longest)}.`,
      `${number(overAnHour)} waited longer than an hour`,
    )
  if (lost.length > 0)
    lines.push('', 'Never came back, and looks wanted, most likely first:', '', ...lost.map(lineOf))
  return `${lines.join('\n')}\n`
}

function lineOf({ ref, at, sender, recipient, client, name, signs, allow }: ShownLost): string {
  const from = name === undefined ? client : `${client} (${name})`
  return [
    `${ref}  ${localTime(at)}  ${sender || '<>'} to ${recipient ?? 'anybody'}, from ${from}`,
    `          because ${signs.join(', ')}`,
    `          greymx allow ${allow.map(quoted).join(' ')}`,
  ].join('\n')
}

/** A word as a shell reads it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

function number(count: number): string {
  return String(count).padStart(7)
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${Math.round((part / whole) * 100)} %`
}
