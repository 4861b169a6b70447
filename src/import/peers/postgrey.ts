// Reads Postgrey's databases: its folder, by way of the programs db_dump and db_recover, or what db_dump has printed of one
// of them. Nothing is written to the folder.
// postgrey.db has a record for each triplet, `CLIENT/SENDER/RECIPIENT` with the instants of the first and the latest attempt;
// postgrey_clients.db has one for each client, with the number of its first passes and the instant of the latest one.
// Source: postgrey 1.37, smtpd_access_policy(), do_sender_substitutions(), do_client_substitutions(); db_dump(1), db_recover(1).

import { copyFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileProblemOf } from '../../errors.ts'
import { parseIp } from '../../ip.ts'
import { decodeText } from '../../milter/text.ts'
import { openSource } from '../lines.ts'
import type { NotTaken, PeerOptions, PeerReader, Remembered } from '../remembered.ts'
import { instantIn, pastInstant } from './fields.ts'
import {
  broken,
  firstBytesOf,
  linesOf,
  outputOf,
  ProgramMissing,
  problemOf,
  quoted,
  unknowable,
} from './source.ts'

const TRIPLETS = 'postgrey.db'
const CLIENTS = 'postgrey_clients.db'

/** How the names of Berkeley DB's programs begin in Debian: in db-util, and in the version that db-util chooses. */
const PREFIXES = ['db', 'db5.3']

/** Where Berkeley DB has the type of its files, and that of a B-tree, in either byte order. */
const MAGIC_AT = 12
const BTREE = 0x053162

// `--delay` and `--auto-whitelist-clients` are not in the databases. Whoever has retried after the delay of greymx need
// not wait any more, and whoever has too few first passes for greymx has not shown enough.

/** Postgrey's delay, and longest time between its attempts after which a triplet has passed. */
const DEFAULT_DELAY = 300_000
/** First passes after which Postgrey lets a client through, and fewest after which greymx does. */
const DEFAULT_PASSES = 5

export const readPostgrey: PeerReader = async function* (source, options) {
  const isAll = await isFolder(source)
  if (!isAll && !(await isDatabase(source))) {
    yield* recordsIn(openSource(source), options)
    return
  }
  const folder = isAll ? source : dirname(source)
  const names = await readdir(folder)
  if (isAll && !names.includes(TRIPLETS))
    throw new Error(`it has no ${TRIPLETS}: expected the folder of --dbdir`)
  const databases = isAll ? [TRIPLETS, CLIENTS].filter((name) => names.includes(name)) : [basename(source)]
  const logs = names.filter((name) => /^log\.\d{10}$/.test(name))
  const copy = await mkdtemp(join(tmpdir(), 'greymx-import-'))
  try {
    await copyUpToNow(folder, { databases, logs }, copy)
    for (const name of databases) {
      const bytes = programOutput('dump', ['-p', '-h', copy, name])
      // Nobody sees the lines of this dump.
      for await (const record of recordsIn(bytes, options))
        yield 'problem' in record ? { ...record, where: name } : record
    }
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

/**
 * Copies the databases in a folder, up to what the log has. Postgrey writes each change to its log at once, and to its
 * databases once an hour or when it ends; so the files alone lack what is new while it runs, or after it was killed.
 */
async function copyUpToNow(
  folder: string,
  { databases, logs }: { readonly databases: readonly string[]; readonly logs: readonly string[] },
  copy: string,
): Promise<void> {
  // The databases come first, so that the log has all that is in them.
  for (const name of [...databases, ...logs]) {
    await copyFile(join(folder, name), join(copy, name)).catch((error) => {
      throw new Error(`${name}: ${fileProblemOf(error)}`, { cause: error })
    })
  }
  if (logs.length > 0) for await (const _ of programOutput('recover', ['-h', copy]));
}

async function isFolder(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined)
  return info?.isDirectory() === true
}

async function isDatabase(file: string): Promise<boolean> {
  const bytes = await firstBytesOf(file, MAGIC_AT + 4)
  if (bytes.length < MAGIC_AT + 4) return false
  return bytes.readUInt32LE(MAGIC_AT) === BTREE || bytes.readUInt32BE(MAGIC_AT) === BTREE
}

/** What a program of Berkeley DB prints. */
async function* programOutput(program: 'dump' | 'recover', args: readonly string[]): AsyncGenerator<Buffer> {
  for (const prefix of PREFIXES) {
    try {
      yield* outputOf(`${prefix}_${program}`, args)
      return
    } catch (error) {
      if (!(error instanceof ProgramMissing)) throw error
    }
  }
  const names = PREFIXES.map((prefix) => `${prefix}_${program}`).join(' nor ')
  throw new Error(
    `neither ${names} is installed: expected Debian's package db-util, or a dump that was made ` +
      `elsewhere while Postgrey was stopped, by: db_dump -p ${TRIPLETS} > DUMP`,
  )
}

async function* recordsIn(
  bytes: AsyncIterable<Buffer>,
  options: PeerOptions,
): AsyncGenerator<Remembered | NotTaken> {
  const dump = new Dump()
  for await (const batch of linesOf(bytes)) {
    for (const line of batch) {
      const where = `${line.number}`
      const pair =
        'fault' in line ? dump.unreadable(where, problemOf(line.fault)) : dump.line(line.text, where)
      if (pair === undefined) continue
      const record = 'kind' in pair ? pair : recordOf(pair, options)
      if (record !== undefined) yield record
    }
  }
  yield* dump.end()
}

/** A record of Berkeley DB. */
interface Pair {
  readonly key: string
  readonly value: string
  /** The line of its key. */
  readonly where: string
}

/**
 * Reads the lines of db_dump: a header up to HEADER=END, a line for each key and each value, with a space before it, and
 * DATA=END. Several dumps may follow each other.
 */
class Dump {
  #part: 'header' | 'data' = 'header'
  #hasBegun = false
  #isHex = false
  #key: { readonly text: string | undefined; readonly where: string } | undefined
  #lastLine = '1'

  /** The record that ends with this line. Throws when this is no line of a dump's header. */
  line(text: string, where: string): Pair | NotTaken | undefined {
    this.#lastLine = where
    if (this.#part === 'header') {
      this.#header(text, where)
      return undefined
    }
    if (text === 'DATA=END') {
      const key = this.#key
      this.#part = 'header'
      this.#key = undefined
      return key && broken(key.where, 'found a key without a value')
    }
    if (!text.startsWith(' ')) return this.#pair(undefined, where)
    return this.#pair(this.#isHex ? textOfHex(text.slice(1)) : textOfPrint(text.slice(1)), where)
  }

  /** Takes a line that is no text. */
  unreadable(where: string, problem: string): Pair | NotTaken | undefined {
    if (this.#part === 'header') throw this.#noDump(where, problem)
    return this.#pair(undefined, where)
  }

  /** Tells whether the dump ends where it should; throws when there was none. */
  end(): readonly NotTaken[] {
    if (this.#part === 'data')
      return [broken(this.#lastLine, 'the dump ends without DATA=END: expected the whole of it')]
    if (!this.#hasBegun) throw this.#noDump(this.#lastLine, 'no HEADER=END')
    return []
  }

  #header(text: string, where: string): void {
    const [, name, value] = /^(\w+)=(.*)$/.exec(text) ?? []
    if (name === undefined) throw this.#noDump(where, quoted(text))
    if (name === 'format') this.#isHex = value === 'bytevalue'
    if (name !== 'HEADER') return
    this.#hasBegun = true
    this.#part = 'data'
  }

  #noDump(line: string, found: string): Error {
    return new Error(
      `line ${line}: found ${found}: expected Postgrey's folder, or what db_dump prints of ${TRIPLETS}`,
    )
  }

  #pair(text: string | undefined, where: string): Pair | NotTaken | undefined {
    const key = this.#key
    if (key === undefined) {
      this.#key = { text, where }
      return undefined
    }
    this.#key = undefined
    if (key.text === undefined || text === undefined)
      return broken(key.where, 'expected a key and a value, as db_dump prints them')
    return { key: key.text, value: text, where: key.where }
  }
}

function textOfHex(text: string): string | undefined {
  return /^(?:[\da-f]{2})*$/i.test(text) ? decodeText(Buffer.from(text, 'hex')) : undefined
}

/** `\\` stands for a backslash, and `\` with two digits for a byte. */
function textOfPrint(text: string): string | undefined {
  if (!text.includes('\\')) return text
  if (/\\(?!\\|[\da-f]{2})/i.test(text.replaceAll('\\\\', ''))) return undefined
  const bytes = text.replace(/\\(\\|[\da-f]{2})/gi, (_, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 16)),
  )
  return decodeText(Buffer.from(bytes, 'latin1'))
}

function recordOf(
  { key, value, where }: Pair,
  { now, delay, passes }: PeerOptions,
): Remembered | NotTaken | undefined {
  const [first = '', last = ''] = value.split(',')
  const lastAt = instantIn(last)
  if (!/^\d{1,11}$/.test(first) || lastAt === undefined)
    return broken(where, `value ${quoted(value)} of ${quoted(key)}: expected two numbers`)
  if (/^[\da-f]{40}$/.test(key))
    return unknowable(
      where,
      'a hash of --privacy, from which nobody can tell the addresses: let greymx observe beside Postgrey for two days',
    )
  const slash = key.indexOf('/')
  const address = parseIp(slash === -1 ? key : key.slice(0, slash))
  if (address === undefined)
    return broken(where, `Cannot read ${quoted(key)}: expected CLIENT/SENDER/RECIPIENT, or an IP address`)
  const lastUsed = pastInstant(lastAt, now)
  if (slash === -1) {
    // Fewer passes let nobody through.
    return Number(first) >= Math.max(DEFAULT_PASSES, passes)
      ? { kind: 'listed', client: address.text, lastUsed }
      : undefined
  }
  // Postgrey writes the first address of a network for it.
  const isNetwork = address.bytes.slice(address.kind === 'ipv4' ? 3 : 8).every((byte) => byte === 0)
  const client = isNetwork ? `${address.text}/${address.kind === 'ipv4' ? 24 : 64}` : address.text
  const addresses = splitAddresses(key.slice(slash + 1))
  if (addresses === undefined)
    return broken(where, `Cannot read ${quoted(key)}: expected CLIENT/SENDER/RECIPIENT`)
  const firstSeen = Number(first) * 1000
  return lastAt - firstSeen >= Math.min(DEFAULT_DELAY, delay)
    ? { kind: 'passed', client, ...addresses, lastUsed }
    : { kind: 'waiting', client, ...addresses, firstSeen: pastInstant(firstSeen, now) }
}

/** `SENDER/RECIPIENT`, where both may have a / before their @, and a domain has none. */
function splitAddresses(text: string): { sender: string; recipient: string } | undefined {
  const at = text.indexOf('@')
  // With one @, it is the sender's if a / follows it: the recipient is a bare name.
  const hasDomain = at !== -1 && text.indexOf('/', at) !== -1
  const end = text.indexOf('/', hasDomain ? at : 0)
  return end === -1 ? undefined : { sender: text.slice(0, end), recipient: text.slice(end + 1) }
}
