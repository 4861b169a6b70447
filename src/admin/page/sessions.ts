// Who is signed in at the page. A session begins with a token of `admin_tokens`, and is bound to a cookie. It ends when
// its holder signs out, after a time without a request, when the token leaves the file, and with the process. What is
// kept of a session does not let anybody use it.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Token, TokenFile } from '../tokens.ts'

/** A session ends after this many milliseconds without a request, and this many after its beginning. */
const IDLE_EXPIRY = 30 * 60_000
const EXPIRY = 12 * 3_600_000

/** Most sessions; a further one ends the one that was used longest ago. */
const MAX_SESSIONS = 100

/** Wrong tokens that one peer may send within `FAILURE_INTERVAL` milliseconds. */
const MAX_FAILURES = 10
const FAILURE_INTERVAL = 10 * 60_000

/** Peers whose failures are counted; the one that failed longest ago is forgotten first. */
const MAX_PEERS = 1000

/** Bytes of a cookie and of the secret in forms: nobody guesses them. */
const SECRET_BYTES = 32

/** What a signed-in operator is told at the next view. */
export interface Notice {
  readonly text: string
  /** The change that the view offers to take back. */
  readonly undo?: string
}

/** A session. Instants are milliseconds by the clock of the caller. */
export interface Session {
  readonly token: Token
  /** The secret that each form of this session has, so that a page of another site cannot send one. */
  readonly formKey: string
  readonly beganAt: number
  usedAt: number
  notice?: Notice | undefined
}

export class Sessions {
  readonly #now: () => number
  readonly #sessions = new LRUCache<string, Session>({ max: MAX_SESSIONS })
  /** Instants of wrong tokens, by peer. */
  readonly #failures = new LRUCache<string, readonly number[]>({ max: MAX_PEERS })

  /** `now` returns milliseconds by any clock that does not go back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Begins a session and returns its cookie. */
  begin(token: Token): string {
    const cookie = randomBytes(SECRET_BYTES).toString('base64url')
    const now = this.#now()
    const formKey = randomBytes(SECRET_BYTES).toString('base64url')
    this.#sessions.set(keyOf(cookie), { token, formKey, beganAt: now, usedAt: now })
    return cookie
  }

  /** Returns the session of a cookie, and notes that it is used; `undefined` when it has ended or there was none. */
  find(cookie: string, tokens: TokenFile | undefined): Session | undefined {
    const session = this.watch(cookie, tokens)
    if (session) session.usedAt = this.#now()
    return session
  }

  /** Returns the session of a cookie as `find` does, for a request that nobody has made by hand: it ends no later for it. */
  watch(cookie: string, tokens: TokenFile | undefined): Session | undefined {
    const session = this.#sessions.get(keyOf(cookie))
    if (!session) return undefined
    const now = this.#now()
    const isOver = now - session.usedAt > IDLE_EXPIRY || now - session.beganAt > EXPIRY
    if (!isOver && tokens?.has(session.token)) return session
    this.end(cookie)
    return undefined
  }

  end(cookie: string): void {
    this.#sessions.delete(keyOf(cookie))
  }

  /** Notes that `peer` has sent a wrong token. */
  failed(peer: string): void {
    this.#failures.set(peer, [...this.#recentFailures(peer), this.#now()])
  }

  /** Milliseconds until `peer` may try again; 0 when it may. */
  waitOf(peer: string): number {
    const failures = this.#recentFailures(peer)
    const [first] = failures
    if (first === undefined || failures.length < MAX_FAILURES) return 0
    return first + FAILURE_INTERVAL - this.#now()
  }

  #recentFailures(peer: string): number[] {
    const since = this.#now() - FAILURE_INTERVAL
    return (this.#failures.get(peer) ?? []).filter((at) => at > since)
  }
}

/** Whether a form has the secret of its session. How long that takes tells nothing about the secret. */
export function hasFormKey({ formKey }: Session, given: unknown): boolean {
  return typeof given === 'string' && timingSafeEqual(digestOf(given), digestOf(formKey))
}

function keyOf(cookie: string): string {
  return digestOf(cookie).toString('base64url')
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
