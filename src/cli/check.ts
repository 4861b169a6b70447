// greymx check: reads the configuration and prints its faults. It also prints warnings: on settings that will not work
// well, on mismatches with the MTAs' configurations, and those of the running daemon. With --print it prints all
// settings in effect. What deserves a warning is left to the folder check/, whose files are loaded when they are needed.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkListeners, withListeners } from '../check/daemon.ts'
import { checkSettings } from '../check/settings.ts'
import type { Setting } from '../config/reader.ts'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../errors.ts'
import { readLists } from '../exempt/lists.ts'
import { formatStoreSpec } from '../store/open.ts'
import { misuse } from './args.ts'
import type { Misuse } from './command.ts'
import { loadFileOrComplain } from './config.ts'
import { askDaemon } from './daemon.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Files of the MTAs that are compared with the configuration. */
interface MtaFiles {
  /** Folder of a main.cf. */
  readonly postfix: string | undefined
  /** A sendmail.cf or .mc file. */
  readonly sendmail: string | undefined
}

export interface CheckValues extends MtaFiles {
  readonly config: string | undefined
  /** Whether the settings in effect are printed. */
  readonly print: boolean
}

/**
 * Returns the exit status, or says which file of an MTA cannot be read. Warnings leave the status at 0, since what they
 * are about may be intended.
 */
export async function check({
  config: file,
  print: isPrinting,
  ...mtas
}: CheckValues): Promise<ExitStatus | Misuse> {
  const loaded = loadFileOrComplain(file)
  if (!loaded) return EXIT.config
  const { fileName, config, settings } = loaded
  const { problems, warnings } = readLists(config.listFiles)
  const daemon = await askDaemon(config.admin)
  try {
    const remarks = [
      ...inFile(fileName, checkSettings(config)),
      ...(daemon ? inFile(fileName, checkListeners(config, daemon.listeners)) : []),
      ...(daemon ? inFile(daemon.url, daemon.warnings) : []),
      ...(await checkMtas(mtas, withListeners(config, daemon?.listeners ?? []))),
    ]
    complain([...problems, ...warnings, ...remarks].map((remark) => `${remark}\n`).join(''))
  } catch (error) {
    return misuse(messageOf(error), 'check')
  }
  if (isPrinting) {
    const { printSettings } = await import('../config/print.ts')
    print(printSettings(settings.map((setting) => withoutCredentials(setting, config))))
    return EXIT.ok
  }
  const exceptions = problems.length > 0 ? ', except that list entries with faults are ignored' : ''
  print(`configuration is fine${exceptions}\n`)
  return EXIT.ok
}

/** Hides the password in `store`, the only setting of those printed that may hold one. */
function withoutCredentials(setting: Setting, { store }: Config): Setting {
  return setting.name === 'store' ? { ...setting, value: formatStoreSpec(store) } : setting
}

/** Resolves to warnings, each with its file; rejects when a file cannot be read. */
async function checkMtas({ postfix, sendmail }: MtaFiles, config: Config): Promise<string[]> {
  const remarks: string[] = []
  if (postfix !== undefined) {
    const { checkPostfix } = await import('../check/postfix.ts')
    const [main, master] = [join(postfix, 'main.cf'), join(postfix, 'master.cf')]
    const files = { mainCf: read(main), ...(existsSync(master) ? { masterCf: read(master) } : {}) }
    remarks.push(...inFile(main, checkPostfix(files, config)))
  }
  if (sendmail !== undefined) {
    const { checkSendmail } = await import('../check/sendmail.ts')
    remarks.push(...inFile(sendmail, checkSendmail(read(sendmail), config)))
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
    throw new Error(`Cannot read ${file}: ${messageOf(error)}`, { cause: error })
  }
}
