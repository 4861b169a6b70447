// greymx on, as the command line has it. What it does is in ../rules.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Switches greylisting on again where `greymx off` with the same options has switched it off. With an ID, ends that ' +
    'rule, also one of `greymx allow`.',
  examples: ['greymx on', 'greymx on --to example.com', 'greymx on 4f2a9c'],
  options: {
    to: optional('RULE', 'as for off'),
    from: optional('RULE', 'as for off'),
    why: optional('TEXT', 'why, for the list of changes'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: { id: optional('ID', 'a rule, as `greymx rules` lists it') },
  run: async (values) => {
    const { id, to, from, why } = values
    return (await import('../rules.ts')).endRules(values, { id, to, from, why })
  },
})
