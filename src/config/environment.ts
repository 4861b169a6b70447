// Finds settings among environment variables. A setting's variable is GREYMX_ and its name in capitals, with
// underscores for dots. What a value means is left to reader.ts and schema.ts.

/** Variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

export const VARIABLE_PREFIX = 'GREYMX_'

/**
 * Matches NAME=VALUE of a variable that is no setting: Kubernetes sets such in every container for a service named
 * greymx, and Docker for links.
 */
const SERVICE_VARIABLE =
  /_SERVICE_(?:HOST|PORT(?:_\w+)?)=|_PORT=\w+:\/\/|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?=/

/** Returns the variable of a setting: `greylist.retry_window` → `GREYMX_GREYLIST_RETRY_WINDOW` */
export function variableOf(name: string): string {
  return VARIABLE_PREFIX + name.replaceAll('.', '_').toUpperCase()
}

/**
 * Returns the variables that are meant as settings, with their values. Empty ones are left out: compose files pass on
 * an unset `${NAME:-}` as an empty variable.
 */
export function overrides(environment: Environment): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!name.startsWith(VARIABLE_PREFIX) || value === '' || SERVICE_VARIABLE.test(`${name}=${value}`))
      continue
    found.set(name, value)
  }
  return found
}
