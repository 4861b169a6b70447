// What both MTAs' entries for a milter have in common: is it greymx, and does it wait long enough? Pure.

import { isIP } from 'node:net'
import { formatDuration } from '../config/duration.ts'
import type { Config } from '../config/schema.ts'
import type { TlsClientRule } from '../exempt/tlsclients.ts'
import { LONGEST_DECISION } from '../greylist/greylister.ts'
import type { SocketSpec } from '../milter/socket.ts'
import { isLoopback, LEAST_PATIENCE, type Warning } from './settings.ts'

/** The macros that greymx uses, without braces (filter.ts, `wantsOf`), by the stage that has to bring them at the latest. */
export interface NeededMacros {
  readonly connect: readonly string[]
  readonly mail: readonly string[]
}

export function neededMacros({ exempt }: Config): NeededMacros {
  return { connect: ['j', '_'], mail: exempt.authenticated ? ['auth_type', 'auth_authen'] : [] }
}

/** Whether an MTA that connects to `theirs` gets to who listens on `ours`, as far as can be told without DNS. */
export function leadsTo(theirs: SocketSpec, ours: SocketSpec): boolean {
  if (theirs.kind === 'unix' || ours.kind === 'unix') {
    return theirs.kind === 'unix' && ours.kind === 'unix' && theirs.path === ours.path
  }
  if (theirs.port !== ours.port) return false
  if (/^(0\.0\.0\.0|::|\*)$/.test(ours.host) || theirs.host === ours.host) return true
  if (isLoopback(theirs.host) || isLoopback(ours.host))
    return isLoopback(theirs.host) && isLoopback(ours.host)
  // Two addresses are two machines; where a name leads, DNS alone knows.
  return isIP(theirs.host) === 0 || isIP(ours.host) === 0
}

export function lintPatience(setting: string, patience: number): Warning[] {
  if (patience >= LEAST_PATIENCE) return []
  return [
    `${setting} ${formatDuration(patience)} is below ${formatDuration(LEAST_PATIENCE)}: expected more, such as 10s, as a decision takes ` +
      `up to ${formatDuration(LONGEST_DECISION)} when DNS and the store are slow, and who does not wait for it takes greymx for failed`,
  ]
}

/** `sent` is undefined where the MTA has its own default, which brings them all. */
export function lintMacros(
  setting: string,
  sent: readonly string[] | undefined,
  needed: readonly string[],
): Warning[] {
  const missing = needed.filter((name) => sent !== undefined && !sent.includes(name))
  if (missing.length === 0) return []
  const names = missing.map((name) => (name.length === 1 ? name : `{${name}}`)).join(' ')
  return [
    `${setting} lacks ${names}: expected them, or the default, as greymx goes by them (an MTA of today sends them all the ` +
      'same, since greymx asks it to)',
  ]
}

/** `i`, `{auth_type}` and the like, separated by commas or white space, without their braces. */
export function parseMacros(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .filter((name) => name !== '')
    .map((name) => name.replace(/^\{(.*)\}$/, '$1'))
}

/** Rules for certificates that can never apply, by what `isVain` knows of the MTA. */
export function lintTlsClients(
  { exempt }: Config,
  isVain: (rule: TlsClientRule) => boolean,
  expected: string,
): Warning[] {
  return exempt.tlsClients
    .filter(isVain)
    .map(({ text }) => `exempt.tls_clients ${text} never applies with this MTA: expected ${expected}`)
}
