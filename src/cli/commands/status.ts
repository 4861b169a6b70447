// greymx status, as the command line has it. What it does is in ../status.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT } from '../input.ts'

export const command = defineCommand({
  about:
    'Asks the running daemon which daemons share its store, and how each is: version, store, DNS, clock, and the ' +
    'settings that differ between them. One that is silent is shown for 7 days. Exit status: 0 when all is well, 1 ' +
    'when something needs attention, 69 when no daemon answers.',
  examples: ['greymx status', 'greymx status --json --config /etc/greymx/milter.yaml'],
  options: { config: CONFIG, json: JSON_OUTPUT },
  args: {},
  run: async (values) => (await import('../status.ts')).status(values),
})
