// greymx decide, as the command line has it. What it does is in ../decide.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional, required } from '../input.ts'

export const command = defineCommand({
  about:
    "Asks the running daemon about one attempt, for an ACL of Exim's that runs a command, and prints the SMTP reply or " +
    'pass. The daemon remembers the attempt like any other. Exit status: 75 when the mail has to wait, 69 when no ' +
    'daemon answers. Exim lets mail pass on every other status than 75.',
  examples: [
    'greymx decide 198.51.100.7 a@example.org b@example.com mail.example.org',
    "greymx decide --data 2001:db8::7 '<>' 'b@example.com, c@example.com'",
  ],
  options: {
    name: optional('HOST', "the client's confirmed host name"),
    data: flag('asks at DATA, where bounces are judged; TO has all recipients, with commas'),
    socket: optional('SPEC', "the daemon's socket, instead of the first in listen_exim"),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {
    ip: required('IP', 'address of the SMTP client'),
    from: required('FROM', 'envelope sender; <> for bounces'),
    to: required('TO', 'envelope recipient'),
    helo: optional('HELO', "the client's greeting"),
  },
  run: async (values) => (await import('../decide.ts')).decide(values),
})
