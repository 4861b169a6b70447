// greymx help: prints the usage of greymx, or the help of one command.

import { unknownCommand } from '../args.ts'
import { defineCommand } from '../command.ts'
import { EXIT } from '../exit.ts'
import { optional } from '../input.ts'
import { print } from '../output.ts'
import { helpOf, usageOf } from '../usage.ts'

export const command = defineCommand({
  about:
    'Prints what greymx --help and greymx COMMAND --help print. A command exits with 0 if all is well, 1 for warnings, ' +
    '64 for a mistake in its line, 65 for broken input, 69 if something cannot be reached, 75 for a deferral, and 78 for ' +
    'faulty settings.',
  examples: ['greymx help', 'greymx help check'],
  options: {},
  args: { name: optional('COMMAND', 'the command to explain', { completion: 'commands' }) },
  async run({ name }, rows) {
    const row = rows.find((other) => other.name === name)
    if (name !== undefined && !row) return unknownCommand(name, rows)
    print(row ? helpOf(row, (await row.load()).command) : usageOf(rows))
    return EXIT.ok
  },
})
