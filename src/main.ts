#!/usr/bin/env node
// The executable: command line in, exit status out.

import { parseCommand, USAGE } from './cli/args.ts'
import { check } from './cli/check.ts'
import { EXIT, type ExitStatus } from './cli/exit.ts'
import { probe } from './cli/probe.ts'
import { serve, version } from './cli/serve.ts'

process.exitCode = await run(process.argv.slice(2))

async function run(argv: readonly string[]): Promise<ExitStatus> {
  const command = parseCommand(argv)
  switch (command.kind) {
    case 'serve':
      return serve(command.configFile)
    case 'check':
      return check(command)
    case 'probe':
      return probe(command)
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
