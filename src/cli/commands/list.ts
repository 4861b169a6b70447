// greymx list, as the command line has it. What it does is in ../entries.ts.

import { misuse } from '../args.ts'
import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Lists what is kept of triplets, as it is found. First attempts are digests, and have addresses here where the ' +
    'last week tells them.',
  examples: [
    'greymx list --state waiting --recipient example.com',
    'greymx list --client 198.51.100.0/24 --sort age --limit 20',
    'greymx list --follow',
  ],
  options: {
    state: optional('STATE', 'only what is in it', { choices: ['waiting', 'passed'] }),
    client: optional('CLIENT', 'an address, a network, or a domain'),
    sender: optional('RULE', 'an address or a domain'),
    recipient: optional('RULE', 'an address or a domain'),
    older: optional('TIME', 'only what is older, like 2h'),
    sort: optional('FIELD', 'by what to sort', {
      choices: ['age', 'client', 'sender', 'recipient'],
    }),
    limit: optional('N', 'most entries; 10000 where they are sorted'),
    follow: flag('print what is deferred and returns from now on'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => {
    const { state, client, sender, recipient, older, sort, follow } = values
    const limit = values.limit === undefined ? undefined : Number(values.limit)
    if (limit !== undefined && !(Number.isInteger(limit) && limit > 0))
      return misuse(
        `Cannot read --limit ${JSON.stringify(values.limit)}: expected a whole number from 1 on`,
        'list',
      )
    const params = { state, client, sender, recipient, older, sort, limit, follow }
    return (await import('../entries.ts')).list(values, params)
  },
})
