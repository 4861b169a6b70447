// greymx check: reads the configuration and says what is wrong with it, or with --print, what it comes to.

import { printSettings } from '../config/print.ts'
import type { Setting } from '../config/reader.ts'
import type { Config } from '../config/schema.ts'
import { readLists } from '../exempt/lists.ts'
import { formatStoreSpec } from '../store/open.ts'
import { loadSettingsOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'

export function check(configFile: string | undefined, print: boolean): ExitStatus {
  const loaded = loadSettingsOrComplain(configFile)
  if (!loaded) return EXIT.config
  const { config, settings } = loaded
  const { problems, warnings } = readLists(config.listFiles)
  process.stderr.write([...problems, ...warnings].map((remark) => `${remark}\n`).join(''))
  if (print) {
    process.stdout.write(printSettings(settings.map((setting) => withoutCredentials(setting, config))))
    return EXIT.ok
  }
  const exceptions = problems.length > 0 ? ', but for the entries of lists that are left out' : ''
  process.stdout.write(`configuration is fine${exceptions}\n`)
  return EXIT.ok
}

/** The one setting that may hold a password. */
function withoutCredentials(setting: Setting, { store }: Config): Setting {
  return setting.name === 'store' ? { ...setting, value: formatStoreSpec(store) } : setting
}
