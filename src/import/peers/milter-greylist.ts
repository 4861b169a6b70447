// Reads milter-greylist's greylist.db: a line for each triplet, with the client's address, the sender, the recipient, and
// a time in seconds. On a line with AUTO, this is when the pass expires, on others when a retry is accepted.
// Source: milter-greylist, pending_textdump() in pending.c, autowhite_textdump() in autowhite.c, dump_lex.l and
// dump_yacc.y; the defaults in pending.h and autowhite.h; greylist.conf(5). Format of versions 1.4 to 4.6.

import type { NotTaken, PeerReader, Remembered } from '../remembered.ts'
import { clientIn, instantIn, pastInstant, withoutBrackets } from './fields.ts'
import { broken, quoted, recordsOf, unknowable } from './source.ts'

/** The delay unless `greylist` or an ACL sets another one; the file does not tell it. */
const DEFAULT_DELAY = 30 * 60_000
/** How long a pass is kept unless `autowhite` or an ACL sets another time. */
const DEFAULT_AUTOWHITE = 86_400_000

const LINE = /^(\S+)\s+(\S+)\s+(\S+)\s+(\d+)(?:\s+(\d+))?(?:\s+(AUTO|TARPIT))?$/i
const EXPECTED = 'expected IP SENDER RECIPIENT SECONDS, and AUTO behind it for a pass'

export const readMilterGreylist: PeerReader = (source, { now }) =>
  recordsOf(source, (text, where) => readLine(text, where, now))

function readLine(text: string, where: string, now: number): Remembered | NotTaken | undefined {
  const record = withoutComment(text)
  if (record === '') return undefined
  const [, ip = '', from = '', to = '', seconds = '', tarpit, mark = ''] = LINE.exec(record) ?? []
  const client = clientIn(ip.replace(/%.*$/, ''))
  const time = instantIn(seconds)
  if (client === undefined || time === undefined)
    return broken(where, `Cannot read ${quoted(record)}: ${EXPECTED}`)
  if (mark.toUpperCase() === 'TARPIT')
    return unknowable(where, `${client} was tarpitted: greymx has no such thing, and greylists it`)
  if (tarpit !== undefined) return broken(where, `Cannot read ${quoted(record)}: ${EXPECTED}`)
  if (from.startsWith('='))
    return unknowable(
      where,
      `sender ${quoted(from)}: milter-greylist has dropped what stands before the =, so that the sender is unknown`,
    )
  const triplet = { client, sender: withoutBrackets(from), recipient: withoutBrackets(to) }
  if (mark === '') return { kind: 'waiting', ...triplet, firstSeen: pastInstant(time - DEFAULT_DELAY, now) }
  return {
    kind: 'passed',
    ...triplet,
    lastUsed: pastInstant(time - DEFAULT_AUTOWHITE, now),
    expiresAt: time,
  }
}

/** The line without its comment, which begins at a # behind white space or at the start: an address may have a #. */
function withoutComment(text: string): string {
  if (text.startsWith('#')) return ''
  const comment = text.search(/\s#/)
  return (comment === -1 ? text : text.slice(0, comment)).trim()
}
