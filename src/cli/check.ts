// greymx check: reads the configuration and says what is wrong with it.

import { readLists } from '../exempt/lists.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'

export function check(configFile: string | undefined): ExitStatus {
  const config = loadOrComplain(configFile)
  if (!config) return EXIT.config
  const { problems, warnings } = readLists(config.listFiles)
  process.stderr.write([...problems, ...warnings].map((remark) => `${remark}\n`).join(''))
  const exceptions = problems.length > 0 ? ', but for the entries of lists that are left out' : ''
  process.stdout.write(`configuration is fine${exceptions}\n`)
  return EXIT.ok
}
