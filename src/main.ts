#!/usr/bin/env node
// The executable: runs the command that the command line names, and exits with its status. What a command does is left
// to cli/.

import { readCommandLine } from './cli/args.ts'
import type { Misuse } from './cli/command.ts'
import { COMMANDS } from './cli/commands.ts'
import { EXIT, type ExitStatus } from './cli/exit.ts'
import { complain, print } from './cli/output.ts'

process.exitCode = await run(process.argv.slice(2))

async function run(argv: readonly string[]): Promise<ExitStatus> {
  const request = await readCommandLine(argv, COMMANDS)
  // Each request imports its own files: for most, loading code takes longer than running it.
  switch (request.kind) {
    case 'run': {
      const ended = await request.command.run(request.given, COMMANDS)
      return typeof ended === 'number' ? ended : refuse(ended)
    }
    case 'help': {
      const { helpOf, usageOf } = await import('./cli/usage.ts')
      print(request.of ? helpOf(request.of.row, request.of.command) : usageOf(COMMANDS))
      return EXIT.ok
    }
    case 'version':
      print(`${(await import('./cli/version.ts')).versionAndCommit()}\n`)
      return EXIT.ok
    case 'misuse':
      return refuse(request)
  }
}

function refuse({ problem, command }: Misuse): ExitStatus {
  const help = command === undefined ? 'greymx --help' : `greymx ${command} --help`
  complain(`greymx: ${problem}. Try '${help}'\n`)
  return EXIT.usage
}
