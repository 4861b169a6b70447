// greymx simulate: figures of the configured settings and of variants of them, in a simulated world and in virtual time.
// How a world lives and how figures are made is left to simulate/.

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import type { Attempt } from '../attempt.ts'
import { variableOf } from '../config/environment.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../errors.ts'
import { type Lists, readLists } from '../exempt/lists.ts'
import { createIdentify } from '../identity/identity.ts'
import { SpfStandings } from '../identity/spf/standing.ts'
import { runWorld } from '../simulate/engine.ts'
import { figuresOf } from '../simulate/figures.ts'
import { createGreymxJudge } from '../simulate/greymx.ts'
import type { Judge } from '../simulate/judge.ts'
import { peersWith } from '../simulate/peers/presets.ts'
import { plot } from '../simulate/plot.ts'
import type { StateSize } from '../simulate/redis-size.ts'
import { LoggedIdentities } from '../simulate/replay/identify.ts'
import { replay } from '../simulate/replay/replay.ts'
import { formatReplay } from '../simulate/replay/report.ts'
import { formatClasses, formatTable, type Variant } from '../simulate/table.ts'
import { NoRoom } from '../simulate/world/addresses.ts'
import type { WorldData } from '../simulate/world/data.ts'
import type { Size } from '../simulate/world/population.ts'
import { parseWorld, type WorldFile } from '../simulate/world/read.ts'
import { readShippedWorld, SHIPPED_WORLDS } from '../simulate/world/shipped.ts'
import { makeWorld, type World } from '../simulate/world/world.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { Progress } from './progress.ts'

/** Options of `greymx simulate`, as text where they are numbers. */
export interface SimulateOptions {
  readonly configFile?: string
  /** The name of a shipped world, or a world's file; the default world without it. */
  readonly world?: string
  /** Variants: settings that differ, as `NAME=VALUE` or `NAME=VALUE,NAME=VALUE`. */
  readonly set: readonly string[]
  /** Whether other greylisters stand beside the settings. */
  readonly peers: boolean
  /** Logs that take the place of a world. */
  readonly replay: readonly string[]
  readonly seed?: string
  readonly days?: string
  readonly recipients?: string
  readonly scale?: string
  /** A file for the picture. */
  readonly plot?: string
  readonly byClass: boolean
  readonly json: boolean
}

/** Width of the table where standard output is no terminal, in characters. */
const DEFAULT_WIDTH = 120

/** A judge of a variant, which may say how large its state is. */
interface Contestant {
  readonly judge: Judge
  readonly stateSize?: () => StateSize
}

/** Makes a contestant that has seen nothing yet; what it remembers goes with it when its run is over. */
type MakeContestant = () => Contestant

/** A command line that cannot be used. */
class UsageError extends Error {}

/** Returns the exit status. Figures go to standard output, all else to standard error. */
export async function simulate(options: SimulateOptions): Promise<ExitStatus> {
  try {
    const configs = loadVariants(options)
    if (configs && options.replay.length > 0) return await replayLogs(configs, options)
    const data = configs && loadWorld(options.world)
    if (!configs || !data) return EXIT.config
    const world = makeWorld(data, sizeOf(options, data))
    if (options.plot !== undefined) expectWritable(options.plot)
    for (const remark of remarksOn(configs)) process.stderr.write(`${remark}\n`)
    const contestants: readonly MakeContestant[] = [
      ...configs.map((config) => () => greymxIn(world, config)),
      ...(options.peers ? peersWith(spfIn(world)).map((makePeer) => () => ({ judge: makePeer() })) : []),
    ]
    const variants = await runAll(world, contestants)
    const title = titleOf(world)
    if (options.plot !== undefined) writeFileSync(options.plot, plot(variants, title))
    process.stdout.write(options.json ? toJson(world, variants) : toText(title, variants, options.byClass))
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof NoRoom)) throw error
    process.stderr.write(`${error.message}\n`)
    return EXIT.usage
  }
}

/** The settings of one variant. */
interface VariantConfig {
  readonly name: string
  readonly config: Config
  readonly lists: Lists
}

/** The configuration and its variants, or `undefined` after faults were printed. */
function loadVariants({ configFile, set }: SimulateOptions): VariantConfig[] | undefined {
  const base = loadConfig(configFile)
  if (base.kind === 'faults') return complain(base.faults)
  const variants: VariantConfig[] = [variantOf(base.fileName, base)]
  for (const text of set) {
    const settings = parseSet(text, base)
    const overrides = Object.fromEntries(settings.map(([name, value]) => [variableOf(name), value]))
    const loaded = loadConfig(configFile, { ...process.env, ...overrides })
    if (loaded.kind === 'faults') return complain(loaded.faults.map((fault) => `--set ${text}: ${fault}`))
    variants.push(variantOf(text.replace(/(^|,)greylist\./g, '$1'), loaded))
  }
  return variants
}

function variantOf(name: string, { config }: LoadedConfig): VariantConfig {
  return { name, config, lists: readLists(config.listFiles) }
}

function complain(faults: readonly string[]): undefined {
  process.stderr.write(faults.map((fault) => `${fault}\n`).join(''))
}

/** The settings in `NAME=VALUE,NAME=VALUE`. A comma in brackets or braces belongs to a value. */
function parseSet(text: string, { settings }: LoadedConfig): Array<readonly [name: string, value: string]> {
  return splitOutside(text).map((part) => {
    const [, name, value] = /^\s*([a-z][a-z0-9_.]*)\s*=(.*)$/s.exec(part) ?? []
    if (name === undefined || value === undefined)
      throw new UsageError(
        `Cannot read --set ${JSON.stringify(text)}: expected SETTING=VALUE, like greylist.delay=1m`,
      )
    const isKnown = settings.some((known) => known.name === name || known.name.startsWith(`${name}.`))
    const isWithin = settings.some((known) => name.startsWith(`${known.name}.`))
    if (!isKnown && !isWithin)
      throw new UsageError(
        `Cannot read --set ${JSON.stringify(text)}: expected a setting of milter.yaml, found ${name}`,
      )
    return [name, value.trim()]
  })
}

function splitOutside(text: string): string[] {
  const parts = ['']
  let depth = 0
  for (const character of text) {
    if ('[{'.includes(character)) depth += 1
    if (']}'.includes(character)) depth -= 1
    if (character === ',' && depth === 0) parts.push('')
    else parts[parts.length - 1] += character
  }
  return parts
}

/** What the simulation leaves out of the settings. */
function remarksOn(configs: readonly VariantConfig[]): string[] {
  const remarks: string[] = []
  if (configs.some(({ config }) => config.dnswl.length > 0 || config.onlyIfListed.length > 0))
    remarks.push('dnswl and only_if_listed are left out: a simulated world has no DNS lists')
  if (configs.some(({ config }) => config.mode === 'observe'))
    remarks.push('greylist.mode: observe defers nothing: these are the figures that enforce would have')
  return remarks
}

function loadWorld(world = 'default'): WorldData | undefined {
  const shipped = SHIPPED_WORLDS.find((name) => name === world)
  const file = shipped === undefined ? readWorld(world) : readShippedWorld(shipped)
  const loaded = parseWorld(file, readShippedWorld('default'))
  return loaded.kind === 'world' ? loaded.data : complain(loaded.faults)
}

function readWorld(file: string): WorldFile {
  try {
    return { fileName: file, text: readFileSync(file, 'utf8') }
  } catch (error) {
    throw new UsageError(
      `Cannot read --world ${file}: ${messageOf(error)}; expected a file, or one of ${SHIPPED_WORLDS.join(', ')}`,
    )
  }
}

function sizeOf(options: SimulateOptions, data: WorldData): Size {
  return {
    seed: wholeNumber('--seed', options.seed, 1, 0, 2 ** 32 - 1),
    days: wholeNumber('--days', options.days, data.days, 1, 366),
    recipients: wholeNumber('--recipients', options.recipients, data.recipients, 1, 10_000),
    scale: numberAbove0('--scale', options.scale),
  }
}

function wholeNumber(option: string, text: string | undefined, fallback: number, min: number, max: number) {
  if (text === undefined) return fallback
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new UsageError(
      `Cannot read ${option} ${JSON.stringify(text)}: expected a whole number from ${min} to ${max}`,
    )
  return value
}

const MAX_SCALE = 100

function numberAbove0(option: string, text: string | undefined): number {
  if (text === undefined) return 1
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(value > 0 && value <= MAX_SCALE))
    throw new UsageError(
      `Cannot read ${option} ${JSON.stringify(text)}: expected a number above 0, up to ${MAX_SCALE}`,
    )
  return value
}

function greymxIn(world: World, { name, config, lists }: VariantConfig): Contestant {
  const judge = createGreymxJudge(name, config, lists, (settings, now) =>
    createIdentify(settings, world.zone.resolver(now), now),
  )
  return { judge, stateSize: () => judge.stateSize() }
}

/** Replays logs for all variants, and prints how their verdicts compare with those that were logged. */
async function replayLogs(configs: readonly VariantConfig[], options: SimulateOptions): Promise<ExitStatus> {
  const identities = new LoggedIdentities()
  const judges = configs.map(({ name, config, lists }) =>
    createGreymxJudge(name, config, lists, (settings) => identities.createIdentify(settings)),
  )
  const progress = new Progress(process.stderr)
  const nat64Prefixes = configs[0]?.config.milter.nat64Prefixes ?? []
  try {
    const figures = await replay(options.replay, judges, {
      nat64Prefixes,
      onAttempt: (logged) => identities.note(logged),
      onProgress: (done, total) => progress.show(total === 0 ? 1 : done / total, 'logs'),
    })
    progress.end()
    process.stdout.write(options.json ? `${JSON.stringify(figures)}\n` : formatReplay(figures))
    return EXIT.ok
  } catch (error) {
    progress.end()
    throw new UsageError(messageOf(error))
  }
}

/** Whether SPF passes in a world; its records do not change. */
function spfIn({ zone }: World): (attempt: Attempt) => Promise<boolean> {
  const now = () => 0
  const standings = new SpfStandings(zone.resolver(now), now)
  return async ({ client: { address, helo }, sender }) => {
    const { standing } = address
      ? await standings.of(address, sender, helo, () => true)
      : { standing: 'none' }
    return standing === 'pass' || standing === 'open'
  }
}

async function runAll(world: World, contestants: readonly MakeContestant[]): Promise<Variant[]> {
  const progress = new Progress(process.stderr)
  const variants: Variant[] = []
  for (const [index, makeContestant] of contestants.entries()) {
    const { judge, stateSize } = makeContestant()
    let largest: StateSize | undefined
    const result = await runWorld(world, judge, {
      onDay() {
        const size = stateSize?.()
        if (size && size.bytes > (largest?.bytes ?? 0)) largest = size
      },
      onProgress: (done) => progress.show((index + done) / contestants.length, judge.name),
    })
    variants.push({ name: judge.name, figures: figuresOf(world, result, largest) })
  }
  progress.end()
  return variants
}

function titleOf({ size, classes, mails }: World): string {
  const { recipients, days, seed } = size
  const spams = mails.filter(({ classIndex }) => classes[classIndex]?.kind === 'spam').length
  const wanted = mails.filter(({ classIndex }) => classes[classIndex]?.kind === 'wanted')
  const organisations = new Set(wanted.map(({ organisation }) => organisation)).size
  return `${recipients} recipients, ${days} days, seed ${seed}: ${wanted.length} wanted messages of ${organisations} organisations, ${spams} spams`
}

function toText(title: string, variants: readonly Variant[], byClass: boolean): string {
  const classes = byClass ? variants.map((variant) => `\n${formatClasses(variant)}`).join('') : ''
  return `${title}\n\n${formatTable(variants, process.stdout.columns ?? DEFAULT_WIDTH)}${classes}`
}

/** JSON in which a delay without end is null. */
function toJson({ size }: World, variants: readonly Variant[]): string {
  return `${JSON.stringify({ ...size, variants })}\n`
}

/** Throws where the picture could not be written, so that this is known before the simulation and not after it. */
function expectWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    throw new UsageError(`Cannot write --plot ${file}: ${messageOf(error)}`)
  }
}
