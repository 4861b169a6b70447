// greymx probe, as the command line has it. What it does is in ../probe.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, oneOrMore, optional, required } from '../input.ts'

export const command = defineCommand({
  about:
    'Asks the running daemon as an MTA would, and prints the SMTP replies. The daemon remembers the attempt like any ' +
    'other. Exit status: 75 when a reply defers the mail, 69 when no daemon answers.',
  examples: [
    'greymx probe --client 198.51.100.7 --from a@example.org --to b@example.com',
    "greymx probe --client 2001:db8::7 --from '<>' --to b@example.com --json",
  ],
  options: {
    client: required('IP', 'address of the SMTP client'),
    name: optional('HOST', 'its confirmed host name'),
    helo: optional('NAME', 'its greeting'),
    from: required('ADDR', 'envelope sender; <> for bounces'),
    to: oneOrMore('ADDR', 'envelope recipient'),
    socket: optional('SPEC', "the daemon's socket, instead of the first in listen"),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => (await import('../probe.ts')).probe(values),
})
