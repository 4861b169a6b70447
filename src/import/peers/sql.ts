// Reads the rows of some tables in a dump of a database, as mysqldump, pg_dump (COPY or --inserts) and sqlite3's .dump
// write it. It holds one row at a time, however long a statement is. What a row means is left to the readers.
// Source: mysqldump(1), pg_dump(1), PostgreSQL 15 manual COPY (text format); SQLite, "Command Line Shell" (.dump).

import type { NotTaken } from '../remembered.ts'
import { broken } from './source.ts'
import { type Mark, Tokenizer } from './sql-tokens.ts'

/** The columns of the tables that a reader wants, by the tables' names in lower case, as the peer creates them. */
export type Tables = Readonly<Record<string, readonly string[]>>

/** A row of a table. */
export interface SqlRow {
  readonly table: string
  /** The line of the dump on which the row ends. */
  readonly where: string
  /** The value of a column; null for NULL, undefined for what is no plain value, is too long, or is not there. */
  text(column: string): Value
  /** The instant in a column, in milliseconds since 1970; undefined when it has none. */
  instant(column: string): number | undefined
}

export type Value = string | null | undefined

/**
 * The rows of the wanted tables. Throws an error that says what was expected when `bytes` have none of these
 * tables.
 */
export async function* rowsOf(
  bytes: AsyncIterable<Buffer>,
  tables: Tables,
): AsyncGenerator<SqlRow | NotTaken> {
  const reader = new SqlReader(tables)
  for await (const chunk of bytes) yield* reader.push(chunk)
  yield* reader.end()
  if (reader.tables.size > 0) return
  throw new Error(
    `it has none of the tables ${Object.keys(tables).join(', ')}: ` +
      'expected a dump in SQL by mysqldump, pg_dump or sqlite3',
  )
}

/** A token of a statement's head. */
interface Token {
  readonly kind: 'word' | 'quoted' | 'mark'
  readonly text: string
}

interface Column {
  readonly name: string
  /** The type's first word in lower case; '' when the dump does not tell it. */
  readonly type: string
}

interface Table {
  readonly name: string
  /** Empty when the statement names none. */
  readonly columns: readonly Column[]
}

/** Most tokens of a statement's head; that of a greylister's table has some 100. */
const MAX_HEAD = 1000
/** Most values of a row that are kept; no table of a greylister has as many columns. */
const MAX_VALUES = 64

/** What the next token belongs to: a statement's head, its rows, or a statement that does not matter. */
type Place = 'head' | 'rows' | 'skipped'

/** Cuts a dump into rows. Give it all pieces by `push`, and call `end` once. */
class SqlReader {
  readonly #wanted: Tables
  /** The tables that the dump has created or filled, with their columns. */
  readonly #known = new Map<string, readonly Column[]>()
  readonly #tokens = new Tokenizer(this)
  #found: Array<SqlRow | NotTaken> = []
  #place: Place = 'head'
  #head: Token[] = []
  #table: Table | undefined
  /** Open parentheses: 1 within a row, more within an expression in it. */
  #depth = 0
  readonly #row = new RowValues()
  #isCopying = false
  #isUtc = false

  constructor(wanted: Tables) {
    this.#wanted = wanted
  }

  /** The wanted tables that the dump has. */
  get tables(): ReadonlySet<string> {
    return new Set(this.#known.keys())
  }

  /** The rows that end within `chunk`. */
  push(chunk: Buffer): ReadonlyArray<SqlRow | NotTaken> {
    this.#found = []
    this.#tokens.push(chunk)
    return this.#found
  }

  /** Tells whether the dump ends where it should. */
  end(): ReadonlyArray<SqlRow | NotTaken> {
    const isCut = this.#tokens.end() || this.#place === 'rows'
    if (!isCut || this.#known.size === 0) return []
    return [broken(`${this.#tokens.line}`, 'the dump ends within a statement: expected its end')]
  }

  // What the tokenizer calls.

  wantsText(): boolean {
    return this.#place !== 'skipped'
  }

  beginsCopy(): boolean {
    return this.#isCopying
  }

  word(text: string): void {
    if (this.#place === 'head') this.#headWord(text)
    else if (this.#place === 'rows') this.#rowWord(text)
  }

  quoted(text: string | undefined): void {
    if (this.#place === 'head') this.#addToHead({ kind: 'quoted', text: text ?? '' })
    else if (this.#place === 'rows' && this.#depth === 1) this.#row.text(text)
  }

  mark(mark: Mark): void {
    if (mark === ';') this.#endStatement()
    else if (this.#place === 'head') this.#addToHead({ kind: 'mark', text: mark })
    else if (this.#place === 'rows') this.#rowMark(mark)
  }

  comment(text: string): void {
    // mysqldump writes the type timestamp in UTC, unless it is told otherwise.
    if (/^M?!\d+ SET TIME_ZONE='\+00:00'/.test(text)) this.#isUtc = true
    // sqlite3 goes on all the same, and its status is that of success.
    const [, problem] = /^\*{3,} ((?:CORRUPTION )?ERROR[^*]*)/.exec(text) ?? []
    if (problem !== undefined) throw new Error(`sqlite3 could not dump it all: ${problem.trim()}`)
  }

  copied(line: string | undefined): void {
    if (this.#table === undefined) return
    if (line === undefined) this.#found.push(broken(`${this.#tokens.line}`, 'found a row that is too long'))
    else this.#emit(line.split('\t', MAX_VALUES + 1).map(copiedValue))
  }

  #headWord(text: string): void {
    const [first] = this.#head
    if (first === undefined && !/^(?:insert|replace|create|copy)$/i.test(text)) {
      this.#place = 'skipped'
    } else if (first !== undefined && /^(?:insert|replace)$/i.test(first.text) && /^values?$/i.test(text)) {
      this.#table = this.#wantedTable(tableIn(this.#head.slice(1)))
      this.#place = this.#table ? 'rows' : 'skipped'
      this.#depth = 0
    } else this.#addToHead({ kind: 'word', text })
  }

  #addToHead(token: Token): void {
    if (this.#head.length < MAX_HEAD) this.#head.push(token)
    else this.#place = 'skipped'
  }

  #endStatement(): void {
    if (this.#place === 'rows' && this.#depth > 0) {
      this.#row.end()
      this.#found.push(broken(`${this.#tokens.line}`, 'found ; within a row: expected its )'))
    }
    this.#isCopying = false
    const [first, ...rest] = this.#head
    if (this.#place === 'head' && first && /^create$/i.test(first.text)) this.#wantedTable(createdTable(rest))
    if (this.#place === 'head' && first && /^copy$/i.test(first.text)) {
      this.#table = this.#wantedTable(tableIn(rest))
      this.#isCopying = true
    }
    this.#head = []
    this.#place = 'head'
  }

  /** The table with the columns that its rows have, if it is wanted. */
  #wantedTable(found: Table | undefined): Table | undefined {
    if (found === undefined || !Object.hasOwn(this.#wanted, found.name)) return undefined
    const known =
      this.#known.get(found.name) ?? (this.#wanted[found.name] ?? []).map((name) => ({ name, type: '' }))
    const typeOf = (name: string) => known.find((column) => column.name === name)?.type ?? ''
    const columns = found.columns.map(({ name, type }) => ({ name, type: type || typeOf(name) }))
    if (!this.#known.has(found.name)) this.#known.set(found.name, columns.length > 0 ? columns : known)
    return { name: found.name, columns: columns.length > 0 ? columns : known }
  }

  #rowWord(text: string): void {
    if (this.#depth === 1) this.#row.word(text)
    // ON DUPLICATE KEY UPDATE, and the like.
    else if (this.#depth === 0) this.#place = 'skipped'
  }

  #rowMark(mark: Mark): void {
    if (mark === '(') {
      this.#depth += 1
      if (this.#depth > 1) this.#row.expression()
    } else if (mark === ')' && this.#depth > 0) {
      this.#depth -= 1
      if (this.#depth === 0) this.#emit(this.#row.end())
    } else if (mark === ',' && this.#depth === 1) this.#row.next()
  }

  #emit(values: readonly Value[]): void {
    if (this.#table === undefined) return
    const { name, columns } = this.#table
    const where = `${this.#tokens.line}`
    if (values.length !== columns.length) {
      const expected = `expected ${columns.length} (${columns.map((column) => column.name).join(', ')})`
      this.#found.push(broken(where, `found ${values.length} values of table ${name}: ${expected}`))
      return
    }
    const isUtc = this.#isUtc
    const indexOf = (column: string) => columns.findIndex((one) => one.name === column)
    this.#found.push({
      table: name,
      where,
      text: (column) => values[indexOf(column)],
      instant: (column) => {
        const index = indexOf(column)
        return instantOf(values[index], isUtc && columns[index]?.type === 'timestamp')
      },
    })
  }
}

/** The values of a row, while its tokens come. */
class RowValues {
  #values: Value[] = []
  #value: Value
  #tokens = 0

  word(text: string): void {
    // The character set or kind of the string that follows.
    if (/^(?:_\w+|[en])$/i.test(text) && this.#tokens === 0) return
    this.#set(/^null$/i.test(text) ? null : /^[-+]?\d[\w.+-]*$/.test(text) ? text : undefined)
  }

  text(text: string | undefined): void {
    this.#set(text)
  }

  expression(): void {
    this.#set(undefined)
  }

  next(): void {
    if (this.#values.length <= MAX_VALUES) this.#values.push(this.#value)
    this.#value = undefined
    this.#tokens = 0
  }

  end(): readonly Value[] {
    this.next()
    const values = this.#values
    this.#values = []
    return values
  }

  /** A value of several tokens is an expression, which is not computed. */
  #set(value: Value): void {
    this.#value = this.#tokens === 0 ? value : undefined
    this.#tokens += 1
  }
}

/** The table that INSERT INTO or COPY names, and the columns in parentheses behind it. */
function tableIn(tokens: readonly Token[]): Table | undefined {
  const open = tokens.findIndex(isMark('('))
  const close = tokens.findIndex(isMark(')'))
  const from = tokens.findIndex(({ kind, text }) => kind === 'word' && /^from$/i.test(text))
  const before = tokens.slice(0, Math.min(...[open, from].filter((index) => index >= 0), tokens.length))
  const name = lastPart(before.at(-1)?.text ?? '')
  const columns = open === -1 || close < open ? [] : tokens.slice(open + 1, close)
  return {
    name,
    columns: columns.flatMap(({ kind, text }) =>
      kind === 'mark' ? [] : [{ name: text.toLowerCase(), type: '' }],
    ),
  }
}

/** Words that begin what is no column in CREATE TABLE. */
const NO_COLUMN = /^(?:primary|key|unique|constraint|index|check|foreign|fulltext|spatial|exclude|like)$/i

/** The table that CREATE TABLE makes, with its columns; `undefined` for CREATE INDEX and the like. */
function createdTable(tokens: readonly Token[]): Table | undefined {
  const open = tokens.findIndex(isMark('('))
  const before = tokens.slice(0, open)
  if (open === -1 || !before.some(({ text }) => /^table$/i.test(text))) return undefined
  const columns: Column[] = []
  let depth = 0
  for (const [index, { kind, text }] of tokens.entries()) {
    if (kind === 'mark' && text === '(') depth += 1
    if (kind === 'mark' && text === ')') depth -= 1
    const begins = depth === 1 && kind === 'mark' && (text === ',' || index === open)
    const [name, type] = begins ? tokens.slice(index + 1) : []
    if (!name || name.kind === 'mark' || (name.kind === 'word' && NO_COLUMN.test(name.text))) continue
    columns.push({ name: name.text.toLowerCase(), type: type?.text.toLowerCase() ?? '' })
  }
  return { name: lastPart(before.at(-1)?.text ?? ''), columns }
}

function isMark(mark: Mark): (token: Token) => boolean {
  return ({ kind, text }) => kind === 'mark' && text === mark
}

/** The name of a table without that of its schema: both may come as one word, or in quotes with a point between them. */
function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1).toLowerCase()
}

/** What a backslash and a letter stand for in COPY. */
const COPY_ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** The value of a field in a line of COPY. */
function copiedValue(field: string): Value {
  if (field === '\\N') return null
  if (!field.includes('\\')) return field
  return field.replace(/\\(.?)/gs, (_, letter: string) => COPY_ESCAPES[letter] ?? letter)
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:(Z|[+-]\d\d)(?::?(\d\d))?)?$/

/**
 * The instant in seconds since 1970, as sqlgrey has it in SQLite, or in a date and time: in UTC if that is said, else in
 * the time zone of this process.
 */
function instantOf(value: Value, isUtc: boolean): number | undefined {
  if (value == null) return undefined
  if (/^\d{1,11}(?:\.\d+)?$/.test(value)) return Math.floor(Number(value)) * 1000
  const [, year, month, day, hour, minute, second, zone] = TIME.exec(value) ?? []
  if (year === undefined || Number(month) === 0) return undefined
  const parts = [
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  ] as const
  if (zone !== undefined) {
    const at = Date.parse(value.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'))
    return Number.isNaN(at) ? undefined : at
  }
  return isUtc ? Date.UTC(...parts) : new Date(...parts).getTime()
}
