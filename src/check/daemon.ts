// Compares the configuration with the running daemon: does it listen where the configuration says? Asking the daemon is
// left to cli/daemon.ts; these functions are pure.

import type { Config } from '../config/schema.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'
import { leadsTo } from './milter.ts'
import type { Warning } from './settings.ts'

/**
 * Returns a warning for each socket of `listen` that is not among `listeners`, on which the daemon listens: those of
 * its own `listen`, or those that systemd has opened for it.
 */
export function checkListeners({ listen }: Config, listeners: readonly SocketSpec[]): Warning[] {
  const found = listeners.map(formatSocketSpec).join(', ') || 'no socket'
  return notAmong(listeners, listen).map(
    (spec) =>
      `listen ${formatSocketSpec(spec)}: the running daemon does not listen there, but on ${found}: expected a reload or, ` +
      'where systemd opens the sockets, the same sockets in listen, which tells greymx probe where to ask',
  )
}

/** Returns `config` with `listeners` added to `listen`: an MTA that connects to one of them reaches greymx as well. */
export function withListeners(config: Config, listeners: readonly SocketSpec[]): Config {
  return { ...config, listen: [...config.listen, ...notAmong(config.listen, listeners)] }
}

/** Returns those of `specs` that lead to none of `others`. Port 0 stands for any port, so that it is never returned. */
function notAmong(others: readonly SocketSpec[], specs: readonly SocketSpec[]): SocketSpec[] {
  return specs.filter(
    (spec) => (spec.kind === 'unix' || spec.port !== 0) && !others.some((other) => leadsTo(spec, other)),
  )
}
