// greymx serve: runs the daemon until SIGTERM or SIGINT, and reloads its configuration on SIGHUP. Making and joining
// the parts is left to app/.

import { type App, type Listening, SHUTDOWN_GRACE, startApp } from '../app/app.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../errors.ts'
import { bracketedHost } from '../ip.ts'
import { createLog, type Log, StandardOutput } from '../log/log.ts'
import type { InheritedSocket } from '../sockets/listener.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'
import { formatStoreSpec } from '../store/open.ts'
import { type InheritedSockets, inheritedSockets } from '../systemd/activation.ts'
import { Notifier } from '../systemd/notify.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { type MtaLines, mtaLines } from './mta-lines.ts'
import { complain } from './output.ts'
import { Signals } from './signals.ts'
import { version } from './version.ts'

/**
 * Time in which the process ends by itself once all parts are closed, in milliseconds. A start that was interrupted, or
 * a look-up of a name, may go on for longer.
 */
const END_TIMEOUT = 2_000

/** The kinds of `getActiveResourcesInfo` that wait in a thread: look-ups by the system, and files. */
const IN_THREAD = /^GetAddrInfo|^GetNameInfo|^FSReq/

/** Returns the exit status, once the daemon has stopped or could not start. The process ends within END_TIMEOUT then. */
export async function serve(configFile: string | undefined): Promise<ExitStatus> {
  const status = await run(configFile)
  setTimeout(() => endProcess(status), END_TIMEOUT).unref()
  return status
}

/** Ends the process at once, although something still keeps it alive. */
function endProcess(status: ExitStatus): void {
  // `process.exit` waits for threads, which do not end before a silent name server or a disk has answered. A signal
  // does not wait; it has no effect on the first process of a container. systemd takes SIGTERM for a clean end, and
  // starts a daemon anew that ended by another signal.
  if (process.getActiveResourcesInfo().some((kind) => IN_THREAD.test(kind))) {
    process.removeAllListeners('SIGTERM')
    process.kill(process.pid, status === EXIT.ok ? 'SIGTERM' : 'SIGKILL')
  }
  process.exit(status)
}

async function run(configFile: string | undefined): Promise<ExitStatus> {
  const signals = new Signals()
  const config = loadOrComplain(configFile)
  if (!config) return EXIT.config
  const output = new StandardOutput()
  let current = config
  const log = createLog(output, () => current.log)
  const notifier = new Notifier(process.env, process.pid, (problem) =>
    log.event('warn', 'cannot notify the service manager', { problem }),
  )
  try {
    const inherited = inheritedSockets(process.env, process.pid)
    const starting = startApp(config, log, inherited)
    const app = await Promise.race([starting, signals.stopped])
    if (!app) {
      log.event('info', 'stopping before the start has ended')
      notifier.stopping()
      void starting.then(
        (late) => late.close(),
        () => undefined,
      )
      return EXIT.ok
    }
    const message = startMessage(config, app.listening, inherited)
    if (config.log.format === 'text') output.write(startText(message))
    else log.event('info', `${version()} is listening`, { ...message })
    let { listening } = app
    for (;;) {
      notifier.ready(`listening on ${namesOf(listening.sockets)}`)
      if ((await signals.next()) === 'stop') break
      notifier.reloading()
      const reloaded = await reload(configFile, app, listening, log)
      if (!reloaded) continue
      current = reloaded.config
      listening = reloaded.listening
    }
    notifier.stopping()
    log.event('info', `stopping: waiting up to ${SHUTDOWN_GRACE / 1000} s for open SMTP sessions to finish`)
    await app.close()
    log.event('info', 'stopped')
    return EXIT.ok
  } catch (error) {
    complain(`${messageOf(error)}\n`)
    return EXIT.unavailable
  } finally {
    await notifier.close()
    output.close()
  }
}

/** Returns the configuration now in use, or `undefined` when the reload was refused, after the reason was logged. */
async function reload(
  configFile: string | undefined,
  app: App,
  before: Listening,
  log: Log,
): Promise<{ readonly config: Config; readonly listening: Listening } | undefined> {
  const refuse = (fault: string) => {
    app.reloadRefused()
    log.event('error', 'reload refused, configuration unchanged', { fault })
  }
  const loaded = loadConfig(configFile)
  if (loaded.kind === 'faults') {
    for (const fault of loaded.faults) refuse(fault)
    return undefined
  }
  try {
    const listening = await app.reload(loaded.config)
    const { sockets, policy, exim } = listening
    const changed = (now: readonly SocketSpec[], then: readonly SocketSpec[]) =>
      namesOf(now) === namesOf(then) ? undefined : namesOf(now) || 'off'
    log.event('info', 'configuration read again', {
      listen: changed(sockets, before.sockets),
      listen_policy: changed(policy, before.policy),
      listen_exim: changed(exim, before.exim),
    })
    return { config: loaded.config, listening }
  } catch (error) {
    refuse(messageOf(error))
    return undefined
  }
}

function namesOf(sockets: readonly SocketSpec[]): string {
  return sockets.map(formatSocketSpec).join(', ')
}

interface StartMessage extends MtaLines {
  readonly listen: string
  /** Absent without sockets of the policy protocol. */
  readonly listenPolicy?: string
  /** Absent without sockets for Exim. */
  readonly listenExim?: string
  readonly state: string
  readonly admin: string
  readonly commands: string
}

function startMessage(config: Config, listening: Listening, inherited: InheritedSockets): StartMessage {
  const { sockets, policy, exim, adminPort, adminSocket } = listening
  return {
    listen: withOrigin(sockets, inherited.mtas),
    ...(policy.length > 0 ? { listenPolicy: withOrigin(policy, inherited.policy) } : {}),
    ...(exim.length > 0 ? { listenExim: withOrigin(exim, inherited.exim) } : {}),
    state: formatStoreSpec(config.store),
    admin: adminLine(config, adminPort),
    commands: adminSocket ? formatSocketSpec(adminSocket) : 'off',
    ...mtaLines(sockets, policy),
  }
}

/** Where browsers, health checks and Prometheus find greymx. */
function adminLine({ admin, adminPage }: Config, port: number | undefined): string {
  if (!admin || port === undefined) return 'off'
  const url = `http://${bracketedHost(admin.host)}:${port}`
  return adminPage ? `${url}/ for browsers, /healthz and /metrics` : `${url}/healthz and /metrics`
}

function withOrigin(sockets: readonly SocketSpec[], inherited: readonly InheritedSocket[]): string {
  return inherited.length > 0 ? `${namesOf(sockets)} (inherited)` : namesOf(sockets)
}

function startText(message: StartMessage): string {
  const { listen, listenPolicy, listenExim, state, admin, commands, hint } = message
  const { postfix, policy, sendmail } = message
  const lines = [
    `${version()} is listening on ${listen}`,
    ...(listenPolicy === undefined ? [] : [`policy: ${listenPolicy}`]),
    ...(listenExim === undefined ? [] : [`exim: ${listenExim}`]),
    `state: ${state}`,
    `admin: ${admin}`,
    `commands: ${commands}`,
    ...(hint === undefined ? [] : [`hint: ${hint}`]),
    '',
    `Postfix, in main.cf:    ${postfix}`,
    ...(policy === undefined ? [] : [`  or in restrictions:   ${policy}`]),
    `Sendmail, in its .mc:   ${sendmail}`,
    '',
  ]
  return `${lines.join('\n')}\n`
}
