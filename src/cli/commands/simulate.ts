// greymx simulate, as the command line has it. What it does is in ../simulate.ts.

import { SHIPPED_WORLDS } from '../../simulate/world/shipped.ts'
import { anyOf } from '../args.ts'
import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional, zeroOrMore } from '../input.ts'

export const command = defineCommand({
  about:
    'Prints how long the settings delay wanted mail and how much spam they stop, in a simulated world and in virtual ' +
    'time. It asks no daemon.',
  examples: [
    'greymx simulate --peers --set greylist.delay=1m,greylist.lifetime=60d',
    'greymx simulate --set greylist.delay=10m --replay /var/log/mail.log*',
  ],
  options: {
    set: zeroOrMore('SETTING=VALUE', 'add a variant with other settings'),
    peers: flag('add Postgrey, sqlgrey, rspamd and others'),
    replay: zeroOrMore('LOG', 'decide mail of logs, also gzip, not of a world', { completion: 'files' }),
    world: optional('NAME|FILE', anyOf([...SHIPPED_WORLDS.slice(1), 'your own']), { completion: 'files' }),
    seed: optional('N', 'other chance (default 1)'),
    days: optional('N', 'length in days'),
    recipients: optional('N', 'number of mailboxes'),
    scale: optional('FACTOR', 'organisations and spam, times this (default 1)'),
    'by-class': flag('add figures for each class of sender'),
    plot: optional('FILE.svg', 'draw delay against spam', { completion: 'files' }),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: { logs: zeroOrMore('LOG', 'further logs for --replay', { completion: 'files' }) },
  run: async (values) => (await import('../simulate.ts')).simulate(values),
})
