// greymx off, as the command line has it. What it does is in ../rules.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Switches greylisting off on every MX within a second: for all mail, or for that to a recipient, from a sender, or ' +
    'both. Mail is judged as ever and passes; the log tells what it would have got.',
  examples: [
    'greymx off',
    'greymx off --to example.com --for 2h',
    "greymx off --from example.org --why 'migration'",
  ],
  options: {
    to: optional('RULE', 'a recipient, or a domain and all below it'),
    from: optional('RULE', 'a sender, or a domain and all below it'),
    for: optional('TIME', 'how long; until it is switched on again by default'),
    why: optional('TEXT', 'why, for those who read the rules later'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => {
    const { to, from, for: time, why } = values
    return (await import('../rules.ts')).makeRule(values, 'off', { to, from, for: time, why })
  },
})
