// greymx check, as the command line has it. What it does is in ../check.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Reads the configuration as serve does and prints all faults, each with its line. Then come warnings: of settings ' +
    'that will not work well, and of what the running daemon reports. Exit status: 78 when there is a fault; warnings ' +
    'leave it at 0, or make it 1 with --strict.',
  examples: ['greymx check --postfix /etc/postfix', 'greymx check --print --config /etc/greymx/milter.yaml'],
  options: {
    print: flag('print every setting in effect, and where it is set'),
    strict: flag('exit with status 1 when there are warnings'),
    postfix: optional('DIR', 'compare with the main.cf in this directory, or with this main.cf', {
      completion: 'directories',
    }),
    sendmail: optional('FILE', 'compare with this sendmail.cf or .mc file', { completion: 'files' }),
    exim: optional('FILE', 'compare with what exim -bP config prints, or with its file', {
      completion: 'files',
    }),
    redis: flag('ask Redis for its version, policy and memory, and count the entries'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => (await import('../check.ts')).check(values),
})
