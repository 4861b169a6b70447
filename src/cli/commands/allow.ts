// greymx allow, as the command line has it. What it does is in ../rules.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Lets mail pass on every MX within a second, by a rule: that of a reference, or all to which each option applies. ' +
    'Anybody can write the name of another as sender, so --client makes a rule safer.',
  examples: [
    'greymx allow fbe2ccf7',
    'greymx allow --client mail.example.org --for 7d',
    "greymx allow --client 198.51.100.7 --sender example.org --why 'ticket 4711'",
  ],
  options: {
    client: optional('RULE', 'an address, a network, or a host name and all below it'),
    sender: optional('RULE', 'an address, or a domain and all below it'),
    recipient: optional('RULE', 'an address, or a domain and all below it'),
    for: optional('TIME', 'how long; 30d by default'),
    why: optional('TEXT', 'why, for those who read the rules later'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: { ref: optional('REF', 'the reference in the reply to the sender') },
  run: async (values) => {
    const { ref, client, sender, recipient, for: time, why } = values
    return (await import('../rules.ts')).makeRule(values, 'allow', {
      ref,
      client,
      sender,
      recipient,
      for: time,
      why,
    })
  },
})
