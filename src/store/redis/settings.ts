// The settings of a store in Redis, and the time-out and backoff towards its servers. url.ts and config/redis.ts read
// the settings.

/** All settings of a store in Redis. */
export interface RedisSettings {
  readonly servers: RedisServers
  /** Number of the database; always 0 in a Cluster, which has no other. */
  readonly database: number
  /** The prefix of all keys. */
  readonly prefix: string
  readonly login: RedisLogin
  readonly sentinelLogin: RedisLogin
  /** TLS is used if this is present. */
  readonly tls?: RedisTls
}

/** How Redis is run, and where. */
export type RedisServers =
  | { readonly kind: 'tcp'; readonly address: ServerAddress }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly ServerAddress[]; readonly master: string }
  /** Some nodes of the Cluster, which tell of the others. */
  | { readonly kind: 'cluster'; readonly nodes: readonly ServerAddress[] }

/** Host name or address, without brackets, and port. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
}

/** User name and password, as AUTH takes them. */
export interface RedisLogin {
  readonly username?: string
  readonly password?: string
  /** The file that `password` was read from, and is read from anew for each connection. */
  readonly passwordFile?: string
}

/** PEM texts, and the name that the servers' certificates must have where it differs from their host. */
export interface RedisTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
  /** The files that the texts were read from, and are read from anew for each connection. */
  readonly files?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/** Backoff between attempts to connect, in milliseconds: doubles up to a bound, so that recovery is noticed soon. */
const MIN_RETRY_DELAY = 50
const MAX_RETRY_DELAY = 1000

/** A connection that owes replies and sends nothing for this time, in milliseconds, is closed and replaced. */
export const REPLY_TIMEOUT = 1000

/** The backoff after this number of failed attempts, in milliseconds. */
export function retryDelay(attempts: number): number {
  return Math.min(MIN_RETRY_DELAY * 2 ** (attempts - 1), MAX_RETRY_DELAY)
}
