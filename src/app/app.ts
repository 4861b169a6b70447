// Makes all parts, joins them, and exchanges them on reload. This file alone knows them all; the command line and
// signals are left to cli/, the life of stores to stores.ts.

import { hostname } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { Metrics } from '../admin/metrics.ts'
import { type AdminServer, type Health, startAdmin } from '../admin/server.ts'
import type { AdminAddress, Config } from '../config/schema.ts'
import { Dns, type DnsSettings } from '../dns.ts'
import { createDnsLists } from '../exempt/dnslists.ts'
import { compileExempt } from '../exempt/exempt.ts'
import { readLists } from '../exempt/lists.ts'
import { createFilter } from '../filter.ts'
import { createGreylister, observing } from '../greylist/greylister.ts'
import { createInvestigate } from '../greylist/investigate.ts'
import { createIdentify } from '../identity/identity.ts'
import { FaultLog } from '../log/faults.ts'
import type { Log } from '../log/log.ts'
import { OneAddressWatch } from '../log/one-address.ts'
import { Reporter } from '../log/reporter.ts'
import type { InheritedSocket, ListenOn } from '../milter/listener.ts'
import { startServer } from '../milter/server.ts'
import type { Handler } from '../milter/session.ts'
import { formatSocketSpec, type SocketSpec } from '../milter/socket.ts'
import { openStores, type Stores } from './stores.ts'

/**
 * Longest wait for open SMTP sessions to end when greymx stops, in milliseconds. It is below the 10 s after which
 * docker sends SIGKILL.
 */
const SHUTDOWN_GRACE = 8_000

/** While greymx stops, a connection without an open transaction is closed after this many milliseconds of silence. */
const SHUTDOWN_IDLE_TIMEOUT = 2_000

/** Addresses on which the daemon listens. */
export interface Listening {
  /** Sockets for MTAs. */
  readonly sockets: readonly SocketSpec[]
  /** Absent when the admin server is turned off. */
  readonly adminPort?: number
}

/** The running daemon. */
export interface App {
  readonly listening: Listening
  /**
   * Applies all settings and returns where the daemon listens now. When a new socket or store cannot be opened, it
   * rejects and changes nothing. The caller waits for its end before it calls `reload` again or `close`.
   */
  reload(config: Config): Promise<Listening>
  /** Stops listening, waits for open SMTP sessions for SHUTDOWN_GRACE at most, and closes all parts. */
  close(): Promise<void>
}

/**
 * Starts the daemon. `inherited` sockets, if any, replace the setting `listen`. Rejects when a socket or the store
 * cannot be opened; an unreachable Redis is no such failure, and is retried.
 */
export async function startApp(
  config: Config,
  log: Log,
  inherited: readonly InheritedSocket[],
): Promise<App> {
  const closers: Array<() => Promise<void>> = []
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    return { ...(await openParts(config, log, inherited, closers)), close }
  } catch (error) {
    // Open parts would keep the process alive, and a socket that is open would go on answering.
    await close()
    throw error
  }
}

/** Opens all parts. Each adds a function that closes it to `closers`, which the caller calls in reverse order. */
async function openParts(
  config: Config,
  log: Log,
  inherited: readonly InheritedSocket[],
  closers: Array<() => Promise<void>>,
): Promise<Omit<App, 'close'>> {
  const metrics = new Metrics()
  const watch = new OneAddressWatch(
    () => performance.now(),
    ({ client, warning }) => log.event('warn', 'all clients seem to have one address', { client, warning }),
  )
  const reporter = new Reporter([
    (outcome) => log.outcome(outcome),
    (outcome, took) => metrics.outcome(outcome, took),
    (outcome) => watch.take(outcome),
  ])
  const stores = await openStores(config, log, metrics)
  closers.push(() => stores.close())

  // Resolvers are kept by their servers: a reload loses no cached answer, and open sessions go on with the resolver
  // they began with.
  const resolvers = new Map<string, Dns>()
  const dnsOf = (settings: DnsSettings): Dns => {
    const servers = settings.servers.join(' ')
    const dns = resolvers.get(servers) ?? openDns(settings, log)
    resolvers.set(servers, dns)
    return dns
  }
  closers.push(async () => {
    for (const dns of resolvers.values()) dns.close()
  })

  let running = config
  let newHandler = joinFilter(config, stores, dnsOf(config.dns), reporter, log)
  const listenOn = ({ listen }: Config): readonly ListenOn[] => (inherited.length > 0 ? inherited : listen)

  let sockets: () => readonly SocketSpec[] = () => []
  const openAdmin = async (address: AdminAddress | undefined) =>
    address &&
    startAdmin(address, {
      metrics() {
        reporter.handOn()
        return metrics.exposition()
      },
      health() {
        reporter.handOn()
        return healthOf(stores, sockets(), watch.warnings)
      },
    })
  let admin: AdminServer | undefined = await openAdmin(config.admin)
  closers.push(async () => admin?.close())

  const faults = new FaultLog(log)
  closers.push(async () => faults.close())
  const server = await startServer({
    listen: listenOn(config),
    socketMode: config.socketMode,
    limits: config.limits,
    newHandler: () => newHandler(),
    onConnection: (open) => metrics.connections(open),
    onProtocolError: (kind, reason, peer) => {
      metrics.protocolError(kind)
      faults.note(kind, reason, peer)
    },
  })
  closers.push(async () => {
    await server.close(SHUTDOWN_GRACE, SHUTDOWN_IDLE_TIMEOUT)
    reporter.handOn()
  })
  sockets = () => server.addresses
  const listening = (): Listening => ({
    sockets: server.addresses,
    ...(admin ? { adminPort: admin.port } : {}),
  })

  return {
    listening: listening(),
    async reload(next) {
      const nextDns = dnsOf(next.dns)
      const nextHandler = joinFilter(next, stores, nextDns, reporter, log)
      const staysAdmin = isDeepStrictEqual(next.admin, running.admin)
      const nextStores = await stores.prepare(next)
      let nextAdmin = staysAdmin ? admin : undefined
      try {
        if (!staysAdmin) nextAdmin = await openAdmin(next.admin)
        await server.listen(listenOn(next), next.socketMode)
      } catch (error) {
        await nextStores.abandon()
        if (!staysAdmin) await nextAdmin?.close()
        throw error
      }
      const lastAdmin = admin
      newHandler = nextHandler
      nextStores.apply()
      nextDns.reload()
      server.useLimits(next.limits)
      admin = nextAdmin
      running = next
      if (!staysAdmin) await lastAdmin?.close()
      return listening()
    },
  }
}

async function healthOf(
  stores: Stores,
  listening: readonly SocketSpec[],
  warnings: readonly string[],
): Promise<Health> {
  await stores.check().catch(() => undefined) // `state` below says whether it failed
  const { local } = stores
  return {
    store: { name: stores.name, ...stores.state },
    ...(local
      ? { local: { name: stores.localName, entries: local.size, unmerged: local.unmergedSize } }
      : {}),
    listeners: listening.map(formatSocketSpec),
    warnings,
  }
}

function openDns(settings: DnsSettings, log: Log): Dns {
  return new Dns(settings, {
    onSilent: (problem) =>
      log.event('warn', 'DNS does not answer: clients are known by their network', { problem }),
    onAnswering: () => log.event('info', 'DNS answers again'),
  })
}

function joinFilter(config: Config, stores: Stores, dns: Dns, reporter: Reporter, log: Log): () => Handler {
  const lists = readLists(config.listFiles)
  for (const problem of lists.problems) log.event('warn', 'list entry left out', { problem })
  for (const problem of lists.warnings) log.event('warn', 'list entry in doubt', { problem })
  const greylister = createGreylister({
    settings: config.greylist,
    exempt: compileExempt(config.exempt, lists),
    investigate: createInvestigate({
      settings: config.investigate,
      identify: createIdentify(config.identity, dns),
      ...(config.dnswl.length > 0 ? { trusted: createDnsLists(config.dnswl, dns) } : {}),
      ...(config.onlyIfListed.length > 0 ? { blocked: createDnsLists(config.onlyIfListed, dns) } : {}),
    }),
    stores,
  })
  return createFilter({
    settings: config.filter,
    hostName: hostname(),
    now: () => new Date(),
    greylister: config.mode === 'observe' ? observing(greylister) : greylister,
    report: (outcome, took) => reporter.report(outcome, took),
  })
}
