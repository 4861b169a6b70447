// greymx expect, as the command line has it. What it does is in ../rules.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional, required } from '../input.ts'

export const command = defineCommand({
  about:
    'Lets first messages to a recipient pass for a while, as those with a code that a user has just asked for. They ' +
    'pass from senders that are proven or whose host has a telling name.',
  examples: [
    'greymx expect --to b@example.com --for 15m',
    'greymx expect --to b@example.com --from example.org --for 1h',
  ],
  options: {
    to: required('ADDR', 'the recipient'),
    from: optional('DOMAIN', "the sender's domain; any by default"),
    for: required('TIME', 'how long, like 15m'),
    why: optional('TEXT', 'why, for the list of changes'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => {
    const { to, from, for: time, why } = values
    return (await import('../rules.ts')).expectMail(values, { to, from, for: time, why })
  },
})
