#!/usr/bin/env node
// The executable: runs the command that the command line names, and exits with its status. What a command does is left
// to cli/.

import { parseCommand, USAGE } from './cli/args.ts'
import { EXIT, type ExitStatus } from './cli/exit.ts'
import { version } from './cli/version.ts'

process.exitCode = await run(process.argv.slice(2))

async function run(argv: readonly string[]): Promise<ExitStatus> {
  const command = parseCommand(argv)
  // Each command imports its own file: for most commands, loading code takes longer than running it.
  switch (command.kind) {
    case 'serve':
      return (await import('./cli/serve.ts')).serve(command.configFile)
    case 'check':
      return (await import('./cli/check.ts')).check(command)
    case 'probe':
      return (await import('./cli/probe.ts')).probe(command)
    case 'simulate':
      return (await import('./cli/simulate.ts')).simulate(command)
    case 'help':
      process.stdout.write(USAGE)
      return EXIT.ok
    case 'version':
      process.stdout.write(`${version()}\n`)
      return EXIT.ok
    case 'usage':
      process.stderr.write(`greymx: ${command.problem}\n\n${USAGE}`)
      return EXIT.usage
  }
}
