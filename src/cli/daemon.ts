// Asks the running daemon, at the address that the setting `admin` names, where it listens and what it warns of.

import type { AdminAddress } from '../admin/settings.ts'
import { bracketedHost } from '../ip.ts'
import { parseSocketSpec, type SocketSpec } from '../sockets/spec.ts'

/** Longest wait for the daemon's answer, in milliseconds. While no daemon runs, the connection is refused at once. */
const HEALTH_TIMEOUT = 1000

/** Longest warning that is shown, in characters. */
const MAX_WARNING_LENGTH = 2000

export interface RunningDaemon {
  /** URL that was asked. */
  readonly url: string
  /** Sockets on which MTAs reach it. When systemd opens them, they may differ from `listen`. */
  readonly listeners: readonly SocketSpec[]
  /** Sockets of Postfix's policy protocol. */
  readonly policy: readonly SocketSpec[]
  /** Sockets for Exim. */
  readonly exim: readonly SocketSpec[]
  readonly warnings: readonly string[]
}

/** Returns what the daemon says, or `undefined` when nothing or another program answers. Never rejects. */
export async function askDaemon(admin: AdminAddress | undefined): Promise<RunningDaemon | undefined> {
  if (!admin) return undefined
  const url = `http://${bracketedHost(admin.host)}:${admin.port}/healthz`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(HEALTH_TIMEOUT), redirect: 'error' })
    const { listeners, policy = [], exim = [], warnings } = (await response.json()) as Record<string, unknown>
    if (!isTexts(listeners) || !isTexts(policy) || !isTexts(exim) || !isTexts(warnings)) return undefined
    return {
      url,
      listeners: listeners.flatMap((text) => parseSocketSpec(text) ?? []),
      policy: policy.flatMap((text) => parseSocketSpec(text) ?? []),
      exim: exim.flatMap((text) => parseSocketSpec(text) ?? []),
      warnings: warnings.map(printable),
    }
  } catch {
    return undefined
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/**
 * Returns `text` without control characters, for a terminal: while greymx is down, another program may have answered.
 */
function printable(text: string): string {
  return text.slice(0, MAX_WARNING_LENGTH).replace(/\p{C}/gu, ' ')
}
