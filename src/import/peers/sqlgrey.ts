// Reads sqlgrey's database: its SQLite file, by way of the program sqlite3, or a dump of SQLite, MySQL or PostgreSQL. Of
// its tables, `connect` has triplets that wait; `from_awl` has senders who have passed, for all recipients; `domain_awl` has
// senders' domains that have.
// Source: sqlgrey 1.8.0 (Debian's package 1:1.8.0-4): create_*_table(), normalize_sender(), client_identifier(); sqlgrey(1).

import { parseIp } from '../../ip.ts'
import { openSource } from '../lines.ts'
import type { NotTaken, PeerReader, Remembered } from '../remembered.ts'
import { pastInstant } from './fields.ts'
import { broken, firstBytesOf, outputOf, ProgramMissing, quoted } from './source.ts'
import { rowsOf, type SqlRow, type Tables } from './sql.ts'

const TABLES: Tables = {
  connect: ['sender_name', 'sender_domain', 'src', 'rcpt', 'first_seen'],
  from_awl: ['sender_name', 'sender_domain', 'src', 'first_seen', 'last_seen'],
  domain_awl: ['sender_domain', 'src', 'first_seen', 'last_seen'],
}

/** Milliseconds that sqlite3 waits while sqlgrey writes. */
const TIMEOUT = ['-cmd', '.timeout 10000']

const SQLITE_MAGIC = 'SQLite format 3\0'

/** Stands for the parts of an address that are missing, as in the null sender. */
const MISSING = '-undef-'
/** Stands for the recipient within a sender's name, where all other letters are small. */
const RECIPIENT = /RCPT/g

export const readSqlgrey: PeerReader = async function* (source, { now }) {
  const isSqlite = await isSqliteFile(source)
  for await (const row of rowsOf(await dumpOf(source, Object.keys(TABLES)), TABLES)) {
    const record = 'kind' in row ? row : recordOf(row, now)
    // Nobody sees the lines of what sqlite3 prints.
    yield 'problem' in record && isSqlite ? { ...record, where: 'sqlite3 .dump' } : record
  }
}

/** A dump with some tables of sqlgrey's database, which is an SQLite file or such a dump. */
export async function dumpOf(source: string, tables: readonly string[]): Promise<AsyncIterable<Buffer>> {
  return (await isSqliteFile(source)) ? sqliteDump(source, tables) : openSource(source)
}

async function isSqliteFile(source: string): Promise<boolean> {
  return (await firstBytesOf(source, SQLITE_MAGIC.length)).toString('latin1') === SQLITE_MAGIC
}

/** What sqlite3 dumps of a database file, which it only reads. */
async function* sqliteDump(file: string, tables: readonly string[]): AsyncGenerator<Buffer> {
  const path = file.startsWith('-') ? `./${file}` : file
  const dump = `.dump ${tables.join(' ')}`
  try {
    yield* outputOf('sqlite3', ['-batch', '-init', '/dev/null', '-readonly', ...TIMEOUT, path, dump])
  } catch (error) {
    if (!(error instanceof ProgramMissing)) throw error
    throw new Error(
      `it is a file of SQLite, and sqlite3 is not installed: expected Debian's package sqlite3, ` +
        'or a dump that was made elsewhere by: sqlite3 -readonly DB .dump > DUMP',
    )
  }
}

function recordOf(row: SqlRow, now: number): Remembered | NotTaken {
  const src = row.text('src')
  const client = clientOf(src ?? '')
  if (client === undefined)
    return broken(
      row.where,
      `${row.table}: src is ${quoted(`${src}`)}: expected an IP address, or 3 numbers of one`,
    )
  const column = row.table === 'connect' ? 'first_seen' : 'last_seen'
  const at = row.instant(column)
  if (at === undefined)
    return broken(row.where, `${row.table}: ${column} is ${quoted(`${row.text(column)}`)}: expected a time`)
  const instant = pastInstant(at, now)
  if (row.table === 'domain_awl') {
    const domain = row.text('sender_domain')
    if (domain == null) return broken(row.where, 'domain_awl: expected a sender_domain as plain text')
    return { kind: 'listed', client, senderDomain: domain === MISSING ? '' : domain, lastUsed: instant }
  }
  const sender = senderOf(row.text('sender_name'), row.text('sender_domain'))
  if (sender === undefined)
    return broken(row.where, `${row.table}: expected a sender_name and a sender_domain as plain text`)
  if (row.table === 'from_awl') return { kind: 'passed', client, sender, lastUsed: instant }
  const recipient = row.text('rcpt')
  if (recipient == null) return broken(row.where, `${row.table}: expected a rcpt as plain text`)
  return { kind: 'waiting', client, sender, recipient, firstSeen: instant }
}

/** `192.0.2` is a network, and so are four groups of an IPv6 address; anything else is an address. */
function clientOf(src: string): string | undefined {
  if (/^\d+\.\d+\.\d+$/.test(src)) return parseIp(`${src}.0`) && `${src}.0/24`
  if (/^[\da-f]{4}(?::[\da-f]{4}){3}$/i.test(src)) return `${parseIp(`${src}::`)?.text}/64`
  return parseIp(src)?.text
}

/**
 * The sender, with what greymx writes for a recipient in its name. A domain that is missing is the null sender's, or that
 * of an address without one.
 */
function senderOf(name: string | null | undefined, domain: string | null | undefined): string | undefined {
  if (name == null || domain == null) return undefined
  if (domain === MISSING) return name === MISSING ? '' : name
  return `${name.replace(RECIPIENT, '*')}@${domain}`
}
