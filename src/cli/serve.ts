// greymx serve: runs the daemon until it is told to stop.

import { readFileSync } from 'node:fs'
import { type App, startApp } from '../app.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { bracketedHost } from '../ip.ts'
import { createLog, type Log, StandardOutput } from '../log.ts'
import { messageOf } from '../message.ts'
import { formatSocketSpec, postfixService, type SocketSpec } from '../milter/socket.ts'
import { formatStoreSpec } from '../store/open.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'

export async function serve(configFile: string | undefined): Promise<ExitStatus> {
  const config = loadOrComplain(configFile)
  if (!config) return EXIT.config
  const output = new StandardOutput()
  let current = config
  const log = createLog(output, () => current.log)
  try {
    const app = await startApp(config, log)
    const message = startMessage(config, app)
    if (config.log.format === 'text') output.write(startText(message))
    else log.event('info', `${version()} is listening`, { ...message })
    process.on('SIGHUP', () => {
      current = reload(configFile, app, log) ?? current
    })
    await stopSignal()
    log.event('info', 'stopping: open transactions may end')
    await app.close()
    log.event('info', 'stopped')
    return EXIT.ok
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`)
    return EXIT.unavailable
  } finally {
    output.close()
  }
}

export function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return `greymx ${version}`
}

function reload(configFile: string | undefined, app: App, log: Log): Config | undefined {
  const loaded = loadConfig(configFile)
  if (loaded.kind === 'faults') {
    for (const fault of loaded.faults) log.event('error', 'configuration not taken over', { fault })
    return undefined
  }
  const restart = app.reload(loaded.config)
  log.event(
    'info',
    'configuration read again',
    restart.length > 0 ? { needs_restart: restart.join(',') } : {},
  )
  return loaded.config
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}

interface StartMessage {
  readonly listen: string
  readonly state: string
  readonly admin: string
  /** What to write into the MTAs' configurations. */
  readonly postfix: string
  readonly sendmail: string
}

function startMessage(config: Config, { listening, adminPort }: App): StartMessage {
  const [first] = listening
  const isOn = config.admin && adminPort !== undefined
  return {
    listen: listening.map(formatSocketSpec).join(', '),
    state: formatStoreSpec(config.store),
    admin: isOn ? `http://${bracketedHost(config.admin.host)}:${adminPort}/healthz and /metrics` : 'off',
    postfix: `smtpd_milters = { ${first ? postfixService(first) : ''}, default_action=accept }`,
    sendmail: `INPUT_MAIL_FILTER(\`greymx', \`S=${sendmailSocket(listening)}, T=C:10s;S:10s;R:10s;E:1m')dnl`,
  }
}

function startText({ listen, state, admin, postfix, sendmail }: StartMessage): string {
  const lines = [
    `${version()} is listening on ${listen}`,
    `state: ${state}`,
    `admin: ${admin}`,
    '',
    `Postfix, in main.cf:    ${postfix}`,
    `Sendmail, in its .mc:   ${sendmail}`,
    '',
  ]
  return `${lines.join('\n')}\n`
}

/** A unix socket where there is one: Sendmail waits for each recipient over TCP. */
function sendmailSocket(listening: readonly SocketSpec[]): string {
  const spec = listening.find(({ kind }) => kind === 'unix') ?? listening[0]
  return spec ? formatSocketSpec(spec) : ''
}
