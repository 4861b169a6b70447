// The DNS questions of one SPF evaluation. Each is asked once, and their number is bounded; dns.ts caches the answers
// and shares the questions among clients.

import { type DnsAnswer, NOT_ASKED } from '../../dns.ts'

/** Asks DNS one question; `isFirst` marks the first of the evaluation. Answers at once if it can, and never rejects. */
export type AskDns = (name: string, type: string, isFirst: boolean) => DnsAnswer | Promise<DnsAnswer>

export type Lookup =
  | { readonly kind: 'found'; readonly values: readonly unknown[] }
  /** The name does not exist (`isName` false), or it has no records of that type. */
  | { readonly kind: 'void'; readonly isName: boolean }
  /** DNS failed, so that nothing is known. */
  | { readonly kind: 'error' }
  /** The question was not asked, as a budget was used up or the caller stopped waiting. */
  | { readonly kind: 'refused' }

/**
 * Limit of the questions of one evaluation. RFC 7208 section 4.6.4 lets 10 terms ask, and each `mx` and `ptr` for 10
 * more hosts; records in use need a dozen or two.
 */
const MAX_QUESTIONS = 40

const REFUSED: Lookup = { kind: 'refused' }
const NO_SUCH_NAME: Lookup = { kind: 'void', isName: false }

export class Lookups {
  readonly #ask: AskDns
  readonly #isWanted: () => boolean
  readonly #asked = new Map<string, Lookup | Promise<Lookup>>()
  #expiresAt = Number.POSITIVE_INFINITY

  /** `isWanted` says whether the caller still waits; once it does not, questions are refused. */
  constructor(ask: AskDns, isWanted: () => boolean) {
    this.#ask = ask
    this.#isWanted = isWanted
  }

  /** The earliest expiry of the answers so far, by the clock of DNS. */
  get expiresAt(): number {
    return this.#expiresAt
  }

  /** What DNS has under a name, at once if that is known; `type` is a record type like TXT. Never rejects. */
  ask(name: string, type: string): Lookup | Promise<Lookup> {
    const asciiName = nameForDns(name)
    if (asciiName === undefined) return NO_SUCH_NAME
    const key = `${type} ${asciiName}`
    const asked = this.#asked.get(key)
    if (asked) return asked
    if (this.#asked.size >= MAX_QUESTIONS || !this.#isWanted()) return REFUSED
    const isFirst = this.#asked.size === 0
    const answer = this.#ask(asciiName, type, isFirst)
    const lookup = answer instanceof Promise ? answer.then((got) => this.#read(got)) : this.#read(answer)
    this.#asked.set(key, lookup)
    return lookup
  }

  #read(answer: DnsAnswer): Lookup {
    if (answer === NOT_ASKED) return REFUSED
    this.#expiresAt = Math.min(this.#expiresAt, answer.expiresAt)
    if (!answer.error) {
      return Array.isArray(answer.value) ? { kind: 'found', values: answer.value } : { kind: 'error' }
    }
    const code = 'code' in answer.error ? answer.error.code : undefined
    // c-ares calls a name bad that no DNS message can hold; such a name does not exist (RFC 7208 section 4.8).
    if (code === 'ENOTFOUND' || code === 'EBADNAME') return NO_SUCH_NAME
    return code === 'ENODATA' ? { kind: 'void', isName: true } : { kind: 'error' }
  }
}

const MAX_LABEL = 63

/**
 * The name in the form that c-ares takes. Macros let the client choose parts of names, so the result is `undefined` for
 * one that DNS cannot hold or that is not ASCII; a non-ASCII local part never matches (RFC 8616 section 4).
 */
function nameForDns(name: string): string | undefined {
  if (!/^[ -~]+$/.test(name)) return undefined
  const labels = name.split('.')
  if (labels.some((label) => label === '' || label.length > MAX_LABEL)) return undefined
  // c-ares reads a backslash as the start of an escape (RFC 1035 section 5.1).
  return name.toLowerCase().replaceAll('\\', '\\\\')
}
