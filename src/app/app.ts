// Makes all parts and joins them, and exchanges them when the configuration is read again. This file alone knows them
// all; the command line and signals are left to cli/, the life of stores to stores.ts, that of DNS resolvers to
// resolvers.ts.

import { hostname } from 'node:os'
import { CALL_RESULTS } from '../admin/calls.ts'
import type { Health } from '../admin/health.ts'
import { Metrics } from '../admin/metrics.ts'
import { Admin, type AdminEvents } from '../admin/server.ts'
import { prepareAll } from '../change.ts'
import type { Config } from '../config/schema.ts'
import { DNS_RESULTS, type Dns } from '../dns.ts'
import { createEximDoor } from '../doors/exim.ts'
import type { DoorParts } from '../doors/message.ts'
import { createMilterDoor } from '../doors/milter.ts'
import { createPolicyDoor } from '../doors/policy.ts'
import { createDnsLists } from '../exempt/dnslists.ts'
import { compileExemptSteps, type ExemptStep, firstExemption } from '../exempt/exempt.ts'
import { readLists } from '../exempt/lists.ts'
import { createGreylister, type Greylister, observing } from '../greylist/greylister.ts'
import { createInvestigate } from '../greylist/investigate.ts'
import { createIdentify } from '../identity/identity.ts'
import { type DoorFault, FaultLog, PROTOCOL_ERROR_KINDS, type ProtocolErrorKind } from '../log/faults.ts'
import type { Log } from '../log/log.ts'
import { OneAddressWatch } from '../log/one-address.ts'
import { RefusalLog } from '../log/refusals.ts'
import { Reporter } from '../log/reporter.ts'
import { Fleet } from '../operator/fleet.ts'
import { Operator } from '../operator/operator.ts'
import { storedBy } from '../operator/stored.ts'
import type { ListenOn } from '../sockets/listener.ts'
import { type Endpoint, Server } from '../sockets/server.ts'
import type { NewSession } from '../sockets/session.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'
import type { InheritedSockets } from '../systemd/activation.ts'
import { greymxVersion } from '../version.ts'
import { Resolvers } from './resolvers.ts'
import { openStores, type Stores } from './stores.ts'

/**
 * Longest wait for open SMTP sessions to end when greymx stops, in milliseconds. It is below the 10 s after which
 * docker sends SIGKILL.
 */
export const SHUTDOWN_GRACE = 8_000

/** While greymx stops, a connection without an open transaction is closed after this many milliseconds of silence. */
const SHUTDOWN_IDLE_TIMEOUT = 2_000

/** The protocols of the doors. */
type Protocol = 'milter' | 'policy' | 'exim'

/** Addresses on which the daemon listens. */
export interface Listening {
  /** Sockets for MTAs that speak the milter protocol. */
  readonly sockets: readonly SocketSpec[]
  /** Sockets for Postfix's policy protocol; empty without this door. */
  readonly policy: readonly SocketSpec[]
  /** Sockets for Exim; empty without this door. */
  readonly exim: readonly SocketSpec[]
  /** Absent when the admin server is turned off. */
  readonly adminPort?: number
  /** Where commands reach it; absent when that is turned off, or did not succeed. */
  readonly adminSocket?: SocketSpec
}

/** The running daemon. */
export interface App {
  readonly listening: Listening
  /**
   * Applies all settings and returns where the daemon listens now. When a new socket or store cannot be opened, it
   * rejects and changes nothing. The caller waits for its end before it calls `reload` again or `close`.
   */
  reload(config: Config): Promise<Listening>
  /** Notes for the metrics that a reload was refused. */
  reloadRefused(): void
  /** Stops listening, waits for open SMTP sessions for SHUTDOWN_GRACE at most, and closes all parts. */
  close(): Promise<void>
}

/**
 * Starts the daemon. `inherited` sockets replace the settings for sockets of their kind. Rejects when a socket or the store
 * cannot be opened; an unreachable Redis is no such failure, and is retried.
 */
export async function startApp(config: Config, log: Log, inherited: InheritedSockets): Promise<App> {
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
  inherited: InheritedSockets,
  closers: Array<() => Promise<void>>,
): Promise<Omit<App, 'close'>> {
  let inUse = config
  const fleet = new Fleet({
    host: hostname(),
    pid: process.pid,
    version: greymxVersion(),
    records: () => stores.records,
    state: () => ({
      store: { name: stores.name, ...stores.state },
      isDnsUp: resolvers.isAnswering,
      listeners: server.addresses.map(formatSocketSpec),
      settings: inUse.texts,
    }),
    retryWindow: () => inUse.greylist.times.retryWindow,
    handOn: () => reporter.handOn(),
    log,
  })
  const metrics = new Metrics(greymxVersion(), { protocolErrors: PROTOCOL_ERROR_KINDS, dns: DNS_RESULTS })
  const watch = new OneAddressWatch(
    () => performance.now(),
    ({ client, warning }) => log.event('warn', 'all clients seem to have one address', { client, warning }),
  )
  const reporter = new Reporter([
    (outcome) => log.outcome(outcome),
    (outcome, took) => metrics.outcome(outcome, took),
    (outcome) => watch.take(outcome),
    (outcome) => fleet.statistics.take(outcome),
    (outcome) => operator.take(outcome),
  ])
  const stores = await openStores(config, log, metrics)
  closers.push(() => stores.close())
  closers.push(() => fleet.close())
  const operator: Operator = new Operator({
    records: () => stores.records,
    store: () => stores.store,
    host: hostname(),
    now: fleet.now,
    onProblem: (problem) =>
      log.event('warn', "operators' rules or figures cannot be kept: mail is not affected", { problem }),
  })
  closers.push(() => operator.close())
  await operator.start()
  const calls = [...operator.calls, ...fleet.calls]
  metrics.adminCalls(
    calls.map(({ name }) => name),
    CALL_RESULTS,
  )
  const resolvers = new Resolvers(log, metrics)
  closers.push(async () => resolvers.close())
  const faults = new FaultLog(log)
  closers.push(async () => faults.close())
  const server = new Server<DoorFault>(config.limits, {
    onConnection: (open) => metrics.connections(open),
    onFault: (kind: ProtocolErrorKind, reason, peer) => {
      metrics.protocolError(kind)
      faults.note(kind, reason, peer)
    },
  })
  const refusals = new RefusalLog(log)
  closers.push(async () => refusals.close())
  const admin: Admin = new Admin(
    {
      metrics() {
        reporter.handOn()
        return metrics.exposition()
      },
      health() {
        reporter.handOn()
        return healthOf(stores, server, [...watch.warnings, ...admin.warnings])
      },
      isListening: () => server.addresses.length > 0,
      calls,
      hostName: hostname(),
      version: greymxVersion(),
    },
    adminEvents(log, metrics, refusals),
    inherited.admin,
  )
  closers.push(() => admin.close())
  closers.push(async () => {
    await server.close(SHUTDOWN_GRACE, SHUTDOWN_IDLE_TIMEOUT)
    reporter.handOn()
  })

  const use = async (next: Config): Promise<Listening> => {
    const lists = readLists(next.listFiles)
    const resolver = resolvers.prepare(next.dns)
    const exemptSteps = compileExemptSteps(next.exempt, lists, operator.exemptByStore)
    const greylister = joinGreylister(next, { exemptSteps, stores, dns: resolver.dns, operator })
    const parts: DoorParts = {
      greylister,
      report: (outcome, took) => reporter.report(outcome, took),
      reply: next.reply,
      hostName: hostname(),
      now: () => new Date(),
    }
    const milter = createMilterDoor(next.milter, next.limits, parts)
    const policy = createPolicyDoor(next.milter, next.limits, parts)
    const exim = createEximDoor(next.milter, next.limits, parts)
    const endpoints: ReadonlyArray<Endpoint<DoorFault>> = [
      ...preferred(inherited.mtas, next.listen).map((on) => endpoint('milter', on, milter)),
      ...preferred(inherited.policy, next.listenPolicy).map((on) => endpoint('policy', on, policy)),
      ...preferred(inherited.exim, next.listenExim).map((on) => endpoint('exim', on, exim)),
    ]
    const change = await prepareAll([
      () => resolver,
      () => stores.prepare(next),
      () => admin.prepare(next),
      () => server.prepare({ endpoints, socketMode: next.socketMode, limits: next.limits }),
    ])
    await change.apply()
    const { nat64Prefixes } = next.milter
    operator.use({
      greylister,
      exemptSteps,
      nat64Prefixes,
      judgesRecipients: next.milter.judgeAt === 'rcpt',
      stored: storedBy(next.greylist),
      areRecipientsInStore: next.exempt.greylisted === 'store',
      retryWindow: next.greylist.times.retryWindow,
    })
    inUse = next
    fleet.begin()
    metrics.reloaded(true)
    for (const problem of lists.problems) log.event('warn', 'list entries are left out', { problem })
    for (const problem of lists.warnings)
      log.event('warn', 'list entry may not mean what Postgrey makes of it', { problem })
    const { port, socket } = admin
    return {
      sockets: server.addressesOf('milter'),
      policy: server.addressesOf('policy'),
      exim: server.addressesOf('exim'),
      ...(port === undefined ? {} : { adminPort: port }),
      ...(socket ? { adminSocket: socket } : {}),
    }
  }
  return { listening: await use(config), reload: use, reloadRefused: () => metrics.reloaded(false) }
}

function adminEvents(log: Log, metrics: Metrics, refusals: RefusalLog): AdminEvents {
  return {
    onChange: (who, call, params) =>
      log.event('info', 'an operator made a change', { who, call, params: params || undefined }),
    onFailure: (who, call, params, problem) => {
      const event = params === undefined ? 'a call failed' : 'a change failed, and may have been made in part'
      log.event('error', event, { who, call, params: params || undefined, problem })
    },
    onRefusal: (reason, peer) => refusals.note(reason, peer),
    onCall: (call, result) => metrics.adminCall(call, result),
    onSocketProblem: (problem) =>
      log.event('error', 'commands of greymx cannot reach it: mail is not affected', { problem }),
    tokens: {
      onWarning: (warning) => log.event('warn', 'others may read the tokens of admin_tokens', { warning }),
      onProblem: (problem) =>
        log.event('error', 'admin_tokens cannot be read: no token counts until it can', { problem }),
    },
  }
}

/** The sockets for one door: those that the service manager has opened, or else those of the settings. */
function preferred(inherited: readonly ListenOn[], configured: readonly ListenOn[]): readonly ListenOn[] {
  return inherited.length > 0 ? inherited : configured
}

/** A socket with the door behind it. A session reports faults of its own protocol only. */
function endpoint<Fault extends DoorFault>(
  protocol: Protocol,
  on: ListenOn,
  newSession: NewSession<Fault>,
): Endpoint<DoorFault> & { readonly protocol: Protocol } {
  return { on, protocol, newSession }
}

async function healthOf(
  stores: Stores,
  server: Server<DoorFault>,
  warnings: readonly string[],
): Promise<Health> {
  await stores.check().catch(() => undefined) // `state` below says whether it failed
  const { localFigures: local } = stores
  return {
    store: { name: stores.name, ...stores.state },
    ...(local ? { local: { name: local.name, entries: local.size, unmerged: local.unmergedSize } } : {}),
    listeners: server.addressesOf('milter').map(formatSocketSpec),
    policy: server.addressesOf('policy').map(formatSocketSpec),
    exim: server.addressesOf('exim').map(formatSocketSpec),
    warnings,
  }
}

function joinGreylister(
  config: Config,
  parts: {
    readonly exemptSteps: readonly ExemptStep[]
    readonly stores: Stores
    readonly dns: Dns
    readonly operator: Operator
  },
): Greylister {
  const { exemptSteps, stores, dns, operator } = parts
  const greylister = createGreylister({
    settings: config.greylist,
    exempt: firstExemption(exemptSteps),
    runtimeRuleFor: operator.ruleFor,
    hasImports: operator.hasImports,
    investigate: createInvestigate({
      settings: config.investigate,
      identify: createIdentify(config.identity, dns),
      ...(config.dnswl.length > 0 ? { trusted: createDnsLists(config.dnswl, dns) } : {}),
      ...(config.onlyIfListed.length > 0 ? { blocked: createDnsLists(config.onlyIfListed, dns) } : {}),
    }),
    stores,
  })
  return config.mode === 'observe' ? observing(greylister) : greylister
}
