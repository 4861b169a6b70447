// Whether a sender's domain names the client as one of its own, by SPF. The evaluation is mailauth's; what it asks of
// the DNS goes through here, so that a record it would read otherwise than RFC 7208 is refused or put right, a failed
// question is never taken for an answer, and no record, however hostile, costs more than a bounded amount of work.
// Questions are neither remembered nor timed here: both are the caller's.
// Source: RFC 7208; mailauth 4.13, lib/spf.

import { isIPv4, isIPv6 } from 'node:net'
import { ADDRESS_BITS, type IpAddress, isInNetwork, parseIp, parseNetwork } from '../ip.ts'

// Awaited where it is used: it takes as long to load as a store takes to open, and does so meanwhile.
const library = import('mailauth/lib/spf/index.js')

/** As `dns.promises.resolve`: rejects with a `code`, of which ENOTFOUND and ENODATA alone say that there is nothing. */
export type Resolve = (name: string, type: string) => Promise<unknown>

export interface SpfQuestion {
  readonly client: IpAddress
  /** `local@domain`; `postmaster@` and the HELO name for the null sender (RFC 7208 section 2.4). */
  readonly sender: string
  readonly helo: string
}

/** `other`: the domain has a record, and it does not pass. `error`: the DNS failed, so that nothing is known. */
export type SpfAnswer = 'pass' | 'other' | 'none' | 'error'

/**
 * DNS questions of one evaluation. RFC 7208 section 4.6.4 lets 10 terms ask, but each `mx` and `ptr` among them for 10
 * hosts more; records in use need a dozen or two.
 */
const MAX_QUESTIONS = 60
/** Characters of one record. RFC 7208 section 3.4 wants it to fit into 512; flattened ones in use have two thousand. */
const MAX_RECORD = 4096
/** Characters of one term with its macros expanded: mailauth's check of a name takes time in the square of its length. */
const MAX_TERM = 1024
/** Characters of a sender, and of a HELO name. RFC 5321 section 4.5.3.1 has 254 and 255; some mailers exceed that. */
const MAX_IDENTITY = 512

/** What mailauth is given in place of a record that it must not evaluate; it is a syntax error: a permerror. */
const REFUSED = 'v=spf1 refused'

/** A macro by the grammar of RFC 7208 section 7.1. */
const MACRO = /^%(?:[%_-]|\{[cdhiloprstv](?:[1-9]\d{0,2})?r?[-.+,/_=]*\})$/i
/** Of macros, those that may stand in an explanation only; and `%{p}`, for which mailauth takes the sender's domain. */
const NOT_FOR_NAMES = /%\{[cprt]/i

// One address in each eighth of the unicast space, of access networks and of the US Department of Defense: none of them
// sends mail for others. A list of even a few large networks has none of them, or one by bad luck.
const SCATTERED = {
  ipv4: addresses(
    '21.74.115.9',
    '55.201.18.83',
    '73.158.97.44',
    '126.65.212.177',
    '153.209.33.118',
    '175.196.84.203',
    '214.39.166.71',
  ),
  ipv6: addresses(
    '2003:e1:9f3a:4d01:71c2:8be5:30f4:a96d',
    '2409:8a4c:61d7:2e90:5b38:c1f6:947a:d20e',
    '2804:7f1:e3b8:5c62:19d4:a0f7:6e2b:834c',
    '2c0f:f4a9:3d17:86b2:e05c:4f91:b7d3:12a8',
    '31a6:5be0:c493:7d1f:820e:f36b:49c5:d7a1',
    '36d2:e917:4ac8:b05d:7f31:2896:ce4a:615b',
    '3b84:1cf5:92e7:d63a:4b09:e1d8:570c:af23',
    '3e59:a7c1:0b6d:f284:91e3:5c7f:d34a:68b0',
  ),
}

/** Whether the sender's domain passes the client; no failure of any kind rejects. Asks at most 60 questions, few at a time. */
export async function checkSpf(question: SpfQuestion, resolve: Resolve): Promise<SpfAnswer> {
  const { client, sender, helo } = question
  // mailauth reads a quoted @ as the one before the domain: the macros would hold what the client made up.
  if (sender.indexOf('@') !== sender.lastIndexOf('@')) return 'other'
  if (sender.length > MAX_IDENTITY || helo.length > MAX_IDENTITY) return 'other'

  try {
    const { spf } = await library
    const { status } = await spf({
      ip: client.text,
      sender,
      helo,
      mta: 'unknown',
      resolver: guardedResolver(question, resolve),
    })
    if (status.result === 'pass' || status.result === 'none') return status.result
    return status.result === 'temperror' ? 'error' : 'other'
  } catch {
    return 'error'
  }
}

/**
 * Whether the sender's domain passes (nearly) everyone, as by `+all`, so that its pass says nothing of the client. It
 * does when two or more of a few addresses scattered over the space of the client's family pass: a list of a quarter
 * of it is for anyone, one of several /8 is not. What fails counts as no pass.
 */
export async function passesForAnyone(question: SpfQuestion, resolve: Resolve): Promise<boolean> {
  // Names of those addresses say nothing, and their servers are slow to say it.
  const withoutPtr: Resolve = async (name, type) => (type === 'PTR' ? [] : resolve(name, type))
  const answers = await Promise.all(
    SCATTERED[question.client.kind].map((client) => checkSpf({ ...question, client }, withoutPtr)),
  )
  return answers.filter((answer) => answer === 'pass').length >= 2
}

/** What mailauth asks its questions of: answers in the form it expects, or ENOTFOUND, ENODATA or ETIMEOUT. */
function guardedResolver(
  question: SpfQuestion,
  resolve: Resolve,
): (name: string, type: string) => Promise<string[]> {
  let asked = 0
  return async (name, type) => {
    // It asks for both families of each host, to count a host of the other one not as a void lookup. That would double
    // what an IPv4 client costs, and those are most.
    if (type === 'AAAA' && question.client.kind === 'ipv4') throw dnsError('ENODATA')
    const host = withinLength(name)
    // What the DNS cannot hold does not exist (RFC 7208 section 4.8). What cannot be asked for may: to node:dns, a
    // backslash takes its meaning from the dot behind it, and mailauth would expand macros in the name of a record.
    if (!isWellFormed(host)) throw dnsError('ENOTFOUND')
    if (host.includes('\\') || (type === 'TXT' && host.includes('%'))) throw dnsError('ETIMEOUT')
    asked++
    if (asked > MAX_QUESTIONS) throw dnsError('ETIMEOUT')

    try {
      // Its type knows strings and lists of them only; it reads TXT and MX as node:dns gives them.
      return readAnswer(type, await resolve(host, type), host, question) as string[]
    } catch (error) {
      // Within an include, mailauth goes on as if there were no match when it does not know the error: `-include:` of
      // a domain that cannot be asked would let through what stands behind it.
      throw dnsError(saysNothingThere(error) ? error.code : 'ETIMEOUT')
    }
  }
}

function saysNothingThere(error: unknown): error is { code: 'ENOTFOUND' | 'ENODATA' } {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTFOUND' || error.code === 'ENODATA')
}

function dnsError(code: 'ENOTFOUND' | 'ENODATA' | 'ETIMEOUT'): Error {
  return Object.assign(new Error(code), { code })
}

/** The answer without what mailauth would stumble over; a copy, since it sorts some in place. */
function readAnswer(type: string, answer: unknown, name: string, question: SpfQuestion): unknown[] {
  if (!Array.isArray(answer)) throw new TypeError(`Cannot read the answer to ${type} of ${name}`)
  switch (type) {
    case 'TXT':
      return answer
        .map((strings) => (Array.isArray(strings) ? strings.join('') : ''))
        .filter((text) => /^v=spf1(?: |$)/i.test(text))
        .slice(0, 2) // two are as wrong as a thousand
        .map((record) => [checkedRecord(record, name, question)])
    case 'A':
      return answer.filter((address) => isIPv4(address))
    case 'AAAA':
      return answer.filter((address) => isIPv6(address))
    case 'MX':
      return answer.filter((mx) => typeof mx?.exchange === 'string' && typeof mx.priority === 'number')
    default:
      return answer.filter((name) => typeof name === 'string')
  }
}

/** The record, with what depends on the domain that it is of written out; a refusal for what must not be evaluated. */
function checkedRecord(record: string, domain: string, question: SpfQuestion): string {
  if (record.length > MAX_RECORD) return REFUSED
  const terms = record.split(' ').map((term) => checkedTerm(term, domain, question))
  return terms.includes(undefined) ? REFUSED : terms.filter((term) => term !== '').join(' ')
}

/** `undefined` for a term that makes the record a wrong one, `''` for one that cannot match. */
function checkedTerm(term: string, domain: string, question: SpfQuestion): string | undefined {
  if (/^[?~+-]?ip[46](?:[:/]|$)/i.test(term)) return networkTerm(term, question.client)

  const { sender, helo } = question
  // To mailauth, `%{d}` and a bare `ptr` mean the sender's domain also in a record that this one includes.
  const written = term.replace(/%\{d\}/gi, domain).replace(/^([?~+-]?ptr)$/i, `$1:${domain}`)
  if (written !== term && !/^[a-z0-9._-]+$/i.test(domain)) return undefined
  if (/%\{d/i.test(written) && domain !== domainOf(sender).toLowerCase()) return undefined

  const isEvaluated = !/^[a-z][a-z0-9._-]*=/i.test(term) || /^redirect=/i.test(term)
  if (isEvaluated && NOT_FOR_NAMES.test(written)) return undefined
  const macros = written.match(/%(?:\{[^}]*\}?|.?)/g) ?? []
  if (!macros.every((macro) => MACRO.test(macro))) return undefined
  if (written.length + macros.length * Math.max(sender.length, helo.length, 64) > MAX_TERM) return undefined
  return written.replace(/%\{[^}]*\}/g, normalMacro)
}

/**
 * An `ip4` or `ip6` as whether it matches. mailauth looks at it only when no term before has matched; the zone of
 * `fe80::1%eth0` would make it throw, which within an include counts as no match; and it reads every IPv4 network as an
 * IPv6 one first, which fails with an exception that costs more than all else, for each of a provider's many networks.
 */
function networkTerm(term: string, client: IpAddress): string | undefined {
  const [, qualifier = '', family, address = '', prefix] =
    /^([?~+-]?)ip([46]):([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(term) ?? []
  if (!(family === '4' ? isIPv4(address) : isIPv6(address))) return undefined
  const kind = family === '4' ? 'ipv4' : 'ipv6'
  if (Number(prefix ?? 0) > ADDRESS_BITS[kind]) return undefined
  if (kind !== client.kind) return ''
  const network = parseNetwork(prefix === undefined ? address : `${address}/${prefix}`)
  return network && isInNetwork(client, network) ? `${qualifier}ip${family}:${client.text}` : ''
}

// mailauth does not know that the R of `%{iR}` reverses too, and takes a `-` between two delimiters for a range.
function normalMacro(macro: string): string {
  const lower = macro.toLowerCase()
  return lower.includes('-') ? lower.replaceAll('-', '').replace('}', '-}') : lower
}

function domainOf(sender: string): string {
  return sender.slice(sender.lastIndexOf('@') + 1)
}

/** Without as many of its first labels as make it too long for the DNS (RFC 7208 section 7.3). */
function withinLength(name: string): string {
  return name.length > 253 ? name.slice(name.indexOf('.', name.length - 254) + 1) : name
}

/** Whether the DNS can hold the name. Macros let the client have its say in it. */
function isWellFormed(name: string): boolean {
  return name.split('.').every((label) => label !== '' && label.length <= 63)
}

function addresses(...texts: string[]): IpAddress[] {
  return texts.flatMap((text) => parseIp(text) ?? [])
}
