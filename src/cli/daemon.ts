// What the running daemon says of itself at the address that `admin` names, for commands that look at a configuration.

import type { AdminAddress } from '../config/schema.ts'
import { bracketedHost } from '../ip.ts'
import { parseSocketSpec, type SocketSpec } from '../milter/socket.ts'

/** Longest wait for its answer, in milliseconds: most often nobody listens there, and that is told at once. */
const ANSWER_TIMEOUT = 1000

/** Longest text that is taken from it, in characters. */
const MAX_LENGTH = 2000

export interface RunningDaemon {
  readonly url: string
  /** Where MTAs reach it; where systemd opens its sockets, that is not what `listen` says. */
  readonly listeners: readonly SocketSpec[]
  readonly warnings: readonly string[]
}

/** `undefined` where none answers, or something else than greymx does. Never rejects. */
export async function askDaemon(admin: AdminAddress | undefined): Promise<RunningDaemon | undefined> {
  if (!admin) return undefined
  const url = `http://${bracketedHost(admin.host)}:${admin.port}/healthz`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT), redirect: 'error' })
    const { listeners, warnings } = (await response.json()) as Record<string, unknown>
    if (!isTexts(listeners) || !isTexts(warnings)) return undefined
    return {
      url,
      listeners: listeners.flatMap((text) => parseSocketSpec(text) ?? []),
      warnings: warnings.map(shown),
    }
  } catch {
    return undefined
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** Anybody's program may listen there while greymx does not: nothing of it reaches a terminal but text. */
function shown(text: string): string {
  return text.slice(0, MAX_LENGTH).replace(/\p{C}/gu, ' ')
}
