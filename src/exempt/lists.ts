// Reads Postgrey's list files into rules. Each line has one entry, and # begins a comment anywhere. Entries mean what
// Postgrey's manual says; a warning tells where Postgrey's code departs from it. clients.ts and addresses.ts parse
// rules.
// Source: postgrey(8) 1.37, "Whitelists"; read_clients_whitelists and read_recipients_whitelists in its code.

import { readFileSync, statSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { parseNetwork } from '../ip.ts'
import { type AddressRule, parseAddressRule } from './addresses.ts'
import { type ClientRule, parseClientRule } from './clients.ts'

export interface List<R> {
  readonly rules: readonly R[]
  /** Files and lines that were left out, as `FILE:LINE: what, with which value, what is expected`. */
  readonly problems: readonly string[]
  /** Entries that became other rules than in Postgrey, in the same form. */
  readonly warnings: readonly string[]
}

export interface ListFiles {
  /** Paths of files for `parseClientList`. */
  readonly clients: readonly string[]
  /** Paths of files for `parseAddressList`, like those of recipients. */
  readonly senders: readonly string[]
  readonly recipients: readonly string[]
}

export interface Lists {
  readonly clients: readonly ClientRule[]
  readonly senders: readonly AddressRule[]
  readonly recipients: readonly AddressRule[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** The rule in an entry. Throws an error that says what it expected. */
type ReadEntry<R> = (entry: string, warn: (what: string) => void) => R

/**
 * Longest entry, in characters. A longer one is no name or address, and as a pattern would slow every decision down.
 */
const MAX_ENTRY_LENGTH = 4096
/** Remarks on a file that are reported in full; a file that is no list has as many problems as lines. */
const MAX_REPORTED = 100

/**
 * The rules of a `whitelist_clients`: networks, the first three numbers of an IPv4 address, host names with all below
 * them, and patterns. A pattern is matched with the address and the name, as the manual says, while Postgrey's code
 * matches the name alone.
 */
export function parseClientList(fileName: string, text: string): List<ClientRule> {
  return parseList(fileName, text, readClient)
}

/**
 * The rules of a `whitelist_recipients`, or of senders in the same form: domains with all below them, `name@domain` and
 * `name@` with their `name+extension`, and patterns, matched with the whole address. `<>`, unknown to Postgrey, is the
 * null sender.
 */
export function parseAddressList(fileName: string, text: string): List<AddressRule> {
  return parseList(fileName, text, readAddress)
}

/** The rules of all files. Never throws. */
export function readLists(files: ListFiles): Lists {
  const clients = readClientLists(files.clients)
  const senders = readAddressLists(files.senders)
  const recipients = readAddressLists(files.recipients)
  const all = [clients, senders, recipients]
  return {
    clients: clients.rules,
    senders: senders.rules,
    recipients: recipients.rules,
    problems: all.flatMap(({ problems }) => problems),
    warnings: all.flatMap(({ warnings }) => warnings),
  }
}

/** The rules of all these files as one list; a file that cannot be read is one problem. */
export function readClientLists(files: readonly string[]): List<ClientRule> {
  return joined(files.map((file) => readList(file, parseClientList)))
}

/** The rules of all these files as one list; a file that cannot be read is one problem. */
export function readAddressLists(files: readonly string[]): List<AddressRule> {
  return joined(files.map((file) => readList(file, parseAddressList)))
}

function readClient(entry: string, warn: (what: string) => void): ClientRule {
  if (/^\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(entry)) return parseClientRule(`${entry}.0/24`)
  const ofTwoNumbers = /^\d{1,3}\.\d{1,3}$/.test(entry) ? parseNetwork(`${entry}.0.0/16`) : undefined
  if (!ofTwoNumbers) return parseClientRule(entry)
  // The manual says "Only the first specified numbers will be checked", and a remark in Postgrey's code has /16, too;
  // but the code makes a network of 24 bits whose third number is 0.
  warn(
    `${entry} is read as ${entry}.0.0/16, as Postgrey's manual says, though Postgrey itself exempts ${entry}.0.0/24 only: ` +
      'expected the network that you mean, written in full',
  )
  return { kind: 'network', network: ofTwoNumbers }
}

function readAddress(entry: string): AddressRule {
  const rule = parseAddressRule(entry)
  if (rule.kind === 'local') return { kind: 'extended', mailbox: `${rule.local}@` }
  if (rule.kind === 'address' && rule.normal !== '') return { kind: 'extended', mailbox: rule.normal }
  return rule
}

function parseList<R>(fileName: string, text: string, readEntry: ReadEntry<R>): List<R> {
  const rules: R[] = []
  const problems = new Remarks(fileName)
  const warnings = new Remarks(fileName)
  for (const [index, line] of text.split('\n').entries()) {
    const comment = line.indexOf('#')
    // trim() removes a carriage return and a byte order mark, too.
    const entry = (comment === -1 ? line : line.slice(0, comment)).trim()
    if (entry === '') continue
    try {
      checkEntry(entry)
      rules.push(readEntry(entry, (what) => warnings.add(index + 1, what)))
    } catch (error) {
      problems.add(index + 1, `Cannot read ${clipped(JSON.stringify(entry))}: ${clipped(messageOf(error))}`)
    }
  }
  return { rules, problems: problems.lines(), warnings: warnings.lines() }
}

/** Throws on a text that cannot be an entry; U+FFFD stands for bytes that are not UTF-8. */
function checkEntry(entry: string): void {
  if (entry.length > MAX_ENTRY_LENGTH) throw new Error(`expected at most ${MAX_ENTRY_LENGTH} characters`)
  if (/\s/.test(entry)) throw new Error('expected one entry a line, without white space in it')
  if (/[\p{Cc}\ufffd]/u.test(entry)) throw new Error('expected text in UTF-8, without control characters')
}

function clipped(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function readList<R>(file: string, parse: (fileName: string, text: string) => List<R>): List<R> {
  let text: string
  try {
    // Opening a pipe would block until somebody writes to it.
    if (!statSync(file).isFile()) throw new Error('expected a regular file')
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return { rules: [], problems: [`${file}: cannot be read: ${messageOf(error)}`], warnings: [] }
  }
  return parse(file, text)
}

function joined<R>(lists: readonly List<R>[]): List<R> {
  return {
    rules: lists.flatMap((list) => list.rules),
    problems: lists.flatMap((list) => list.problems),
    warnings: lists.flatMap((list) => list.warnings),
  }
}

/** Collects remarks on a file's lines: the first MAX_REPORTED in full, and the number of the others. */
class Remarks {
  readonly #fileName: string
  readonly #lines: string[] = []
  #unsaid = { count: 0, from: 0 }

  constructor(fileName: string) {
    this.#fileName = fileName
  }

  add(line: number, what: string): void {
    if (this.#lines.length < MAX_REPORTED) this.#lines.push(`${this.#fileName}:${line}: ${what}`)
    else this.#unsaid = { count: this.#unsaid.count + 1, from: this.#unsaid.from || line }
  }

  lines(): string[] {
    const { count, from } = this.#unsaid
    if (count === 0) return this.#lines
    return [...this.#lines, `${this.#fileName}:${from}: ${count} more such lines from here on are not shown`]
  }
}
