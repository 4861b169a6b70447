// Reads a MySQL dump of relaydelay, the milter of Evan Harris's Greylisting paper, and of others with its table
// `relaytofrom`: triplets, and lists that the operator has made by hand. Its columns of type datetime are in the time zone
// of the database server.
// Source: eharris/greylisting, schema/mysql.sql and sendmail-perl-milter/relaydelay/relaydelay.pl.

import { parseIp } from '../../ip.ts'
import { openSource } from '../lines.ts'
import type { NotTaken, PeerReader, Remembered } from '../remembered.ts'
import { clientIn, pastInstant, withoutBrackets } from './fields.ts'
import { broken, quoted, unknowable } from './source.ts'
import { rowsOf, type SqlRow, type Tables } from './sql.ts'

const TABLES: Tables = {
  relaytofrom: [
    ...['id', 'relay_ip', 'mail_from', 'rcpt_to', 'block_expires', 'record_expires', 'blocked_count'],
    ...['passed_count', 'aborted_count', 'origin_type', 'create_time', 'last_update'],
  ],
}

export const readRelaydelay: PeerReader = async function* (source, { now }) {
  for await (const row of rowsOf(openSource(source), TABLES)) {
    const record = 'kind' in row ? row : recordOf(row, now)
    if (record !== undefined) yield record
  }
}

function recordOf(row: SqlRow, now: number): Remembered | NotTaken | undefined {
  const [ip, from, to] = [row.text('relay_ip'), row.text('mail_from'), row.text('rcpt_to')]
  if (row.text('origin_type')?.toUpperCase() === 'MANUAL') return byHand(row, now)
  const expiresAt = row.instant('record_expires')
  if (expiresAt === undefined) return wrong(row, 'record_expires', 'a time')
  // relaydelay ignores it as well, until its maintenance deletes it.
  if (expiresAt <= now) return undefined
  if (from == null || to == null) return wrong(row, from == null ? 'mail_from' : 'rcpt_to', 'an address')
  if (ip === null)
    return unknowable(
      row.where,
      `an answer from ${quoted(from)} to ${quoted(to)} is expected from any client: greylist.learn_replies does so anew`,
    )
  const client = clientIn(ip ?? '')
  if (client === undefined) return wrong(row, 'relay_ip', 'an IP address')
  const triplet = { client, sender: withoutBrackets(from), recipient: withoutBrackets(to) }
  if (Number(row.text('passed_count')) > 0) {
    const lastUsed = row.instant('last_update') ?? row.instant('create_time') ?? now
    return { kind: 'passed', ...triplet, lastUsed: pastInstant(lastUsed, now), expiresAt }
  }
  const firstSeen = row.instant('create_time')
  if (firstSeen === undefined) return wrong(row, 'create_time', 'a time')
  return { kind: 'waiting', ...triplet, firstSeen: pastInstant(firstSeen, now) }
}

function wrong(row: SqlRow, column: string, expected: string): NotTaken {
  return broken(row.where, `${column} is ${quoted(`${row.text(column)}`)}: expected ${expected}`)
}

/** A rule is no memory; it says what setting has its place. */
function byHand(row: SqlRow, now: number): NotTaken {
  const [ip, from, to] = [row.text('relay_ip'), row.text('mail_from'), row.text('rcpt_to')]
  const rule = [ip && `relay_ip ${ip}`, from && `mail_from ${from}`, to && `rcpt_to ${to}`]
    .filter(Boolean)
    .join(', ')
  const blockedUntil = row.instant('block_expires')
  if (blockedUntil !== undefined && blockedUntil > now)
    return unknowable(row.where, `blacklist by hand of ${quoted(rule)}: greymx has no blacklist`)
  const setting = ip ? `exempt.clients: [${networkOf(ip)}]` : from ? 'exempt.senders' : 'exempt.recipients'
  return unknowable(row.where, `whitelist by hand of ${quoted(rule)}: expected as a setting, ${setting}`)
}

/** `192.168` is 192.168.0.0/16, as relaydelay compares it number by number. */
function networkOf(ip: string): string {
  const numbers = ip.split('.')
  if (numbers.length >= 4 || !numbers.every((number) => /^\d+$/.test(number))) return parseIp(ip)?.text ?? ip
  return `${[...numbers, ...['0', '0', '0']].slice(0, 4).join('.')}/${numbers.length * 8}`
}
