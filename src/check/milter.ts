// Checks what both MTAs' entries for a milter have in common: whether it is greymx, how long the MTA waits, which
// macros it sends. How each MTA writes its entries is left to postfix.ts and sendmail.ts; these functions are pure.

import { isIP } from 'node:net'
import { formatDuration } from '../config/duration.ts'
import type { Config } from '../config/schema.ts'
import type { TlsClientRule } from '../exempt/tlsclients.ts'
import { DECISION_TIMEOUT } from '../greylist/deadline.ts'
import type { SocketSpec } from '../sockets/spec.ts'
import { isLoopback, MIN_ANSWER_TIMEOUT, type Warning } from './settings.ts'

/**
 * The macros that greymx uses, without braces, by the last stage at which the MTA may send them (doors/milter.ts,
 * `wantsOf`).
 */
export interface NeededMacros {
  readonly connect: readonly string[]
  readonly mail: readonly string[]
}

/** Returns the macros that greymx uses with these settings. */
export function neededMacros({ exempt }: Config): NeededMacros {
  return { connect: ['j', '_'], mail: exempt.authenticated ? ['auth_type', 'auth_authen'] : [] }
}

/**
 * Tells whether an MTA that connects to `theirs` reaches the daemon on `ours`. DNS is not asked: a name other than
 * localhost is taken to lead to any address but loopback.
 */
export function leadsTo(theirs: SocketSpec, ours: SocketSpec): boolean {
  if (theirs.kind === 'unix' || ours.kind === 'unix') {
    return theirs.kind === 'unix' && ours.kind === 'unix' && theirs.path === ours.path
  }
  if (theirs.port !== ours.port) return false
  if (/^(0\.0\.0\.0|::|\*)$/.test(ours.host) || theirs.host === ours.host) return true
  if (isLoopback(theirs.host) || isLoopback(ours.host))
    return isLoopback(theirs.host) && isLoopback(ours.host)
  // Two different addresses are two machines, but a name may have any address.
  return isIP(theirs.host) === 0 || isIP(ours.host) === 0
}

/** Returns a warning when `timeout`, the milliseconds that the MTA waits for an answer, is too short for a decision. */
export function checkAnswerTimeout(setting: string, timeout: number): Warning[] {
  if (timeout >= MIN_ANSWER_TIMEOUT) return []
  return [
    `${setting} ${formatDuration(timeout)} is below ${formatDuration(MIN_ANSWER_TIMEOUT)}: expected more, such as 10s, as a decision takes ` +
      `up to ${formatDuration(DECISION_TIMEOUT)} when DNS and the store are slow, and an MTA that waits less treats greymx as failed`,
  ]
}

/**
 * Returns a warning for macros missing in `sent`, which is `undefined` when the MTA sends its default: that has them
 * all.
 */
export function checkMacros(
  setting: string,
  sent: readonly string[] | undefined,
  needed: readonly string[],
): Warning[] {
  const missing = needed.filter((name) => sent !== undefined && !sent.includes(name))
  if (missing.length === 0) return []
  const names = missing.map((name) => (name.length === 1 ? name : `{${name}}`)).join(' ')
  return [
    `${setting} lacks ${names}: expected them, or the MTA's default, as greymx uses them; an MTA that lets filters choose ` +
      'their macros sends them all the same',
  ]
}

/** Returns the macros of a list like `i, {auth_type}`, separated by commas or white space, without their braces. */
export function parseMacros(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .filter((name) => name !== '')
    .map((name) => name.replace(/^\{(.*)\}$/, '$1'))
}

/** Returns a warning for each rule for certificates that `isVain` says can never apply with the MTA. */
export function checkTlsClients(
  { exempt }: Config,
  isVain: (rule: TlsClientRule) => boolean,
  expected: string,
): Warning[] {
  return exempt.tlsClients
    .filter(isVain)
    .map(({ text }) => `exempt.tls_clients ${text} never applies with this MTA: expected ${expected}`)
}
