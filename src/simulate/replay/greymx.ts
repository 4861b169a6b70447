// Reads the outcomes that greymx logged, as text or as JSON. Both forms are those of log/log.ts: each value is bare or
// quoted as in JSON, so that no address can add a field or a line.

import { parseIp } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import { type ReaderParts, readAddress, slotOf } from './fields.ts'
import type { LogLine } from './heads.ts'
import type { LoggedVerdict } from './logged.ts'
import type { Draft } from './timeline.ts'

/** The fields of an outcome by their names. */
export type OutcomeFields = ReadonlyMap<string, string>

/** The fields in a line's text, `malformed` for a broken outcome, or `undefined` for a line without outcome. */
export function readOutcome(text: string): OutcomeFields | 'malformed' | undefined {
  if (text.startsWith('verdict=')) return checked(readText(text))
  if (!text.startsWith('{"time":') || !text.includes('"verdict":')) return undefined
  const fields = readJson(text)
  // An event can have the word in its message.
  return fields && !fields.has('verdict') ? undefined : checked(fields)
}

/** Adds the attempt of an outcome to the timeline. */
export function addOutcome(line: LogLine, fields: OutcomeFields, { timeline, findings }: ReaderParts): void {
  const address = parseIp(fields.get('client') ?? '')
  if (!address) {
    findings.count('no-client', line.place)
    return
  }
  const sender = fields.get('sender') ?? ''
  const recipient = fields.get('recipient')
  const reason = fields.get('reason')
  const [mta, queueId] = [fields.get('mta'), fields.get('id')]
  const draft: Draft = {
    attempt: {
      client: { address, name: fields.get('name') },
      authenticated: reason === 'authenticated',
      sender: readAddress(sender === '<>' ? '' : sender),
      recipient: recipient === undefined ? undefined : readAddress(recipient),
      mta,
      queueId,
    },
    source: 'greymx',
    logged: verdictIn(fields),
    identity: fields.get('identity'),
    message: queueId === undefined ? undefined : `${mta} ${queueId}`,
    endedBeforeData: false,
  }
  if (reason === 'observe') findings.count('observed', line.place)
  if (hasStoreFailed(fields)) findings.count('store-failed', line.place)
  timeline.add(slotOf(line), draft)
}

/** Whether the shared store had no part in the verdict. */
function hasStoreFailed(fields: OutcomeFields): boolean {
  return fields.has('error')
}

function verdictIn(fields: OutcomeFields): LoggedVerdict | undefined {
  if (hasStoreFailed(fields)) return undefined
  const would = fields.get('would')
  const verdict = would ?? fields.get('verdict')
  const reason = would === undefined ? fields.get('reason') : fields.get('would_reason')
  return isVerdict(verdict) && reason !== undefined ? { verdict, reason } : undefined
}

/** The last of these stand behind the recipient, so that a line that was cut is not taken for one without it. */
const REQUIRED = ['verdict', 'reason', 'client', 'sender', 'waited', 'retry_in']
const REASON = /^[a-z][a-z-]{0,40}$/

function checked(fields: OutcomeFields | undefined): OutcomeFields | 'malformed' {
  if (!fields || REQUIRED.some((name) => !fields.has(name))) return 'malformed'
  const isSound = isVerdict(fields.get('verdict')) && REASON.test(fields.get('reason') ?? '')
  return isSound ? fields : 'malformed'
}

function isVerdict(text: string | undefined): text is Verdict {
  return text === 'pass' || text === 'tempfail'
}

const FIELD = /([a-z_]{1,40})=(?:([!#-<>-[\]-~]+)|("(?:[^"\\]|\\.)*"))(?: |$)/y

function readText(text: string): OutcomeFields | undefined {
  const fields = new Map<string, string>()
  for (let end = 0; end < text.length; ) {
    FIELD.lastIndex = end
    const [all, name, bare, quoted] = FIELD.exec(text) ?? []
    if (all === undefined || name === undefined || fields.has(name)) return undefined
    const value = bare ?? unquoted(quoted)
    if (value === undefined) return undefined
    fields.set(name, value)
    end += all.length
  }
  return fields
}

function unquoted(quoted: string | undefined): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted ?? '')
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

function readJson(text: string): OutcomeFields | undefined {
  try {
    const fields: unknown = JSON.parse(text)
    return typeof fields === 'object' && fields !== null
      ? new Map(Object.entries(fields).map(([name, value]) => [name, String(value)]))
      : undefined
  } catch {
    return undefined
  }
}
