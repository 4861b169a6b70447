// What a filter answers, as bytes. The three answers are all there are: greymx has no way to reject or discard.
// Source: libmilter smfi_setreply and smfi_addheader pages; sendmail 8.17 libmilter/smfi.c; Postfix milter8.c
// (milter8_event, SMFIR_REPLYCODE), which drops the filter for the session when a reply text is malformed.

import { REPLIES } from './codes.ts'
import { cString } from './command.ts'
import { encodeFrame } from './frame.ts'

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9

/** 400 to 459 without 421, which ends the SMTP session: no other code can be written down, let alone sent. */
export type TemporaryCode = Exclude<`4${0 | 1 | 2 | 3 | 4 | 5}${Digit}`, '421'>

/** An RFC 3463 status of class 4. */
export type TemporaryStatus = `4.${number}.${number}`

/** A 4xx reply of several lines at most; `enhanced` is given on each line. */
export interface SmtpReply {
  readonly code: TemporaryCode
  readonly enhanced?: TemporaryStatus
  readonly lines: readonly string[]
}

export type Reply =
  | { readonly kind: 'continue' }
  | { readonly kind: 'tempfail' }
  | { readonly kind: 'smtp'; readonly reply: SmtpReply }

/** Longest SMTP reply line in octets, CRLF included (RFC 5321 section 4.5.3.1.5). */
const MAX_LINE = 512

/** What both MTAs read as an enhanced code behind the reply code (Postfix dsn_valid, Sendmail's isenhsc). */
const STATUS = /^\d\.\d+\.\d+/

const CONTINUE = encodeFrame(REPLIES.continue)
const TEMPFAIL = encodeFrame(REPLIES.tempfail)

/** The frame for a reply; an SMTP text is made safe first: printable ASCII only, lines cut at RFC 5321's limit. */
export function encodeReply(reply: Reply): Buffer {
  switch (reply.kind) {
    case 'continue':
      return CONTINUE
    case 'tempfail':
      return TEMPFAIL
    case 'smtp':
      return encodeFrame(REPLIES.replyCode, cString(escapePercent(smtpLines(reply.reply).join('\r\n'))))
  }
}

/** The reply's lines as the SMTP client will see them, without CRLF. */
export function smtpLines({ code, enhanced, lines }: SmtpReply): string[] {
  return lines.map((line, index) => {
    const separator = index < lines.length - 1 ? '-' : ' '
    // Text that begins like an enhanced code would be taken for one, of whatever class: it may come from an address.
    const status = enhanced ? `${enhanced} ` : STATUS.test(line) ? '- ' : ''
    const start = `${code}${separator}${status}`
    return `${start}${line.replace(/[^\x20-\x7e]/g, '?')}`.slice(0, MAX_LINE - 2)
  })
}

export type Header = readonly [name: string, value: string]

/** Asks the MTA to add a header at the end of the message's own (SMFIR_ADDHEADER); allowed at end of message only. */
export function encodeAddHeader([name, value]: Header): Buffer {
  return encodeFrame(REPLIES.addHeader, Buffer.concat([cString(name), cString(value)]))
}

/** Both MTAs read the text as a format: a single `%` makes Sendmail answer a permanent 550, and Postfix swallows it. */
function escapePercent(line: string): string {
  return line.replaceAll('%', '%%')
}
