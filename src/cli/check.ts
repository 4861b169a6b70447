// greymx check: reads the configuration and says what is wrong with it.

import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'

export function check(configFile: string | undefined): ExitStatus {
  if (!loadOrComplain(configFile)) return EXIT.config
  process.stdout.write('configuration is fine\n')
  return EXIT.ok
}
