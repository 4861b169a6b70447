// greymx check: reads the configuration and prints its faults. It also prints warnings: on settings that will not work
// well, on mismatches with the MTAs' configurations, and those of the running daemon. With --print it prints all
// settings in effect. What deserves a warning is left to the folder check/.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkListeners, withListeners } from '../check/daemon.ts'
import { checkPostfix } from '../check/postfix.ts'
import { checkSendmail } from '../check/sendmail.ts'
import { checkSettings } from '../check/settings.ts'
import { printSettings } from '../config/print.ts'
import type { Setting } from '../config/reader.ts'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../errors.ts'
import { readLists } from '../exempt/lists.ts'
import { formatStoreSpec } from '../store/open.ts'
import type { CheckArgs } from './args.ts'
import { loadFileOrComplain } from './config.ts'
import { askDaemon } from './daemon.ts'
import { EXIT, type ExitStatus } from './exit.ts'

/** Returns the exit status. Warnings leave it at 0, since what they are about may be intended. */
export async function check({
  configFile,
  print,
  ...mtas
}: CheckArgs & { configFile?: string }): Promise<ExitStatus> {
  const loaded = loadFileOrComplain(configFile)
  if (!loaded) return EXIT.config
  const { fileName, config, settings } = loaded
  const { problems, warnings } = readLists(config.listFiles)
  const daemon = await askDaemon(config.admin)
  try {
    const remarks = [
      ...inFile(fileName, checkSettings(config)),
      ...(daemon ? inFile(fileName, checkListeners(config, daemon.listeners)) : []),
      ...(daemon ? inFile(daemon.url, daemon.warnings) : []),
      ...checkMtas(mtas, withListeners(config, daemon?.listeners ?? [])),
    ]
    process.stderr.write([...problems, ...warnings, ...remarks].map((remark) => `${remark}\n`).join(''))
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`)
    return EXIT.usage
  }
  if (print) {
    process.stdout.write(printSettings(settings.map((setting) => withoutCredentials(setting, config))))
    return EXIT.ok
  }
  const exceptions = problems.length > 0 ? ', except that list entries with faults are ignored' : ''
  process.stdout.write(`configuration is fine${exceptions}\n`)
  return EXIT.ok
}

/** Hides the password in `store`, the only setting of those printed that may hold one. */
function withoutCredentials(setting: Setting, { store }: Config): Setting {
  return setting.name === 'store' ? { ...setting, value: formatStoreSpec(store) } : setting
}

/** Returns warnings, each with its file; throws when a file cannot be read. */
function checkMtas({ postfix, sendmail }: Omit<CheckArgs, 'print'>, config: Config): string[] {
  const remarks: string[] = []
  if (postfix !== undefined) {
    const [main, master] = [join(postfix, 'main.cf'), join(postfix, 'master.cf')]
    const files = { mainCf: read(main), ...(existsSync(master) ? { masterCf: read(master) } : {}) }
    remarks.push(...inFile(main, checkPostfix(files, config)))
  }
  if (sendmail !== undefined) remarks.push(...inFile(sendmail, checkSendmail(read(sendmail), config)))
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
