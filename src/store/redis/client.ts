// Makes the ioredis client for each way in which Redis is run: one server over TCP, TLS or a unix socket, a master
// behind Sentinels, or a Cluster. The client connects and reconnects by itself; redis.ts sends the commands.

import type { Duplex } from 'node:stream'
import { SLOTS, slotOf, tagWithin } from './cluster.ts'
import { hostConnector, socketOpener } from './connector.ts'
import { createHostLookup } from './host-addresses.ts'
import { Cluster, Redis, type RedisOptions } from './ioredis.ts'
import { credentialsNow } from './login.ts'
import { endOnStrayReplies } from './replies.ts'
import { sentinelConnector } from './sentinel.ts'
import { REPLY_TIMEOUT, type RedisLogin, type RedisSettings, type RedisTls } from './settings.ts'
import { freshTls } from './tls.ts'

/** A client of one server, or of a Cluster. */
export type RedisClient = Redis | Cluster

endOnStrayReplies()

/** Time that a connection gets to close by itself, in milliseconds. */
const DISCONNECT_TIMEOUT = 100

/** Longest wait for a connection, in milliseconds. */
const CONNECT_TIMEOUT = 5 * REPLY_TIMEOUT

/** Number of times that a command is redirected between nodes while slots of a Cluster move. */
const MAX_REDIRECTIONS = 5

/**
 * A client that connects, and reconnects until it is disconnected. `nextDelay` is called before each attempt to
 * reconnect and returns the backoff, in milliseconds; `onWarning` is called when a connection goes on with an older
 * certificate.
 */
export function createRedisClient(
  settings: RedisSettings,
  nextDelay: () => number,
  onWarning: (warning: string) => void = () => undefined,
): RedisClient {
  const { servers, database, login, sentinelLogin, tls } = settings
  const anonymous = connectionOptions(tls)
  const common = { ...anonymous, ...credentialsNow(login) }
  const open = socketOpener(createHostLookup(), tls && freshTls(tls, onWarning))
  const Connector = hostConnector(open)
  // No offline queue: the MTA is waiting, so a command that cannot be sent now fails now.
  const single = { ...common, db: database, enableOfflineQueue: false }
  const withLogin = (options: Omit<RedisOptions, 'replyMapping'>) => {
    const client = new Redis({
      ...options,
      retryStrategy: () => {
        // ioredis takes them from here at each attempt to connect.
        Object.assign(client.options, credentialsNow(login))
        return nextDelay()
      },
    })
    return client
  }
  switch (servers.kind) {
    case 'tcp':
      return withLogin({ ...single, ...servers.address, Connector })
    case 'unix':
      return withLogin({ ...single, path: servers.path })
    case 'sentinel': {
      const options = () => ({ ...anonymous, ...credentialsNow(sentinelLogin), Connector })
      return withLogin({ ...single, Connector: sentinelConnector(servers, options, open) })
    }
    case 'cluster':
      return new Cluster([...servers.nodes], {
        // The client connects to nodes at once, as it does not report why a connection made on demand has failed.
        redisOptions: { ...common, Connector: withFreshLogin(Connector, login), lazyConnect: false },
        clusterRetryStrategy: nextDelay,
        enableReadyCheck: false,
        maxRedirections: MAX_REDIRECTIONS,
        // Here too, commands fail at once; only those for a node that is being connected to wait for that.
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        slotsRefreshTimeout: REPLY_TIMEOUT,
        // Host names stay unresolved here, as the certificates are checked against them.
        dnsLookup: (host, found) => found(null, host),
      })
  }
}

/**
 * The class for the option `Connector` of a Cluster's nodes. Each node's client is made anew when it reconnects, with
 * options that the Cluster has kept from the beginning; these are the ones that the client logs in by.
 */
function withFreshLogin(Connector: ReturnType<typeof hostConnector>, login: RedisLogin) {
  return class extends Connector {
    constructor(options: unknown) {
      super(options)
      Object.assign(options as RedisOptions, credentialsNow(login)) // the client's own, as ioredis passes them
    }
  }
}

/** The clients of the servers that take writes now: one, or the masters of a Cluster. */
export function serversOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client]
}

/** Stands for the node that has slots which no node of a Cluster has. */
const NO_NODE = 'nowhere'

/** `HOST:PORT` of the node of a Cluster that has the key `name`; '' in no Cluster. */
export function ownerOf(client: RedisClient, name: string): string {
  return client instanceof Cluster ? ownerOfSlot(client, slotOf(name)) : ''
}

/** The nodes of a Cluster that have slots, as `ownerOf` names them; none in no Cluster, and before they are known. */
export function ownersIn(client: RedisClient): string[] {
  if (!(client instanceof Cluster) || client.slots.length === 0) return []
  return [...new Set(Array.from({ length: SLOTS }, (_, slot) => ownerOfSlot(client, slot)))]
}

/** A hash tag for keys that `owner` has; `undefined` when it has no slots any more, or in no Cluster. */
export function tagOf(client: RedisClient, owner: string): string | undefined {
  return client instanceof Cluster ? tagWithin((slot) => ownerOfSlot(client, slot) === owner) : undefined
}

function ownerOfSlot(client: Cluster, slot: number): string {
  return client.slots[slot]?.[0] ?? NO_NODE
}

/** The client of a node of a Cluster; `undefined` when it is not connected to. */
export function nodeOf(client: RedisClient, owner: string): Redis | undefined {
  return serversOf(client).find(({ options }) => `${options.host}:${options.port}` === owner)
}

/**
 * Resolves when each server that takes writes is connected or cannot be. The client of a Cluster is ready as soon as it
 * knows the nodes.
 */
export async function untilConnected(client: RedisClient): Promise<void> {
  await Promise.all(serversOf(client).map(untilSettled))
}

/**
 * Resolves when the client is connected. Rejects when its first attempt has failed: while no Sentinel knows a master,
 * that is not over before CONNECT_TIMEOUT.
 */
export async function untilReady(client: RedisClient): Promise<void> {
  if (client.status !== 'ready')
    await new Promise<void>((resolve, reject) => {
      const fail = () => reject(new Error('it cannot be reached'))
      const timer = setTimeout(fail, CONNECT_TIMEOUT)
      const settle = (act: () => void) => () => {
        clearTimeout(timer)
        act()
      }
      client.once('ready', settle(resolve))
      client.once('close', settle(fail))
      client.once('end', settle(fail))
    })
  await untilConnected(client)
}

function untilSettled(server: Redis): Promise<void> | undefined {
  if (server.status === 'ready' || server.status === 'end') return undefined
  return new Promise((resolve) => {
    server.once('ready', resolve)
    server.once('end', resolve)
  })
}

/** The open connections to the servers that take writes. */
export function streamsOf(client: RedisClient): Duplex[] {
  if (client instanceof Redis) return [client.stream]
  return client.nodes('master').flatMap((node) => node.stream ?? [])
}

function connectionOptions(tls: RedisTls | undefined) {
  return {
    ...(tls ? { tls: {} } : {}), // so that ioredis awaits the handshake; connector.ts has the options
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: REPLY_TIMEOUT,
    // Its timer delays the exit of the process, even when there is no connection left to close.
    disconnectTimeout: DISCONNECT_TIMEOUT,
    socketTimeout: REPLY_TIMEOUT,
    // The check of redis.ts tells more than the client's, and the user may lack the right to INFO and CLIENT.
    enableReadyCheck: false,
    disableClientInfo: true,
  } satisfies RedisOptions
}
