// Parses the command line into a command and its options, or a problem. Values are left to the commands.

import { parseArgs } from 'node:util'
import { messageOf } from '../errors.ts'
import type { SimulateOptions } from './simulate.ts'

/** A command with its options; `usage` is a command line that cannot be understood, with the reason. */
export type CliCommand =
  | { readonly kind: 'serve'; readonly configFile?: string }
  | ({ readonly kind: 'check'; readonly configFile?: string } & CheckArgs)
  | ({ readonly kind: 'probe'; readonly configFile?: string } & ProbeArgs)
  | ({ readonly kind: 'simulate' } & SimulateOptions)
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'usage'; readonly problem: string }

/** Options of `greymx check`. */
export interface CheckArgs {
  /** Whether the settings in effect are printed. */
  readonly print: boolean
  /** Folder of the main.cf that is compared with the configuration. */
  readonly postfix?: string
  /** The sendmail.cf or .mc file that is compared with the configuration. */
  readonly sendmail?: string
}

/** Options of `greymx probe`; USAGE explains them. */
export interface ProbeArgs {
  readonly client: string
  readonly name?: string
  readonly helo?: string
  readonly from: string
  readonly to: readonly string[]
  /** Socket of the daemon to ask; without it, the first that the configuration listens on is asked. */
  readonly socket?: string
  readonly json: boolean
}

/** The help text, which also follows a usage problem. */
export const USAGE = `Usage: greymx COMMAND [OPTIONS]

  serve              answer milter requests until SIGTERM; SIGHUP reads the configuration again
  check              read the configuration and say what is wrong with it, or will not do well
      --print        print all settings as they are in effect, and which the file or the environment has
      --postfix DIR  and with the main.cf in this folder
      --sendmail FILE  and with this sendmail.cf or .mc file
  probe              ask the running daemon as an MTA would, and print the SMTP replies
      --client IP    address of the SMTP client
      --name HOST    its confirmed host name
      --helo NAME    its greeting
      --from ADDR    envelope sender, <> for bounces
      --to ADDR      envelope recipient; may be given several times
      --socket SPEC  the daemon's socket, instead of the configuration's first
  simulate           figures of these settings in a simulated world: delay of wanted mail, spam that passes
      --set SETTING=VALUE[,SETTING=VALUE]   and of a variant with other settings; may be given several times
      --peers        and of other greylisters: Postgrey, sqlgrey, rspamd, milter-greylist, OpenBSD spamd
      --replay LOG…  what logs of greymx, Postfix or Sendmail have, in the place of a world; gzip is read, too
      --world NAME|FILE   another world: knowing-bots, less-spf, more-spam, or one of your own
      --seed N, --days N, --recipients N, --scale FACTOR   other chance, longer, or larger
      --by-class     and figures for each class of sender
      --plot FILE.svg   and draws delay against spam

  --config FILE      default ./milter.yaml, then /etc/greymx/milter.yaml; GREYMX_GREYLIST_DELAY=5m and the like in the
                     environment go before what it says
  --json             print data as JSON
  --help, --version

Exit status: 0 fine, 64 usage, 69 daemon or store out of reach, 75 deferred (probe), 78 configuration.
`

const OPTIONS = {
  config: { type: 'string' },
  client: { type: 'string' },
  name: { type: 'string' },
  helo: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string', multiple: true },
  socket: { type: 'string' },
  json: { type: 'boolean' },
  set: { type: 'string', multiple: true },
  peers: { type: 'boolean' },
  replay: { type: 'string', multiple: true },
  world: { type: 'string' },
  seed: { type: 'string' },
  days: { type: 'string' },
  recipients: { type: 'string' },
  scale: { type: 'string' },
  plot: { type: 'string' },
  'by-class': { type: 'boolean' },
  print: { type: 'boolean' },
  postfix: { type: 'string' },
  sendmail: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

const PROBE_ONLY = ['client', 'name', 'helo', 'from', 'to', 'socket'] as const
const SIMULATE_ONLY = [
  'set',
  'peers',
  'replay',
  'world',
  'seed',
  'days',
  'recipients',
  'scale',
  'plot',
  'by-class',
] as const
/** Commands that print data. */
const WITH_JSON: readonly string[] = ['probe', 'simulate']
const CHECK_ONLY = ['print', 'postfix', 'sendmail'] as const

/** Returns the command of `argv`, which is without the program and its script. */
export function parseCommand(argv: readonly string[]): CliCommand {
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true })
    if (values.help) return { kind: 'help' }
    if (values.version) return { kind: 'version' }
    const [name, ...rest] = positionals
    if (name === undefined) return { kind: 'usage', problem: 'expected a command' }
    const mayHaveLogs = name === 'simulate' && values.replay !== undefined
    if (rest.length > 0 && !mayHaveLogs)
      return { kind: 'usage', problem: `unexpected argument ${JSON.stringify(rest[0])}` }
    const configFile = values.config === undefined ? {} : { configFile: values.config }
    if (name !== 'serve' && name !== 'check' && name !== 'probe' && name !== 'simulate')
      return { kind: 'usage', problem: `unknown command ${JSON.stringify(name)}` }
    const aliens = [
      ...(name === 'probe' ? [] : PROBE_ONLY),
      ...(name === 'check' ? [] : CHECK_ONLY),
      ...(name === 'simulate' ? [] : SIMULATE_ONLY),
      ...(WITH_JSON.includes(name) ? [] : (['json'] as const)),
    ]
    const alien = aliens.find((option) => values[option] !== undefined)
    if (alien) return { kind: 'usage', problem: `${name} takes no --${alien}` }
    if (name === 'probe') return probeCommand(values, configFile)
    if (name === 'simulate') return simulateCommand(values, rest, configFile)
    if (name === 'serve') return { kind: name, ...configFile }
    const { postfix, sendmail } = values
    return {
      kind: name,
      print: values.print ?? false,
      ...configFile,
      ...(postfix === undefined ? {} : { postfix }),
      ...(sendmail === undefined ? {} : { sendmail }),
    }
  } catch (error) {
    return { kind: 'usage', problem: messageOf(error) }
  }
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

function probeCommand(values: Values, configFile: { configFile?: string }): CliCommand {
  const { client, name, helo, from, to, socket, json = false } = values
  if (client === undefined) return { kind: 'usage', problem: 'probe needs --client IP' }
  if (from === undefined) return { kind: 'usage', problem: 'probe needs --from ADDR' }
  if (to === undefined || to.length === 0) return { kind: 'usage', problem: 'probe needs --to ADDR' }
  return {
    kind: 'probe',
    ...configFile,
    client,
    from,
    to,
    json,
    ...(name === undefined ? {} : { name }),
    ...(helo === undefined ? {} : { helo }),
    ...(socket === undefined ? {} : { socket }),
  }
}

function simulateCommand(
  values: Values,
  logs: readonly string[],
  configFile: { configFile?: string },
): CliCommand {
  const {
    set = [],
    peers = false,
    replay = [],
    world,
    seed,
    days,
    recipients,
    scale,
    plot,
    'by-class': byClass = false,
    json = false,
  } = values
  return {
    kind: 'simulate',
    ...configFile,
    set,
    peers,
    replay: [...replay, ...logs],
    byClass,
    json,
    ...(world === undefined ? {} : { world }),
    ...(seed === undefined ? {} : { seed }),
    ...(days === undefined ? {} : { days }),
    ...(recipients === undefined ? {} : { recipients }),
    ...(scale === undefined ? {} : { scale }),
    ...(plot === undefined ? {} : { plot }),
  }
}
