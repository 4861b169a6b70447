// A name in an SPF record, in which macros may stand for what is known of the message: text → parts → name.
// Source: RFC 7208 section 7.

import { type IpAddress, ipFromBytes, labelsOf, reversedName } from '../../ip.ts'

/** What macros stand for. */
export interface MacroValues {
  readonly client: IpAddress
  /** Local part of the sender; `postmaster` where it has none. */
  readonly local: string
  /** Domain of the sender. */
  readonly senderDomain: string
  /** What the client called itself in HELO. */
  readonly helo: string
  /** The domain whose record is evaluated. */
  readonly domain: string
  /** The validated host name of the client, for `%{p}`; found out by the caller, as DNS has to be asked. */
  readonly clientName: string
}

interface Macro {
  /** In lower case. */
  readonly letter: string
  /** How many of the last parts are kept; all of them where it is absent. */
  readonly keep?: number
  readonly isReversed: boolean
  readonly delimiters: string
  readonly isEscaped: boolean
}

export interface DomainSpec {
  readonly parts: ReadonlyArray<string | Macro>
  /** Whether the name differs from client to client, or from message to message of one domain. */
  readonly isOfClient: boolean
  /** Whether the name differs between senders of one domain, or with what clients say in HELO. */
  readonly isOfSender: boolean
  /** Whether the client's validated host name is needed. */
  readonly needsClientName: boolean
}

/** Letters that may stand in names; `c`, `r` and `t` belong to explanations only (RFC 7208 section 7.2). */
const NAME_LETTERS = 'slodiphv'
const TEXT_LETTERS = `${NAME_LETTERS}crt`

/** Characters of a label and of a name (RFC 1035 section 2.3.4). */
const MAX_LABEL = 63
const MAX_NAME = 253

/** Text, an escape, or a macro; visible characters only. */
const TOKEN = /([!-$&-~]+)|(%[%_-])|%\{([a-z])(\d{0,3})(r?)([-.+,/_=]*)\}/iy
const ESCAPES: Readonly<Record<string, string>> = { '%%': '%', '%_': ' ', '%-': '%20' }

/** Visible characters without a macro among them, as most names are. */
const PLAIN = /^[!-$&-~]+$/

/** Reads a `domain-spec`; `undefined` for what is none. */
export function parseDomainSpec(text: string): DomainSpec | undefined {
  if (PLAIN.test(text)) return endsInTopLabel(text) ? specOf([text]) : undefined
  const parts = parseMacroString(text, NAME_LETTERS)
  const last = parts?.at(-1)
  if (!parts || last === undefined) return undefined
  return typeof last === 'object' || endsInTopLabel(last) ? specOf(parts) : undefined
}

/** Whether a name ends as one without a macro at its end has to: in a label that is no number, and a dot or none. */
function endsInTopLabel(name: string): boolean {
  const end = name.endsWith('.') ? name.length - 1 : name.length
  const dot = name.lastIndexOf('.', end - 1)
  if (dot === -1 || end - dot - 1 > MAX_LABEL) return false
  const label = name.slice(dot + 1, end)
  return /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i.test(label) && !/^\d+$/.test(label)
}

/** Whether `text` is a `macro-string`, as the values of unknown modifiers have to be. */
export function isMacroString(text: string): boolean {
  return parseMacroString(text, TEXT_LETTERS) !== undefined
}

/** The name that a `domain-spec` stands for, without a final dot, and without what is beyond the longest name. */
export function expand({ parts }: DomainSpec, values: MacroValues): string {
  // From the end on, as what makes a name too long is dropped at its beginning: a record may have thousands of macros.
  let name = ''
  for (let index = parts.length - 1; index >= 0 && name.length <= 2 * MAX_NAME; index -= 1) {
    const part = parts[index] ?? ''
    name = (typeof part === 'string' ? part : expandMacro(part, values)) + name
  }
  return withinLength(name.endsWith('.') ? name.slice(0, -1) : name)
}

/**
 * The name that a `domain-spec` stands for in the record of `domain`, where it is the same for all clients of one family:
 * `isOfClient` is false.
 */
export function expandStatic(
  spec: DomainSpec,
  { domain, senderDomain, isIpv4 }: { domain: string; senderDomain: string; isIpv4: boolean },
): string {
  const nobody = { client: isIpv4 ? NO_CLIENT.ipv4 : NO_CLIENT.ipv6, local: '', helo: '', clientName: '' }
  return expand(spec, { ...nobody, domain, senderDomain }).toLowerCase()
}

const NO_CLIENT = { ipv4: ipFromBytes([0, 0, 0, 0]), ipv6: ipFromBytes(new Array(16).fill(0)) }

function specOf(parts: DomainSpec['parts']): DomainSpec {
  const letters = parts.map((part) => (typeof part === 'string' ? '' : part.letter)).join('')
  return {
    parts,
    isOfClient: /[slhip]/.test(letters),
    isOfSender: /[slh]/.test(letters),
    needsClientName: letters.includes('p'),
  }
}

function parseMacroString(text: string, letters: string): Array<string | Macro> | undefined {
  const parts: Array<string | Macro> = []
  let literal = ''
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const [all, plain, escaped, letter = '', digits = '', reversed, delimiters] = TOKEN.exec(text) ?? []
    if (all === undefined) return undefined
    if (plain !== undefined || escaped !== undefined) {
      literal += plain ?? ESCAPES[all]
      continue
    }
    const lower = letter.toLowerCase()
    if (!letters.includes(lower) || (digits !== '' && Number(digits) === 0)) return undefined
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push({
      letter: lower,
      ...(digits === '' ? {} : { keep: Number(digits) }),
      isReversed: reversed !== '',
      delimiters: delimiters || '.',
      isEscaped: letter !== lower,
    })
  }
  if (literal !== '') parts.push(literal)
  return parts
}

function expandMacro(
  { letter, keep, isReversed, delimiters, isEscaped }: Macro,
  values: MacroValues,
): string {
  let value = macroValue(letter, values)
  if (isReversed || keep !== undefined || delimiters !== '.') {
    const parts = splitAt(value, delimiters)
    if (isReversed) parts.reverse()
    value = (keep === undefined ? parts : parts.slice(-keep)).join('.')
  }
  // encodeURIComponent leaves !'()* as they are, which RFC 3986 does not count as unreserved.
  return isEscaped
    ? encodeURIComponent(value.replace(/\p{Cs}/gu, '\ufffd')).replace(/[!'()*]/g, escapeOf)
    : value
}

function macroValue(letter: string, values: MacroValues): string {
  const { client, local, senderDomain, helo, domain, clientName } = values
  switch (letter) {
    case 's':
      return `${local}@${senderDomain}`
    case 'l':
      return local
    case 'o':
      return senderDomain
    case 'd':
      return domain
    case 'i':
      return labelsOf(client).join('.')
    case 'p':
      return clientName
    case 'v':
      return client.kind === 'ipv4' ? 'in-addr' : 'ip6'
    default:
      return helo
  }
}

/** The name of a client below which its host names are (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseName(client: IpAddress): string {
  return `${reversedName(client)}.${client.kind === 'ipv4' ? 'in-addr' : 'ip6'}.arpa`
}

function splitAt(value: string, delimiters: string): string[] {
  const parts: string[] = ['']
  for (const character of value) {
    if (delimiters.includes(character)) parts.push('')
    else parts[parts.length - 1] += character
  }
  return parts
}

function escapeOf(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}

/** Without as many of its first labels as make it too long for the DNS (RFC 7208 section 7.3). */
function withinLength(name: string): string {
  return name.length > MAX_NAME ? name.slice(name.indexOf('.', name.length - MAX_NAME - 1) + 1) : name
}
