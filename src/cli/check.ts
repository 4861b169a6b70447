// greymx check: reads the configuration and prints its faults. It also prints warnings: on settings that will not work
// well, on mismatches with the MTAs' configurations, and those of the running daemon. With --print it prints all
// settings in effect. What deserves a warning is left to the folder check/, whose files are loaded when they are needed.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { checkListeners, withListeners } from '../check/daemon.ts'
import { redisLines, redisWarnings } from '../check/redis.ts'
import { checkSettings } from '../check/settings.ts'
import { loadConfig } from '../config/load.ts'
import type { Setting } from '../config/reader.ts'
import type { Config } from '../config/schema.ts'
import { fileProblemOf, messageOf } from '../errors.ts'
import { readLists } from '../exempt/lists.ts'
import { formatStoreSpec } from '../store/open.ts'
import type { RedisReport } from '../store/redis/report.ts'
import { misuse } from './args.ts'
import type { Misuse } from './command.ts'
import { askDaemon } from './daemon.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Files of the MTAs that are compared with the configuration. */
interface MtaFiles {
  /** A main.cf, or its folder. */
  readonly postfix: string | undefined
  /** A sendmail.cf or .mc file. */
  readonly sendmail: string | undefined
  /** What Exim prints of its configuration, or the file. */
  readonly exim: string | undefined
}

export interface CheckValues extends MtaFiles {
  readonly config: string | undefined
  /** Whether the settings in effect are printed. */
  readonly print: boolean
  readonly json: boolean
  /** Whether the store is asked how it is, if it is in Redis. */
  readonly redis: boolean
  /** Whether warnings make the exit status 1. */
  readonly strict: boolean
}

/** What was found, and with --print the settings in effect. */
interface Findings {
  /** Because of these, `serve` would not start. */
  readonly faults: readonly string[]
  readonly warnings: readonly string[]
  readonly settings?: readonly Setting[]
  readonly redis?: RedisReport
}

/**
 * Returns the exit status, or says which file of an MTA cannot be read. Warnings leave the status at 0, since what they
 * are about may be intended, except with --strict.
 */
export async function check(values: CheckValues): Promise<ExitStatus | Misuse> {
  const loaded = loadConfig(values.config)
  if (loaded.kind === 'faults') {
    if (values.json) printJson({ faults: loaded.faults, warnings: [] })
    else complain(linesOf(loaded.faults))
    return EXIT.config
  }
  const { fileName, config } = loaded
  const settings = loaded.settings.map((setting) => withoutCredentials(setting, config))
  const lists = readLists(config.listFiles)
  const daemon = await askDaemon(config.admin)
  const warnings = [
    ...lists.problems,
    ...lists.warnings,
    ...inFile(fileName, checkSettings(config)),
    ...(daemon ? inFile(fileName, checkListeners(config, daemon)) : []),
    ...(daemon ? inFile(daemon.url, daemon.warnings) : []),
  ]
  let redis: RedisReport | undefined
  if (values.redis) {
    const { store } = config
    if (store.kind !== 'redis')
      return misuse(`--redis: the store is ${formatStoreSpec(store)}, expected one in Redis`, 'check')
    const { reportOnRedis } = await import('../store/redis/report.ts')
    const report = await reportOnRedis(store.redis).catch((error: unknown) => error)
    if (report instanceof Error) {
      complain(`Cannot ask ${formatStoreSpec(store)}: ${report.message}\n`)
      return EXIT.unavailable
    }
    redis = report as RedisReport
    warnings.push(...inFile(formatStoreSpec(store), redisWarnings(redis)))
  }
  try {
    warnings.push(...(await checkMtas(values, daemon ? withListeners(config, daemon) : config)))
  } catch (error) {
    return misuse(messageOf(error), 'check')
  }
  const status = values.strict && warnings.length > 0 ? EXIT.warnings : EXIT.ok
  if (values.json) {
    printJson({ faults: [], warnings, ...(values.print ? { settings } : {}), ...(redis ? { redis } : {}) })
    return status
  }
  complain(linesOf(warnings), 'warn')
  if (redis) print(linesOf(redisLines(formatStoreSpec(config.store), redis)))
  if (values.print) {
    const { printSettings } = await import('../config/print.ts')
    print(printSettings(settings))
    return status
  }
  const exceptions = lists.problems.length > 0 ? ', except that list entries with faults are ignored' : ''
  print(`configuration is fine${exceptions}${withCount(warnings.length)}\n`)
  return status
}

function withCount(warnings: number): string {
  if (warnings === 0) return ''
  return `, with ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`
}

function printJson(findings: Findings): void {
  print(`${JSON.stringify(findings)}\n`)
}

function linesOf(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('')
}

/** Hides the password in `store`, the only setting of those printed that may hold one. */
function withoutCredentials(setting: Setting, { store }: Config): Setting {
  return setting.name === 'store' ? { ...setting, value: formatStoreSpec(store) } : setting
}

/** Resolves to warnings, each with its file; rejects when a file cannot be read. */
async function checkMtas({ postfix, sendmail, exim }: MtaFiles, config: Config): Promise<string[]> {
  const remarks: string[] = []
  if (postfix !== undefined) {
    const { checkPostfix } = await import('../check/postfix.ts')
    const folder = statSync(postfix, { throwIfNoEntry: false })?.isFile() ? dirname(postfix) : postfix
    const [main, master] = [
      folder === postfix ? join(postfix, 'main.cf') : postfix,
      join(folder, 'master.cf'),
    ]
    const files = {
      mainCf: read(main),
      ...(existsSync(master) ? { masterCf: read(master) } : {}),
      readTable: (file: string) => (existsSync(file) ? read(file) : undefined),
    }
    remarks.push(...inFile(main, checkPostfix(files, config)))
  }
  if (sendmail !== undefined) {
    const { checkSendmail } = await import('../check/sendmail.ts')
    remarks.push(...inFile(sendmail, checkSendmail(read(sendmail), config)))
  }
  if (exim !== undefined) {
    const { checkExim } = await import('../check/exim.ts')
    const readIncluded = (file: string) => (existsSync(file) ? read(file) : undefined)
    remarks.push(...inFile(exim, checkExim({ text: read(exim), readIncluded }, config)))
  }
  return remarks
}

function inFile(source: string, warnings: readonly string[]): string[] {
  return warnings.map((warning) => `${source}: warning: ${warning}`)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`${file}: ${fileProblemOf(error)}`, { cause: error })
  }
}
