// `greymx import PEER SOURCE --settings`: reads what a peer is configured by, and returns the milter.yaml that comes closest.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { rowsOf } from '../peers/sql.ts'
import { dumpOf } from '../peers/sqlgrey.ts'
import { milterGreylistSettings } from './milter-greylist.ts'
import { postgreySettings } from './postgrey.ts'
import { settingsIn, sqlgreySettings } from './sqlgrey.ts'

/** What a peer has for settings, by the peer's name, in words for messages. */
export const SETTINGS_SOURCES: Readonly<Record<string, string>> = {
  postgrey: "Postgrey's command line, or a file with it, such as /etc/default/postgrey",
  sqlgrey: 'sqlgrey.conf, and behind it the database if recipients opt in or out',
  'milter-greylist': 'greylist.conf',
}

const EXPECTED = Object.entries(SETTINGS_SOURCES)
  .map(([peer, source]) => `${peer} and ${source}`)
  .join('; ')

/**
 * The text of a milter.yaml that greymx accepts and that comes closest to the settings of a peer, with a comment for each
 * thing that has no counterpart. Rejects with an error for the operator when the peer has no settings here, or a file
 * cannot be read.
 */
export async function settingsFrom(peer: string, sources: readonly string[]): Promise<string> {
  const [source = ''] = sources
  switch (peer) {
    case 'postgrey':
      return (
        isCommandLine(source) ? postgreySettings(source, 'the command line') : ofPostgreysFile(source)
      ).text()
    case 'sqlgrey':
      return (await ofSqlgrey(sources)).text()
    case 'milter-greylist':
      return milterGreylistSettings(readFileSync(source, 'utf8'), source).text()
    default:
      throw new Error(`${peer} has no settings that greymx reads: expected ${EXPECTED}`)
  }
}

/** A command line has options, and no file is called so. */
function isCommandLine(source: string): boolean {
  return /(?:^|\s)-/.test(source) && !existsSync(source)
}

function ofPostgreysFile(file: string) {
  return postgreySettings(readFileSync(file, 'utf8'), file)
}

const OPTION_TABLES = {
  optin_domain: ['domain'],
  optin_email: ['email'],
  optout_domain: ['domain'],
  optout_email: ['email'],
} as const

async function ofSqlgrey([source = '', given]: readonly string[]) {
  const file = statSync(source).isDirectory() ? join(source, 'sqlgrey.conf') : source
  const text = readFileSync(file, 'utf8')
  const settings = settingsIn(text)
  const folder = settings.get('conf_dir')?.value || dirname(file)
  const lists = ['clients_ip_whitelist', 'clients_fqdn_whitelist']
    .flatMap((name) => [name, `${name}.local`])
    .map((name) => join(folder, name))
    .filter((path) => existsSync(path))
    .map((path) => ({ name: basename(path), text: readFileSync(path, 'utf8') }))
  const own = settings.get('db_name')?.value
  const isOwn = settings.get('db_type')?.value === 'SQLite' && own?.startsWith('/') && existsSync(own)
  const database = given ?? (isOwn ? own : undefined)
  return sqlgreySettings({
    conf: { name: file, text },
    lists,
    ...(database === undefined ? {} : { tables: await optionsIn(database) }),
  })
}

/** The recipients in each of the tables by which they opt in and out. */
async function optionsIn(database: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const tables = new Map<string, string[]>()
  const bytes = await dumpOf(database, Object.keys(OPTION_TABLES))
  for await (const row of rowsOf(bytes, OPTION_TABLES)) {
    if ('kind' in row) continue
    const text = row.text('domain') ?? row.text('email')
    if (text == null) continue
    const known = tables.get(row.table)
    if (known) known.push(text)
    else tables.set(row.table, [text])
  }
  return tables
}
