// Compares the configuration with the running daemon: does it listen where the configuration says? Asking the daemon is
// left to cli/daemon.ts; these functions are pure.

import type { Config } from '../config/schema.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'
import { leadsTo } from './milter.ts'
import type { Warning } from './settings.ts'

/** The sockets on which the running daemon listens, by the setting that names the like. */
export interface DaemonSockets {
  readonly listeners: readonly SocketSpec[]
  readonly policy: readonly SocketSpec[]
  readonly exim: readonly SocketSpec[]
}

/**
 * Returns a warning for each socket of the settings that is not among those on which the daemon listens: those of its
 * own settings, or those that systemd has opened for it.
 */
export function checkListeners(
  { listen, listenPolicy, listenExim }: Config,
  daemon: DaemonSockets,
): Warning[] {
  return [
    ...missing('listen', 'which tells greymx probe where to ask', listen, daemon.listeners),
    ...missing('listen_policy', 'which tells greymx check what Postfix asks', listenPolicy, daemon.policy),
    ...missing('listen_exim', 'which tells greymx decide where to ask', listenExim, daemon.exim),
  ]
}

function missing(
  setting: string,
  use: string,
  expected: readonly SocketSpec[],
  listeners: readonly SocketSpec[],
): Warning[] {
  const found = listeners.map(formatSocketSpec).join(', ') || 'no socket'
  return notAmong(listeners, expected).map(
    (spec) =>
      `${setting} ${formatSocketSpec(spec)}: the running daemon does not listen there, but on ${found}: expected a reload or, ` +
      `where systemd opens the sockets, the same sockets in ${setting}, ${use}`,
  )
}

/** Returns `config` with the daemon's sockets added: an MTA that connects to one of them reaches greymx as well. */
export function withListeners(config: Config, { listeners, policy, exim }: DaemonSockets): Config {
  return {
    ...config,
    listen: [...config.listen, ...notAmong(config.listen, listeners)],
    listenPolicy: [...config.listenPolicy, ...notAmong(config.listenPolicy, policy)],
    listenExim: [...config.listenExim, ...notAmong(config.listenExim, exim)],
  }
}

/** Returns those of `specs` that lead to none of `others`. Port 0 stands for any port, so that it is never returned. */
function notAmong(others: readonly SocketSpec[], specs: readonly SocketSpec[]): SocketSpec[] {
  return specs.filter(
    (spec) => (spec.kind === 'unix' || spec.port !== 0) && !others.some((other) => leadsTo(spec, other)),
  )
}
