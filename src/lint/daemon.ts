// The configuration against the daemon that runs: does it listen where the configuration says? Pure.

import type { Config } from '../config/schema.ts'
import { formatSocketSpec, type SocketSpec } from '../milter/socket.ts'
import { leadsTo } from './milter.ts'
import type { Warning } from './settings.ts'

/** `listeners` is where the daemon listens: what `listen` says, or what systemd has opened for it. */
export function lintListeners({ listen }: Config, listeners: readonly SocketSpec[]): Warning[] {
  const found = listeners.map(formatSocketSpec).join(', ') || 'no socket'
  return notAmong(listeners, listen).map(
    (spec) =>
      `listen ${formatSocketSpec(spec)}: the daemon that runs does not listen there, but on ${found}: expected a reload, ` +
      'or, where systemd opens the sockets, the same here, as greymx probe asks there',
  )
}

/** With `listeners` in `listen` as well: an MTA that leads to one of them is right, whoever opened it. */
export function withListeners(config: Config, listeners: readonly SocketSpec[]): Config {
  return { ...config, listen: [...config.listen, ...notAmong(config.listen, listeners)] }
}

/** Those of `specs` that lead to none of `others`. Port 0 stands for any port, and leads anywhere. */
function notAmong(others: readonly SocketSpec[], specs: readonly SocketSpec[]): SocketSpec[] {
  return specs.filter(
    (spec) => (spec.kind === 'unix' || spec.port !== 0) && !others.some((other) => leadsTo(spec, other)),
  )
}
