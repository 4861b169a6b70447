// greymx rules, as the command line has it. What it does is in ../rules.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT } from '../input.ts'

export const command = defineCommand({
  about: 'Lists the rules of `greymx allow` and `greymx off`, with those that have ended within a week.',
  examples: ['greymx rules', 'greymx rules --json'],
  options: { config: CONFIG, json: JSON_OUTPUT },
  args: {},
  run: async (values) => (await import('../rules.ts')).listRules(values),
})
