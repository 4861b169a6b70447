// The DNS questions of one evaluation: each is asked once, and all together are bounded.

import { type DnsAnswer, NOT_ASKED } from '../../dns.ts'

/** Asks one question; `isFirst` for the first of the evaluation. Never rejects. */
export type AskDns = (name: string, type: string, isFirst: boolean) => Promise<DnsAnswer>

export type Lookup =
  | { readonly kind: 'found'; readonly values: readonly unknown[] }
  /** There is no such name (`isName` false), or nothing of that type. */
  | { readonly kind: 'void'; readonly isName: boolean }
  /** DNS failed, so that nothing is known. */
  | { readonly kind: 'error' }
  /** The question was not asked, as a budget was used up or nobody waits for the answer any more. */
  | { readonly kind: 'refused' }

/**
 * Questions of one evaluation. RFC 7208 section 4.6.4 lets 10 terms ask, but each `mx` and `ptr` among them for 10 hosts
 * more; records in use need a dozen or two.
 */
const MAX_QUESTIONS = 40

const REFUSED: Lookup = { kind: 'refused' }
const NO_SUCH_NAME: Lookup = { kind: 'void', isName: false }

export class Lookups {
  readonly #ask: AskDns
  readonly #isWanted: () => boolean
  readonly #asked = new Map<string, Promise<Lookup>>()
  #expiresAt = Number.POSITIVE_INFINITY

  /** `isWanted` tells whether anybody still waits for what comes of the questions. */
  constructor(ask: AskDns, isWanted: () => boolean) {
    this.#ask = ask
    this.#isWanted = isWanted
  }

  /** Until when all answers that came may be used, by performance.now(). */
  get expiresAt(): number {
    return this.#expiresAt
  }

  ask(name: string, type: string): Promise<Lookup> {
    const asciiName = nameForDns(name)
    if (asciiName === undefined) return Promise.resolve(NO_SUCH_NAME)
    const key = `${type} ${asciiName}`
    const asked = this.#asked.get(key)
    if (asked) return asked
    if (this.#asked.size >= MAX_QUESTIONS || !this.#isWanted()) return Promise.resolve(REFUSED)
    const isFirst = this.#asked.size === 0
    const lookup = this.#ask(asciiName, type, isFirst).then((answer) => this.#read(answer))
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
    // c-ares calls a name bad that no DNS message can hold: it does not exist (RFC 7208 section 4.8).
    if (code === 'ENOTFOUND' || code === 'EBADNAME') return NO_SUCH_NAME
    return code === 'ENODATA' ? { kind: 'void', isName: true } : { kind: 'error' }
  }
}

const MAX_LABEL = 63

/**
 * A name as c-ares takes it; `undefined` for one that the DNS cannot hold, or that is not ASCII (RFC 8616 section 4: what
 * is made of a local part that is not ASCII never matches). Macros let the client have its say in names.
 */
function nameForDns(name: string): string | undefined {
  if (!/^[ -~]+$/.test(name)) return undefined
  const labels = name.split('.')
  if (labels.some((label) => label === '' || label.length > MAX_LABEL)) return undefined
  // To c-ares a backslash takes its meaning from what stands behind it (RFC 1035 section 5.1).
  return name.toLowerCase().replaceAll('\\', '\\\\')
}
