// greymx show, as the command line has it. What it does is in ../explain.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, required } from '../input.ts'

export const command = defineCommand({
  about:
    'Shows which first messages were deferred under a reference in the last week, and what became of them.',
  examples: ['greymx show fbe2ccf7', 'greymx show fbe2ccf7 --json'],
  options: { config: CONFIG, json: JSON_OUTPUT },
  args: { ref: required('REF', 'the reference in the reply to the sender') },
  run: async (values) => (await import('../explain.ts')).show(values, values.ref),
})
