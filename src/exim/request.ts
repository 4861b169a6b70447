// Reads and writes the lines by which Exim asks through ${readsocket…}. Two forms are read: that of greylistd, so that
// its ACL works as it is, and one of named fields, which carries all that a verdict can need. The bytes of the
// connection are left to session.ts, the answers to the door.
// Source: greylistd 0.9 (runCommand, do_update), its exim4-acl-example.txt and greylistd-setup-exim4; Exim 4.96 spec,
// chapter 11 (readsocket, quote), expand.c (EOP_QUOTE).

import { decodeText, encodeText } from '../milter/text.ts'

/** What Exim says of the SMTP client and of the message, by the names of the fields; an unknown value is ''. */
export interface Fields {
  /** Address of the SMTP client. */
  readonly client: string
  /** Its confirmed host name. */
  readonly name: string
  readonly helo: string
  /** The authenticator by which the client has logged in, and the user. */
  readonly auth: string
  readonly user: string
  /** `1` if the client's certificate is verified. */
  readonly verified: string
  readonly subject: string
  readonly issuer: string
  readonly fingerprint: string
  readonly sender: string
  /** Any text that the requests about one message share, and those about another do not. */
  readonly message: string
  /** Exim's id of the message. */
  readonly id: string
  /** Host name of Exim's host. */
  readonly mta: string
}

/** A line that Exim has sent. */
export type EximRequest =
  /** Asks about one recipient, at RCPT. */
  | { readonly kind: 'rcpt'; readonly of: Fields; readonly recipient: string }
  /** Asks about all recipients of one message, at DATA or after it. */
  | { readonly kind: 'data'; readonly of: Fields; readonly recipients: readonly string[] }
  | TripletRequest
  /** A line that cannot be answered otherwise; `answer` is one by which Exim lets the mail pass. */
  | { readonly kind: 'refused'; readonly reason: string; readonly answer: string }

/** greylistd's question whether a triplet is on a list; without `list`, on which it is. */
export interface TripletRequest {
  readonly kind: 'greylistd'
  readonly list: ListName | undefined
  readonly client: string
  readonly sender: string
  readonly recipients: readonly string[]
}

/** greylistd's lists. */
export type ListName = 'white' | 'grey' | 'black'

/** The answer that lets mail pass, to a line of named fields. */
export const PASS = 'pass'

const LISTS: readonly string[] = ['white', 'grey', 'black'] satisfies ListName[]

/** Commands of greylistd that look at its lists or change them; greymx has commands of its own for that. */
const LIST_COMMANDS: readonly string[] = [
  ...['add', 'delete', 'check', 'status', 'stats', 'list', 'clear', 'save', 'reload', 'mrtg'],
]

/** The values of fields that are not given. */
const NO_FIELDS: Fields = {
  client: '',
  name: '',
  helo: '',
  auth: '',
  user: '',
  verified: '',
  subject: '',
  issuer: '',
  fingerprint: '',
  sender: '',
  message: '',
  id: '',
  mta: '',
}

/** The fields without which nobody can be judged. */
const REQUIRED: ReadonlyArray<keyof Fields> = ['client', 'sender']

/** Longest text of a line that a reason shows, in characters. */
const MAX_SHOWN = 80

/** The request in a line without its end. Every line is one; it never throws. */
export function parseRequest(bytes: Buffer): EximRequest {
  const line = trimmed(decodeText(bytes))
  const verb = /^[a-z]+(?=[ \t]|$)/.exec(line)?.[0] ?? ''
  const form = /^(?:[a-z]+[ \t]+)?-/.test(line) ? '--' : verb
  if (line.includes('\0')) return refused('a NUL is in it', line, form)
  const rest = trimmed(line.slice(verb.length))
  switch (verb) {
    case 'rcpt':
    case 'data':
      return parseFields(verb, rest)
    case '':
      return parseTriplet(line, line)
    case 'update':
      return parseTriplet(rest, line)
    default:
      return refused(
        LIST_COMMANDS.includes(verb) ? 'greymx keeps no such lists' : 'no request begins so',
        line,
        form,
      )
  }
}

/** The line for a request about one recipient, or about several at once, with its end. */
export function formatRequest(
  of: Partial<Fields>,
  recipients: readonly string[],
  at: 'rcpt' | 'data',
): Buffer {
  const fields = Object.entries(of).map(([name, value]) => `${name}=${quote(value)}`)
  const last =
    at === 'rcpt' ? `recipient=${quote(recipients[0] ?? '')}` : `recipients=${quote(recipients.join(', '))}`
  return encodeText(`${[at, ...fields, last].join(' ')}\n`)
}

/** The text as Exim's operator `quote` writes any that needs quotes. */
function quote(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  return `"${escaped}"`
}

function parseFields(kind: 'rcpt' | 'data', text: string): EximRequest {
  const own = kind === 'rcpt' ? 'recipient' : 'recipients'
  const fields = new Map<string, string>()
  for (let at = 0; at < text.length; ) {
    const field = fieldAt(text, at)
    if (!field) return refused(`no field like name=$\{quote:…} begins there`, text.slice(at), kind)
    const { name, value, end } = field
    if (name !== own && !Object.hasOwn(NO_FIELDS, name)) return refused('no field has this name', name, kind)
    if (fields.has(name)) return refused('the field is given twice', name, kind)
    fields.set(name, value)
    at = end
  }
  const missing = [...REQUIRED, own].find((name) => !fields.has(name))
  if (missing !== undefined) return refused('a field is missing', missing, kind)
  const recipients = fields.get(own) ?? ''
  fields.delete(own)
  const of: Fields = { ...NO_FIELDS, ...Object.fromEntries(fields) }
  if (kind === 'data') return { kind, of, recipients: splitAddresses(recipients) }
  if (recipients === '') return refused('a field is empty', own, kind)
  return { kind, of, recipient: recipients }
}

interface Field {
  readonly name: string
  readonly value: string
  /** Where the next field begins. */
  readonly end: number
}

/** A name, and the value bare if Exim's operator `quote` leaves it so. */
const BARE_FIELD = /([a-z]+)=([A-Za-z0-9_.-]*)/y

/**
 * The field at `start`. A value with any other character has to stand in quotes: a name in HELO, written without them,
 * could otherwise be read as further fields.
 */
function fieldAt(text: string, start: number): Field | undefined {
  BARE_FIELD.lastIndex = start
  const [found, name, bare] = BARE_FIELD.exec(text) ?? []
  if (found === undefined || name === undefined || bare === undefined) return undefined
  const valueAt = start + found.length
  const quoted =
    bare === '' && text[valueAt] === '"' ? quotedAt(text, valueAt) : { value: bare, end: valueAt }
  if (!quoted || (quoted.end < text.length && text[quoted.end] !== ' ')) return undefined
  let { end } = quoted
  while (text[end] === ' ') end += 1
  return { name, value: quoted.value, end }
}

/** The content of the quoted text that begins at `start`; `undefined` if it has no end. */
function quotedAt(text: string, start: number): { readonly value: string; readonly end: number } | undefined {
  let value = ''
  let from = start + 1
  for (let at = from; at < text.length; at += 1) {
    const character = text[at]
    if (character === '"') return { value: value + text.slice(from, at), end: at + 1 }
    if (character !== '\\') continue
    const next = text[at + 1] ?? ''
    value += text.slice(from, at) + (next === 'n' ? '\n' : next === 'r' ? '\r' : next)
    at += 1
    from = at + 1
  }
  return undefined
}

/**
 * greylistd takes its words for one text, whose hash it remembers; here they are client, sender and recipient. A bounce
 * has no sender, and all its recipients with commas between them. Quoted local parts may have spaces in them.
 */
function parseTriplet(text: string, line: string): EximRequest {
  const [, option, rest = ''] = /^(?:-+([^ \t]+)[ \t]+)?(.*)$/s.exec(text) ?? []
  if (option !== undefined && !isListName(option)) return refused('greylistd has no such list', option, '--')
  const [client = '', second = '', ...others] = wordsOf(rest)
  const isList = second.endsWith(',') || others.length === 0
  const last = others.join(' ')
  const recipients = isList ? splitAddresses(`${second} ${last}`) : [unquotedMailbox(last)]
  if (!/^[\d.:a-f/]+$/i.test(client) || recipients.length === 0)
    return refused('expected client, sender and recipient', line, option === undefined ? '' : '--')
  return { kind: 'greylistd', list: option, client, sender: isList ? '' : second, recipients }
}

function isListName(text: string): text is ListName {
  return LISTS.includes(text)
}

/** The first two words, and the text behind them as it is. */
function wordsOf(text: string): string[] {
  const words: string[] = []
  for (let start = 0; start < text.length; ) {
    if (words.length === 2) return [...words, text.slice(start)]
    const end = wordEnd(text, start)
    words.push(text.slice(start, end))
    start = end
    while (isBlank(text[start])) start += 1
  }
  return words
}

/**
 * Index of the first space behind `start` that ends a word. Exim takes local parts with spaces in quotes, in quotes
 * behind other characters, and behind a backslash (parse.c, read_local_part), and shows a sender as it came.
 */
function wordEnd(text: string, start: number): number {
  let isQuoted = false
  for (let at = start; at < text.length; at += 1) {
    const character = text[at]
    if (character === '\\') at += 1
    else if (character === '"') isQuoted = !isQuoted
    else if (!isQuoted && isBlank(character)) return at
  }
  return text.length
}

/** Whether greylistd ends a word at this character; a no-break space may be part of an internationalised address. */
function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t' || character === '\r'
}

function trimmed(text: string): string {
  let [start, end] = [0, text.length]
  while (isBlank(text[start])) start += 1
  while (end > start && isBlank(text[end - 1])) end -= 1
  return text.slice(start, end)
}

/** The addresses of Exim's $recipients, which has a comma and a space between them. */
function splitAddresses(text: string): string[] {
  const addresses: string[] = []
  let [from, isQuoted] = [0, false]
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]
    if (character === '\\') at += 1
    else if (character === '"') isQuoted = !isQuoted
    else if (character === ',' && !isQuoted) {
      addresses.push(trimmed(text.slice(from, at)))
      from = at + 1
    }
  }
  return [...addresses, trimmed(text.slice(from))].filter((address) => address !== '')
}

/** Text that may stand for itself as a local part, or is quoted as a whole. */
const LOCAL_PART = /^(?:[^ \t\r"(),:;<>@[\\\]]+|"[^"\\]*(?:\\.[^"\\]*)*")$/s

/** The address in `$local_part@$domain`, in which Exim has taken the quotes off the local part. */
function unquotedMailbox(text: string): string {
  const at = text.lastIndexOf('@')
  const [local, domain] = at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at)]
  return LOCAL_PART.test(local) ? text : `"${local.replace(/["\\]/g, '\\$&')}"${domain}`
}

/** The answer is one that no ACL takes for a reason to defer. */
function refused(why: string, what: string, verb: string): EximRequest {
  const shown = what.length > MAX_SHOWN ? `${what.slice(0, MAX_SHOWN)}…` : what
  const reason = `${why}: ${JSON.stringify(shown)}`
  const answer = verb === 'rcpt' || verb === 'data' ? PASS : verb === '--' ? 'false' : `error: ${why}`
  return { kind: 'refused', reason, answer }
}
