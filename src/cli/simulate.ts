// greymx simulate: figures of the configured settings and of variants of them, in a simulated world and in virtual time.
// How a world lives and how figures are made is left to simulate/.

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import type { Attempt } from '../attempt.ts'
import { variableOf } from '../config/environment.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import type { Setting } from '../config/reader.ts'
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
import { didYouMean, nearest } from '../suggestion.ts'
import { misuse } from './args.ts'
import type { Misuse } from './command.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'
import { Progress } from './progress.ts'

/** What `greymx simulate` is given, as text where it is a number. */
export interface SimulateValues {
  readonly config: string | undefined
  /** The name of a shipped world, or a world's file; the default world without it. */
  readonly world: string | undefined
  /** Variants: settings that differ, as `NAME=VALUE` or `NAME=VALUE,NAME=VALUE`. */
  readonly set: readonly string[]
  /** Whether other greylisters stand beside the settings. */
  readonly peers: boolean
  /** Logs that take the place of a world. */
  readonly replay: readonly string[]
  /** Further logs, as a shell makes them of `--replay mail.log*`. */
  readonly logs: readonly string[]
  readonly seed: string | undefined
  readonly days: string | undefined
  readonly recipients: string | undefined
  readonly scale: string | undefined
  /** A file for the picture. */
  readonly plot: string | undefined
  readonly 'by-class': boolean
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

/**
 * Returns the exit status, or says which value cannot be used. Figures go to standard output, all else to standard
 * error.
 */
export async function simulate(values: SimulateValues): Promise<ExitStatus | Misuse> {
  try {
    const [strayLog] = values.replay.length > 0 ? [] : values.logs
    if (strayLog !== undefined)
      throw new UsageError(`unexpected argument ${JSON.stringify(strayLog)}: logs follow --replay`)
    const configs = loadVariants(values)
    if (configs && values.replay.length > 0) return await replayLogs(configs, values)
    const data = configs && loadWorld(values.world)
    if (!configs || !data) return EXIT.config
    const world = makeWorld(data, sizeOf(values, data))
    if (values.plot !== undefined) expectWritable(values.plot)
    for (const remark of remarksOn(configs)) complain(`${remark}\n`)
    const contestants: readonly MakeContestant[] = [
      ...configs.map((config) => () => greymxIn(world, config)),
      ...(values.peers ? peersWith(spfIn(world)).map((makePeer) => () => ({ judge: makePeer() })) : []),
    ]
    const variants = await runAll(world, contestants)
    const title = titleOf(world)
    if (values.plot !== undefined) writeFileSync(values.plot, plot(variants, title))
    print(values.json ? toJson(world, variants) : toText(title, variants, values['by-class']))
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof NoRoom)) throw error
    return misuse(error.message, 'simulate')
  }
}

/** The settings of one variant. */
interface VariantConfig {
  readonly name: string
  readonly config: Config
  readonly lists: Lists
}

/** The configuration and its variants, or `undefined` after faults were printed. */
function loadVariants({ config: file, set }: SimulateValues): VariantConfig[] | undefined {
  const base = loadConfig(file)
  if (base.kind === 'faults') return complainOf(base.faults)
  const variants: VariantConfig[] = [variantOf(base.fileName, base)]
  for (const text of set) {
    const settings = parseSet(text, base)
    const overrides = Object.fromEntries(settings.map(([name, value]) => [variableOf(name), value]))
    const loaded = loadConfig(file, { ...process.env, ...overrides })
    if (loaded.kind === 'faults') return complainOf(loaded.faults.map((fault) => `--set ${text}: ${fault}`))
    variants.push(variantOf(text.replace(/(^|,)greylist\./g, '$1'), loaded))
  }
  return variants
}

function variantOf(name: string, { config }: LoadedConfig): VariantConfig {
  return { name, config, lists: readLists(config.listFiles) }
}

function complainOf(faults: readonly string[]): undefined {
  complain(faults.map((fault) => `${fault}\n`).join(''))
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
        `Cannot read --set ${JSON.stringify(text)}: expected a setting of milter.yaml, found ${name}${meant(name, settings)}`,
      )
    return [name, value.trim()]
  })
}

function meant(name: string, settings: readonly Setting[]): string {
  return didYouMean(
    nearest(
      name,
      settings.map((setting) => setting.name),
    ),
  )
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
  return loaded.kind === 'world' ? loaded.data : complainOf(loaded.faults)
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

function sizeOf(values: SimulateValues, data: WorldData): Size {
  return {
    seed: wholeNumber('--seed', values.seed, 1, 0, 2 ** 32 - 1),
    days: wholeNumber('--days', values.days, data.days, 1, 366),
    recipients: wholeNumber('--recipients', values.recipients, data.recipients, 1, 10_000),
    scale: numberAbove0('--scale', values.scale),
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
async function replayLogs(configs: readonly VariantConfig[], values: SimulateValues): Promise<ExitStatus> {
  const identities = new LoggedIdentities()
  const judges = configs.map(({ name, config, lists }) =>
    createGreymxJudge(name, config, lists, (settings) => identities.createIdentify(settings)),
  )
  const progress = new Progress(process.stderr)
  const nat64Prefixes = configs[0]?.config.milter.nat64Prefixes ?? []
  try {
    const figures = await replay([...values.replay, ...values.logs], judges, {
      nat64Prefixes,
      onAttempt: (logged) => identities.note(logged),
      onProgress: (done, total) => progress.show(total === 0 ? 1 : done / total, 'logs'),
    })
    progress.end()
    print(values.json ? `${JSON.stringify(figures)}\n` : formatReplay(figures))
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
