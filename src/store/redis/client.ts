// The client of a Redis, however it is run: one server over TCP, TLS or a unix socket, a master that Sentinels know, or
// a Cluster. Connects, and goes on connecting; what is asked of it is the store's matter.

import type { Duplex } from 'node:stream'
import { hostConnector, socketOpener } from './connector.ts'
import { Cluster, Redis, type RedisOptions } from './ioredis.ts'
import { createLookup } from './lookup.ts'
import { endOnStrayReplies } from './replies.ts'
import { sentinelConnector } from './sentinel.ts'
import { type RedisSettings, type RedisTls, retryDelay, SILENCE } from './settings.ts'

export type RedisClient = Redis | Cluster

endOnStrayReplies()

/** How long a connection may take to close in good order, in milliseconds. */
const FAREWELL = 100

/** So often an operation is sent on from node to node, while slots of a Cluster move. */
const MOST_REDIRECTIONS = 5

/** Begins to connect, and does so again and again until it is disconnected. */
export function createRedisClient(settings: RedisSettings): RedisClient {
  const { servers, database, login, sentinelLogin } = settings
  const anonymous = connectionOptions(settings.tls)
  const common = { ...anonymous, ...login }
  const open = socketOpener(createLookup(), anonymous.tls)
  const Connector = hostConnector(open)
  // An operation either goes out now or fails now: its caller answers a waiting MTA.
  const single = { ...common, db: database, enableOfflineQueue: false, retryStrategy: retryDelay }
  switch (servers.kind) {
    case 'tcp':
      return new Redis({ ...single, ...servers.address, Connector })
    case 'unix':
      return new Redis({ ...single, path: servers.path })
    case 'sentinel':
      return new Redis({
        ...single,
        Connector: sentinelConnector(servers, { ...anonymous, ...sentinelLogin, Connector }, open),
      })
    case 'cluster':
      return new Cluster([...servers.nodes], {
        // Connected to at once: of a connection that is not made before it is needed nobody tells why it was not.
        redisOptions: { ...common, Connector, lazyConnect: false },
        clusterRetryStrategy: retryDelay,
        enableReadyCheck: false,
        maxRedirections: MOST_REDIRECTIONS,
        // The same here; only what goes to a node that is being connected to waits for that.
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        slotsRefreshTimeout: SILENCE,
        // Host names stay as they are, as certificates name them.
        dnsLookup: (host, found) => found(null, host),
      })
  }
}

/** The servers that are written to now: one, or the masters of a Cluster. */
export function serversOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client]
}

/** The connections of these servers, as far as there are any. */
export function streamsOf(client: RedisClient): Duplex[] {
  if (client instanceof Redis) return [client.stream]
  return client.nodes('master').flatMap((node) => node.stream ?? [])
}

function connectionOptions(tls: RedisTls | undefined) {
  return {
    ...(tls ? { tls: tlsOptions(tls) } : {}),
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: SILENCE,
    // It holds up the end of the process, also where there is no connection left to wait for.
    disconnectTimeout: FAREWELL,
    socketTimeout: SILENCE,
    // The store's own check says more, and INFO and CLIENT may be forbidden.
    enableReadyCheck: false,
    disableClientInfo: true,
  } satisfies RedisOptions
}

function tlsOptions({ serverName, ...texts }: RedisTls) {
  return { ...texts, ...(serverName === undefined ? {} : { servername: serverName }) }
}
