// Settings by environment variables. One rule: GREYMX_ and the setting's name, dots as underscores, in capitals.

/** As `process.env` has it. */
export type Environment = Readonly<Record<string, string | undefined>>

const PREFIX = 'GREYMX_'

/** NAME=VALUE as Kubernetes gives it to every container for a service that is named greymx, and Docker for links. */
const OF_A_SERVICE = /_SERVICE_(?:HOST|PORT(?:_\w+)?)=|_PORT=\w+:\/\/|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?=/

/** `greylist.retry_window` → `GREYMX_GREYLIST_RETRY_WINDOW` */
export function variableOf(name: string): string {
  return PREFIX + name.replaceAll('.', '_').toUpperCase()
}

/** The variables that are meant as settings. An empty one is none: compose files hand on `${NAME:-}` like that. */
export function overrides(environment: Environment): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || value === '' || OF_A_SERVICE.test(`${name}=${value}`)) continue
    found.set(name, value)
  }
  return found
}
