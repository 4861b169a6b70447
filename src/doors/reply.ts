// The configured text of a deferral. It is checked when the configuration is read, and its placeholders are filled for
// each reply. Encoding is left to the doors.
// Source: RFC 5321 section 4.2, RFC 3463 section 2; what the MTAs make of malformed texts is said in milter/reply.ts.

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9

/** The codes 400 to 459 without 421, which ends the SMTP session; the type excludes every other code. */
export type TemporaryCode = Exclude<`4${0 | 1 | 2 | 3 | 4 | 5}${Digit}`, '421'>

/** An RFC 3463 status of class 4. */
export type TemporaryStatus = `4.${number}.${number}`

/** A 4xx reply of one or more lines; `enhanced` belongs on each line. */
export interface SmtpReply {
  readonly code: TemporaryCode
  readonly enhanced?: TemporaryStatus
  readonly lines: readonly string[]
}

/** The values of a reply's placeholders. */
export interface ReplyValues {
  readonly ref: string
  /** Whole seconds until a retry passes. */
  readonly seconds: number
  readonly recipient: string
  readonly domain: string
  readonly host: string
}

/** A checked text; `fill` returns the reply with its placeholders filled. */
export interface ReplyTemplate {
  fill(values: ReplyValues): SmtpReply
}

const PLACEHOLDERS = ['ref', 'seconds', 'recipient', 'domain', 'host'] as const
const PLACEHOLDER = /\{([^{}]*)\}/g

/** Longest line of text in characters, so that only filled-in values can make a line so long that it is cut. */
const MAX_LINE_TEXT = 400
/** Most lines of a reply, as in libmilter's smfi_setmlreply. */
const MAX_REPLY_LINES = 32

/**
 * The template in `text`, which is like `451 4.7.1 text`; further lines become further lines of the reply. Throws with
 * the mistake: the code must be 400 to 459 but not 421, which ends the session; an enhanced code must be of class 4, or
 * Postfix refuses it.
 */
export function parseReplyTemplate(text: string): ReplyTemplate {
  const [first = '', ...rest] = text.trimEnd().split('\n')
  const [, code = '', enhanced, firstLine = ''] =
    /^(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))? (\S.*)$/.exec(first) ?? []
  if (code === '')
    throw new Error('expected a reply code, an enhanced status code and a text, like 451 4.7.1 Try again')
  if (!isTemporaryCode(code)) {
    throw new Error(
      `expected a temporary reply code, 400 to 459 and not 421, which ends the session; found ${code}`,
    )
  }
  if (enhanced !== undefined && !isTemporaryStatus(enhanced)) {
    throw new Error(
      `expected an enhanced status code of class 4 like 4.7.1 beside ${code}, found ${enhanced}`,
    )
  }
  // Both MTAs would take such a beginning of the text for an enhanced code, of any class.
  if (/^\d\.\d+\.\d+(?: |$)/.test(firstLine)) {
    throw new Error(
      `expected one space and a text behind the enhanced status code, found ${JSON.stringify(first)}`,
    )
  }
  if (rest.length >= MAX_REPLY_LINES)
    throw new Error(`expected ${MAX_REPLY_LINES} lines at most, found ${rest.length + 1}`)
  const lines = [firstLine, ...rest].map(parseLine)
  const status = enhanced === undefined ? { code } : { code, enhanced }
  return {
    fill: (values) => ({ ...status, lines: lines.map((parts) => fillLine(parts, values)) }),
  }
}

function isTemporaryCode(code: string): code is TemporaryCode {
  return /^4[0-5]\d$/.test(code) && code !== '421'
}

function isTemporaryStatus(status: string): status is TemporaryStatus {
  return /^4\.\d{1,3}\.\d{1,3}$/.test(status)
}

/** Texts and placeholders alternate; a line begins and ends with a text, which may be empty. */
interface LineParts {
  readonly texts: readonly string[]
  readonly names: ReadonlyArray<keyof ReplyValues>
}

function fillLine({ texts, names }: LineParts, values: ReplyValues): string {
  let line = texts[0] ?? ''
  for (const [index, name] of names.entries()) line += `${values[name]}${texts[index + 1] ?? ''}`
  return line
}

function parseLine(line: string): LineParts {
  if (line.trim() === '') throw new Error('expected no empty line')
  if (/[^\x20-\x7e]/.test(line)) throw new Error('expected printable ASCII only')
  if (line.length > MAX_LINE_TEXT)
    throw new Error(`expected ${MAX_LINE_TEXT} characters a line at most, found ${line.length}`)
  const names = Array.from(line.matchAll(PLACEHOLDER), ([found, name]) => {
    const known = PLACEHOLDERS.find((placeholder) => placeholder === name)
    if (!known) {
      throw new Error(
        `expected the placeholders ${PLACEHOLDERS.map((one) => `{${one}}`).join(' ')}, found ${found}`,
      )
    }
    return known
  })
  return { texts: line.split(/\{[^{}]*\}/), names }
}
