// Makes the parts and joins them; the one file that knows them all.

import { hostname } from 'node:os'
import { Metrics } from './admin/metrics.ts'
import { type Health, startAdmin } from './admin/server.ts'
import type { Config } from './config/schema.ts'
import { Dns, type DnsSettings } from './dns.ts'
import { createDnsLists } from './exempt/dnslists.ts'
import { compileExempt } from './exempt/exempt.ts'
import { readLists } from './exempt/lists.ts'
import { createFilter } from './filter.ts'
import { createGreylister, observing } from './greylister.ts'
import { createIdentify } from './identity/identity.ts'
import { createInvestigate } from './investigate.ts'
import type { Log } from './log.ts'
import { startServer } from './milter/server.ts'
import type { Handler } from './milter/session.ts'
import { formatSocketSpec, type SocketSpec } from './milter/socket.ts'
import { Reporter } from './report.ts'
import { FailoverStore } from './store/failover.ts'
import { GuardedStore } from './store/guard.ts'
import type { LocalStore } from './store/local.ts'
import { formatStoreSpec, openLocalStore, openStore } from './store/open.ts'
import type { Store } from './store/store.ts'

/** How long open SMTP sessions may take to end when greymx stops, in milliseconds; below docker's 10 s before SIGKILL. */
const GRACE = 8_000

/** How long an MTA without an open transaction is silent before its SMTP session is taken to be idle. */
const SILENCE = 2_000

export interface App {
  /** Where it listens for MTAs. */
  readonly listening: readonly SocketSpec[]
  readonly adminPort?: number
  /** Takes over what can change while it runs; says which changed settings need a restart. */
  reload(config: Config): string[]
  close(): Promise<void>
}

/** Rejects when a socket or the store cannot be opened; a Redis that is away only means that it is waited for. */
export async function startApp(config: Config, log: Log): Promise<App> {
  const closers: Array<() => Promise<void>> = []
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    return { ...(await openParts(config, log, closers)), close }
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
  closers: Array<() => Promise<void>>,
): Promise<Omit<App, 'close'>> {
  const metrics = new Metrics()
  const reporter = new Reporter([
    (outcome) => log.outcome(outcome),
    (outcome, took) => metrics.outcome(outcome, took),
  ])
  const stores = await openStores(config, log, metrics, closers)

  let listening: readonly SocketSpec[] = []
  const admin =
    config.admin &&
    (await startAdmin(config.admin, {
      metrics() {
        reporter.handOn()
        return metrics.exposition()
      },
      health: () => healthOf(config, stores, listening),
    }))
  if (admin) closers.push(() => admin.close())

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

  let newHandler = joinFilter(config, stores, dnsOf(config.dns), reporter, log)
  const server = await startServer({
    listen: config.listen,
    socketMode: config.socketMode,
    newHandler: () => newHandler(),
    onConnection: (open) => metrics.connections(open),
    onProtocolError: (kind, reason, peer) => {
      metrics.protocolError(kind)
      log.event('warn', 'connection closed: the MTA broke the milter protocol', { kind, reason, mta: peer })
    },
  })
  closers.push(async () => {
    listening = []
    await server.close(GRACE, SILENCE)
    reporter.handOn()
  })
  listening = server.addresses

  return {
    listening,
    ...(admin ? { adminPort: admin.port } : {}),
    reload(next) {
      newHandler = joinFilter(next, stores, dnsOf(next.dns), reporter, log)
      return needRestart(config, next)
    },
  }
}

async function healthOf(
  config: Config,
  { guarded, local }: Stores,
  listening: readonly SocketSpec[],
): Promise<Health> {
  await guarded.check().catch(() => undefined) // the state says it
  const name = formatStoreSpec(config.local.store)
  return {
    store: { name: formatStoreSpec(config.store), ...guarded.state },
    ...(local ? { local: { name, entries: local.size, unmerged: local.unmergedSize } } : {}),
    listeners: listening.map(formatSocketSpec),
  }
}

interface Stores {
  readonly guarded: GuardedStore
  /** What attempts are judged by: the guarded one, or that with the local one beside it. */
  readonly store: Store
  readonly local?: LocalStore
}

async function openStores(
  config: Config,
  log: Log,
  metrics: Metrics,
  closers: Array<() => Promise<void>>,
): Promise<Stores> {
  const { greylist, local: settings } = config
  const isLocal = greylist.onStoreError === 'local'
  const local = isLocal ? openLocalStore(settings.store, settings.entries, greylist.times) : undefined
  if (local) closers.push(() => local.close())
  const guarded = await openGuardedStore(config, log, metrics)
  closers.push(() => guarded.close())
  if (!local) return { guarded, store: guarded }

  const store = new FailoverStore(guarded, () => guarded.state.up, local, {
    onMerged({ merged, unreadable }) {
      metrics.merged(merged)
      log.event('info', 'what was learnt while the store was down is merged into it', {
        merged,
        unreadable: unreadable || undefined,
      })
    },
    onMergeFailed: (problem) => log.event('error', 'the store does not take in what was learnt', { problem }),
  })
  closers.push(() => store.close())
  metrics.localStore(local)
  return { guarded, store, local }
}

async function openGuardedStore(config: Config, log: Log, metrics: Metrics): Promise<GuardedStore> {
  const name = formatStoreSpec(config.store)
  let guarded: GuardedStore | undefined
  const store = await openStore(config.store, {
    onReady: () => void guarded?.probe(),
    onProblem: (problem) => guarded?.markDown(problem),
  })
  guarded = new GuardedStore(store, config.storeTimeout, {
    onOperation: (operation, result) => metrics.storeOperation(operation, result),
    onUp: () => {
      metrics.storeUp()
      log.event('info', 'store is up', { store: name })
    },
    onDown: (problem) => {
      metrics.storeDown()
      log.event('error', 'store is down', { store: name, problem })
    },
  })
  await guarded.check().catch(() => undefined) // logged by now, and waited for; mail flows meanwhile
  return guarded
}

function openDns(settings: DnsSettings, log: Log): Dns {
  return new Dns(settings, {
    onSilent: (problem) =>
      log.event('warn', 'DNS does not answer: clients are known by their network', { problem }),
    onAnswering: () => log.event('info', 'DNS answers again'),
  })
}

function joinFilter(
  config: Config,
  { store, local }: Stores,
  dns: Dns,
  reporter: Reporter,
  log: Log,
): () => Handler {
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
    store,
    ...(local ? { local } : {}),
  })
  return createFilter({
    settings: config.filter,
    hostName: hostname(),
    now: () => new Date(),
    greylister: config.mode === 'observe' ? observing(greylister) : greylister,
    report: (outcome, took) => reporter.report(outcome, took),
  })
}

/** The names of the settings in which two configurations differ and which are read at the start only. */
function needRestart(before: Config, after: Config): string[] {
  const settings = (config: Config) => ({
    listen: config.listen,
    socket_mode: config.socketMode,
    store: config.store,
    store_timeout: config.storeTimeout,
    on_store_error: config.greylist.onStoreError === 'local',
    local_store: config.local.store,
    local_entries: config.local.entries,
    admin: config.admin,
  })
  const [old, now] = [Object.entries(settings(before)), Object.values(settings(after))]
  return old
    .filter(([, value], index) => JSON.stringify(value) !== JSON.stringify(now[index]))
    .map(([name]) => name)
}
