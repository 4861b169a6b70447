// Reads what spamdb(8) prints of spamd's database, of OpenBSD and of FreeBSD's port: WHITE for a client that has passed,
// GREY for a triplet that waits. Fields are separated by |. Versions before OpenBSD 4.1 have no HELO in GREY.
// Source: OpenBSD usr.sbin/spamdb/spamdb.c, print_entry(); spamdb(8); libexec/spamd/grey.h (GREYEXP, WHITEEXP).

import type { NotTaken, PeerReader, Remembered } from '../remembered.ts'
import { clientIn, instantIn, pastInstant, withoutBrackets } from './fields.ts'
import { broken, quoted, recordsOf, unknowable } from './source.ts'

/** How long a client stays white after its last connection, unless spamd -G sets another time. */
const WHITE_EXPIRY = 36 * 86_400_000

export const readSpamdb: PeerReader = (source, { now }) =>
  recordsOf(source, (text, where) => readLine(text, where, now))

function readLine(line: string, where: string, now: number): Remembered | NotTaken | undefined {
  const text = line.trim()
  if (text === '') return undefined
  const fields = text.split('|')
  switch (fields[0]) {
    case 'WHITE':
      return readWhite(text, fields, where, now)
    case 'GREY':
      return readGrey(text, fields, where, now)
    case 'TRAPPED':
      return unknowable(where, `${fields[1]} was trapped: greymx has no blacklist, and greylists it`)
    case 'SPAMTRAP':
    case 'DOMAIN':
      return unknowable(where, `${fields[0]} ${quoted(fields[1] ?? '')}: greymx has no spam traps`)
    default:
      return broken(where, `Cannot read ${quoted(text)}: expected WHITE|, GREY|, TRAPPED| or SPAMTRAP|`)
  }
}

/** `WHITE|ip|||first|pass|expire|block|pass`: the second pass is a count. */
function readWhite(
  text: string,
  fields: readonly string[],
  where: string,
  now: number,
): Remembered | NotTaken {
  const [, ip = '', , , first = '', , expire = ''] = fields
  const client = clientIn(ip)
  const firstSeen = instantIn(first)
  const expiresAt = instantIn(expire)
  if (fields.length !== 9 || client === undefined || firstSeen === undefined || expiresAt === undefined)
    return broken(where, `Cannot read ${quoted(text)}: expected WHITE|IP|||FIRST|PASS|EXPIRE|BLOCKED|PASSED`)
  const lastUsed = pastInstant(Math.max(firstSeen, expiresAt - WHITE_EXPIRY), now)
  return { kind: 'listed', client, lastUsed, expiresAt }
}

/** `GREY|ip|helo|from|to|first|pass|expire|block|pass`; earlier versions have no helo. */
function readGrey(
  text: string,
  fields: readonly string[],
  where: string,
  now: number,
): Remembered | NotTaken | undefined {
  const [first = '', , expire = ''] = fields.slice(-5)
  const client = clientIn(fields[1] ?? '')
  const firstSeen = instantIn(first)
  const expiresAt = instantIn(expire)
  const [sender, recipient] = fields.slice(2, -5).slice(-2)
  const hasFields = fields.length === 9 || fields.length === 10
  if (!hasFields || client === undefined || firstSeen === undefined || expiresAt === undefined)
    return broken(
      where,
      `Cannot read ${quoted(text)}: expected GREY|IP|HELO|FROM|TO|FIRST|PASS|EXPIRE|BLOCKED|PASSED`,
    )
  if (sender === undefined || recipient === undefined)
    return broken(where, `Cannot read ${quoted(text)}: expected a sender and a recipient`)
  // spamd has forgotten it as well; it deletes entries once a minute.
  if (expiresAt <= now) return undefined
  return {
    kind: 'waiting',
    client,
    sender: withoutBrackets(sender),
    recipient: withoutBrackets(recipient),
    firstSeen: pastInstant(firstSeen, now),
  }
}
