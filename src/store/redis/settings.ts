// What a store in Redis has to be told, and how long it waits for its servers.

export interface RedisSettings {
  readonly servers: RedisServers
  /** Always 0 in a Cluster, which has no other. */
  readonly database: number
  /** What the names of all keys begin with. */
  readonly prefix: string
  readonly login: RedisLogin
  readonly sentinelLogin: RedisLogin
  /** Absent: without TLS. */
  readonly tls?: RedisTls
}

export type RedisServers =
  | { readonly kind: 'tcp'; readonly address: ServerAddress }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly ServerAddress[]; readonly master: string }
  /** Some of its nodes: they tell of the others. */
  | { readonly kind: 'cluster'; readonly nodes: readonly ServerAddress[] }

export interface ServerAddress {
  readonly host: string
  readonly port: number
}

export interface RedisLogin {
  readonly username?: string
  readonly password?: string
}

/** PEM texts, and the name that the servers' certificates have to have where it is not that of their address. */
export interface RedisTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
}

/** Times between attempts, in milliseconds: growing at first, then steady, so that recovery takes no longer. */
const FIRST_RETRY = 50
const LONGEST_RETRY = 1000

/** A connection that owes replies and says nothing for so long is given up and made anew, in milliseconds. */
export const SILENCE = 1000

/** How long to wait after so many failed attempts, in milliseconds. */
export function retryDelay(attempts: number): number {
  return Math.min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_RETRY)
}
