// Parses and expands a name in an SPF record, in which macros may stand for properties of the message; the evaluation
// finds those out.
// Source: RFC 7208 section 7.

import { type IpAddress, ipFromBytes, labelsOf, reversedName } from '../../ip.ts'
import { withoutFinalDot } from './hosts.ts'

/** The values of macros. */
export interface MacroValues {
  readonly client: IpAddress
  /** Local part of the sender, or `postmaster` if it has none. */
  readonly local: string
  /** Domain of the sender. */
  readonly senderDomain: string
  /** The name that the client gave in HELO. */
  readonly helo: string
  /** The domain whose record is evaluated. */
  readonly domain: string
  /** The validated host name of the client, for `%{p}`; the caller asks DNS for it. */
  readonly clientName: string
}

interface Macro {
  /** In lower case. */
  readonly letter: string
  /** Number of the last parts that are kept; absent for all parts. */
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

/** Macro letters of names; `c`, `r` and `t` belong to explanations only (RFC 7208 section 7.2). */
const NAME_LETTERS = 'slodiphv'
const TEXT_LETTERS = `${NAME_LETTERS}crt`

/** Limits of a label and of a name, in characters (RFC 1035 section 2.3.4). */
const MAX_LABEL = 63
const MAX_NAME = 253

/** A run of text, an escape, or a macro, of visible characters only. */
const TOKEN = /([!-$&-~]+)|(%[%_-])|%\{([a-z])(\d{0,3})(r?)([-.+,/_=]*)\}/iy
const ESCAPES: Readonly<Record<string, string>> = { '%%': '%', '%_': ' ', '%-': '%20' }

/** Fast path: most names are visible characters without a macro. */
const PLAIN_DOMAIN = /^[!-$&-~]+$/

/** The parts of a `domain-spec`, or `undefined` if the text is none. */
export function parseDomainSpec(text: string): DomainSpec | undefined {
  if (PLAIN_DOMAIN.test(text)) return endsInTopLabel(text) ? specOf([text]) : undefined
  const parts = parseMacroString(text, NAME_LETTERS)
  const last = parts?.at(-1)
  if (!parts || last === undefined) return undefined
  return typeof last === 'object' || endsInTopLabel(last) ? specOf(parts) : undefined
}

/** Whether a name ends in a label that is no number, with or without a final dot, as one without a macro there must. */
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

/** The name that a `domain-spec` stands for, without a final dot, and cut to the longest name. */
export function expand({ parts }: DomainSpec, values: MacroValues): string {
  // A name that is too long loses its beginning. Expanding from the end bounds the work for thousands of macros.
  let name = ''
  for (let index = parts.length - 1; index >= 0 && name.length <= 2 * MAX_NAME; index -= 1) {
    const part = parts[index] ?? ''
    name = (typeof part === 'string' ? part : expandMacro(part, values)) + name
  }
  return withinLength(withoutFinalDot(name))
}

/**
 * The name that a `domain-spec` stands for in the record of `domain`, the same for all clients of one family. Only for
 * a spec whose `isOfClient` is false.
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

/** The name whose PTR records have the client's host names (RFC 1035 section 3.5, RFC 3596 section 2.5). */
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

/** The name without as many of its first labels as make it too long for DNS (RFC 7208 section 7.3). */
function withinLength(name: string): string {
  return name.length > MAX_NAME ? name.slice(name.indexOf('.', name.length - MAX_NAME - 1) + 1) : name
}
