// The configured text of a deferral: checked when it is read, its placeholders filled for each reply.
// Source: RFC 5321 section 4.2, RFC 3463 section 2; what the MTAs make of malformed texts stands in milter/reply.ts.

import type { SmtpReply, TemporaryCode, TemporaryStatus } from './milter/reply.ts'

/** What the placeholders of a reply stand for. */
export interface ReplyValues {
  readonly ref: string
  /** Whole seconds until a retry passes. */
  readonly seconds: number
  readonly recipient: string
  readonly domain: string
  readonly host: string
}

export interface ReplyTemplate {
  fill(values: ReplyValues): SmtpReply
}

const PLACEHOLDERS = ['ref', 'seconds', 'recipient', 'domain', 'host'] as const
const PLACEHOLDER = /\{([^{}]*)\}/g

/** Longest text that is taken, so that a line never has to be cut but for what is filled in. */
const MAX_TEXT = 400
/** As many lines as libmilter's smfi_setmlreply takes. */
const MAX_LINES = 32

/**
 * Reads `451 4.7.1 text`; further lines of text become further lines of the reply. Throws with what is wrong: the
 * code must be 4xx and not 421, which ends the session; an enhanced code must be of class 4, or Postfix refuses it.
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
  // Both MTAs would take it for an enhanced code, of whatever class.
  if (/^\d\.\d+\.\d+(?: |$)/.test(firstLine)) {
    throw new Error(
      `expected one space and a text behind the enhanced status code, found ${JSON.stringify(first)}`,
    )
  }
  if (rest.length >= MAX_LINES)
    throw new Error(`expected ${MAX_LINES} lines at most, found ${rest.length + 1}`)
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

/** Text and placeholders in turn, beginning and ending with text. */
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
  if (line.length > MAX_TEXT)
    throw new Error(`expected ${MAX_TEXT} characters a line at most, found ${line.length}`)
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
