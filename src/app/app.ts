// Makes the parts and joins them; the one file that knows them all.

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

/** How long open SMTP sessions may take to end when greymx stops, in milliseconds; below docker's 10 s before SIGKILL. */
const GRACE = 8_000

/** How long an MTA without an open transaction is silent before its SMTP session is taken to be idle. */
const SILENCE = 2_000

export interface Listening {
  /** Where MTAs reach it. */
  readonly sockets: readonly SocketSpec[]
  readonly adminPort?: number
}

export interface App {
  readonly listening: Listening
  /**
   * Takes all settings over. Rejects when a new socket or store cannot be opened, and all is as it was. Called again only
   * when the last call has ended, and not during `close`.
   */
  reload(config: Config): Promise<Listening>
  close(): Promise<void>
}

/**
 * Where there are `inherited` sockets, they take the place of the setting `listen`. Rejects when a socket or the store
 * cannot be opened; a Redis that is away only means that it is waited for.
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
    // What is open keeps the process alive: half a daemon would go on answering.
    await close()
    throw error
  }
}

/** Each part that was opened leaves its end in `closers`, to be called in reverse order. */
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

  // By their servers: a reload loses no answers, and sessions that are open go on asking those they began with.
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
    await server.close(GRACE, SILENCE)
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
  await stores.check().catch(() => undefined) // the state says it
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
