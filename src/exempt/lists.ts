// Postgrey's list files → rules: an entry a line, # begins a comment anywhere in it. What an entry means is what
// Postgrey's manual says; where its code departs from that, a warning tells.
// Source: postgrey(8) 1.37, "Whitelists"; read_clients_whitelists and read_recipients_whitelists in its code.

import { readFileSync, statSync } from 'node:fs'
import { parseNetwork } from '../ip.ts'
import { messageOf } from '../message.ts'
import { type AddressRule, parseAddressRule } from './addresses.ts'
import { type ClientRule, parseClientRule } from './clients.ts'

export interface List<R> {
  readonly rules: readonly R[]
  /** Files and lines left out: `FILE:LINE: what, with which value, what is expected`. */
  readonly problems: readonly string[]
  /** Entries that became rules, but not what Postgrey makes of them; in the same form. */
  readonly warnings: readonly string[]
}

export interface ListFiles {
  /** As `parseClientList` reads them. */
  readonly clients: readonly string[]
  /** As `parseAddressList` reads them. */
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

/** Throws with what it expected. */
type ReadEntry<R> = (entry: string, warn: (what: string) => void) => R

/** A longer entry is no name or address, and a pattern of that length would tell on every decision. */
const LONGEST_ENTRY = 4096
/** A file that is no list at all has as many problems as lines. */
const MOST_REPORTED = 100

/**
 * Reads a `whitelist_clients`: networks, the first three numbers of an IPv4 address, host names (and all below) and
 * patterns. Patterns see the address as well as the name, as the manual says; Postgrey's code shows them the name alone.
 */
export function parseClientList(fileName: string, text: string): List<ClientRule> {
  return parseList(fileName, text, readClient)
}

/**
 * Reads a `whitelist_recipients`, or senders in the same form: domains (and all below), `name@domain` and `name@` with
 * their `name+extension`, and patterns, which see the whole address. `<>` is the null sender, which Postgrey has not.
 */
export function parseAddressList(fileName: string, text: string): List<AddressRule> {
  return parseList(fileName, text, readAddress)
}

/** What all files hold; never throws. */
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

/** All these files as one list. A file that cannot be read is one problem. */
export function readClientLists(files: readonly string[]): List<ClientRule> {
  return joined(files.map((file) => readList(file, parseClientList)))
}

/** All these files as one list. A file that cannot be read is one problem. */
export function readAddressLists(files: readonly string[]): List<AddressRule> {
  return joined(files.map((file) => readList(file, parseAddressList)))
}

function readClient(entry: string, warn: (what: string) => void): ClientRule {
  if (/^\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(entry)) return parseClientRule(`${entry}.0/24`)
  const ofTwoNumbers = /^\d{1,3}\.\d{1,3}$/.test(entry) ? parseNetwork(`${entry}.0.0/16`) : undefined
  if (!ofTwoNumbers) return parseClientRule(entry)
  // "Only the first specified numbers will be checked", says the manual, and a remark in Postgrey's code has /16, too;
  // but the line below that remark makes a network of 24 bits, the third number being 0.
  warn(
    `${entry} is read as ${entry}.0.0/16, all addresses that begin with these two numbers, as Postgrey's manual says; ` +
      `Postgrey itself exempts ${entry}.0.0/24 only: write the one that is meant`,
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
    // Takes a carriage return and a byte order mark for white space, too.
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

/** Throws on what is no entry of any kind; U+FFFD stands for bytes that are not UTF-8. */
function checkEntry(entry: string): void {
  if (entry.length > LONGEST_ENTRY) throw new Error(`expected at most ${LONGEST_ENTRY} characters`)
  if (/\s/.test(entry)) throw new Error('expected one entry a line, without white space in it')
  if (/[\p{Cc}\ufffd]/u.test(entry)) throw new Error('expected text in UTF-8, without control characters')
}

function clipped(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function readList<R>(file: string, parse: (fileName: string, text: string) => List<R>): List<R> {
  let text: string
  try {
    // Opening a pipe would wait for whoever writes to it.
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

/** What there is to say of a file's lines: the first of it in full, of the rest how much there is. */
class Remarks {
  readonly #fileName: string
  readonly #lines: string[] = []
  #unsaid = { count: 0, from: 0 }

  constructor(fileName: string) {
    this.#fileName = fileName
  }

  add(line: number, what: string): void {
    if (this.#lines.length < MOST_REPORTED) this.#lines.push(`${this.#fileName}:${line}: ${what}`)
    else this.#unsaid = { count: this.#unsaid.count + 1, from: this.#unsaid.from || line }
  }

  lines(): string[] {
    const { count, from } = this.#unsaid
    if (count === 0) return this.#lines
    return [...this.#lines, `${this.#fileName}:${from}: from here on ${count} more of the kind`]
  }
}
