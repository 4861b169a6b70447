// Encodes a filter's replies. The three kinds of `Reply` are all that exist: greymx has no way to reject or discard.
// Which reply is given is left to the handler.
// Source: libmilter smfi_setreply and smfi_addheader pages; sendmail 8.17 libmilter/smfi.c; Postfix milter8.c
// (milter8_event, SMFIR_REPLYCODE), which drops the filter for the session when a reply text is malformed.

import { REPLIES } from './codes.ts'
import { cString } from './command.ts'
import { encodeFrame } from './frame.ts'

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9

/** The codes 400 to 459 without 421, which ends the SMTP session; the type excludes every other code. */
export type TemporaryCode = Exclude<`4${0 | 1 | 2 | 3 | 4 | 5}${Digit}`, '421'>

/** An RFC 3463 status of class 4. */
export type TemporaryStatus = `4.${number}.${number}`

/** A 4xx reply of one or more lines; `enhanced` is repeated on each line. */
export interface SmtpReply {
  readonly code: TemporaryCode
  readonly enhanced?: TemporaryStatus
  readonly lines: readonly string[]
}

/** What a filter answers: go on, a tempfail in the MTA's own words, or a reply in ours. */
export type Reply =
  | { readonly kind: 'continue' }
  | { readonly kind: 'tempfail' }
  | { readonly kind: 'smtp'; readonly reply: SmtpReply }

/** The reply with which a filter lets the MTA go on. */
export const CONTINUE: Reply = { kind: 'continue' }

/** Longest SMTP reply line in octets, CRLF included (RFC 5321 section 4.5.3.1.5). */
const MAX_REPLY_LINE = 512

/** What both MTAs read as an enhanced code after the reply code (Postfix dsn_valid, Sendmail's isenhsc). */
const ENHANCED_CODE = /^\d\.\d+\.\d+/

const CONTINUE_FRAME = encodeFrame(REPLIES.continue)
const TEMPFAIL_FRAME = encodeFrame(REPLIES.tempfail)

/** The frame for a reply; an SMTP text is reduced to printable ASCII, and its lines are cut at RFC 5321's limit. */
export function encodeReply(reply: Reply): Buffer {
  switch (reply.kind) {
    case 'continue':
      return CONTINUE_FRAME
    case 'tempfail':
      return TEMPFAIL_FRAME
    case 'smtp': {
      const text = escapePercent(smtpLines(reply.reply).join('\r\n'))
      return encodeFrame(REPLIES.replyCode, Buffer.from(`${text}\0`, 'latin1')) // the lines are ASCII
    }
  }
}

/** The lines of a reply as the SMTP client sees them, without CRLF. */
export function smtpLines({ code, enhanced, lines }: SmtpReply): string[] {
  return lines.map((line, index) => {
    const separator = index < lines.length - 1 ? '-' : ' '
    // An address filled into the text may begin like an enhanced code; the MTA would take it for one, of any class.
    const status = enhanced ? `${enhanced} ` : ENHANCED_CODE.test(line) ? '- ' : ''
    const start = `${code}${separator}${status}`
    return `${start}${line.replace(/[^\x20-\x7e]/g, '?')}`.slice(0, MAX_REPLY_LINE - 2)
  })
}

/** A header to add to the message. */
export type Header = readonly [name: string, value: string]

/**
 * The frame that adds a header after the message's own (SMFIR_ADDHEADER); the MTA allows it at end of message only. A line
 * break in the value becomes folding (RFC 5322 section 2.2.3), so that no text begins another header.
 */
export function encodeAddHeader([name, value]: Header): Buffer {
  return encodeFrame(REPLIES.addHeader, cString(name), cString(value.trim().replace(LINE_BREAKS, '\n\t')))
}

const LINE_BREAKS = /[\r\n]+[ \t]*/g

/** Both MTAs read the text as a format: a single `%` makes Sendmail reply a permanent 550, and Postfix drops it. */
function escapePercent(line: string): string {
  return line.replaceAll('%', '%%')
}
