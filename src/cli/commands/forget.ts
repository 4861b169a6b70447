// greymx forget, as the command line has it. What it does is in ../entries.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Forgets what is kept of a reference, or of a client, a sender or a recipient, or everything about one address, as ' +
    'for a request for privacy. It says how much, and what nobody can tell.',
  examples: [
    'greymx forget fbe2ccf7',
    'greymx forget --address a@example.org',
    'greymx forget --client 198.51.100.0/24',
  ],
  options: {
    client: optional('CLIENT', 'an address, a network, a domain, or a name like spf:example.org'),
    sender: optional('RULE', 'an address or a domain'),
    recipient: optional('RULE', 'an address or a domain'),
    address: optional('ADDR', 'everything that names this address'),
    why: optional('TEXT', 'why, for the list of changes'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: { ref: optional('REF', 'the reference in the reply to the sender') },
  run: async (values) => {
    const { ref, client, sender, recipient, address, why } = values
    return (await import('../entries.ts')).forget(values, { ref, client, sender, recipient, address, why })
  },
})
