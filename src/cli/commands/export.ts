// greymx export, as the command line has it. What it does is in ../export.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Prints all that the store keeps of mail, and the rules and recipients of operators, as lines of JSON for greymx ' +
    'import greymx. Daemons go on deciding meanwhile. The lines have mail addresses.',
  examples: ['greymx export /var/backups/greymx.jsonl', 'greymx export --config other.yaml > other.jsonl'],
  options: { config: CONFIG },
  args: {
    file: optional('FILE', 'where it is written, in place of standard output', { completion: 'files' }),
  },
  run: async (values) => (await import('../export.ts')).exportTo(values),
})
