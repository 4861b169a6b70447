// greymx stats, as the command line has it. What it does is in ../stats.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Asks the running daemon for the figures of all MX hosts that share its store. Hours are kept for 14 days, and ' +
    'days, in UTC, for 400. A first attempt counts as never returned once its retry window is over. Exit status: 69 ' +
    'when no daemon answers, or its store does not.',
  examples: ['greymx stats', 'greymx stats --days 30 --json'],
  options: {
    hours: optional('N', 'the last hours, up to 336 (default 24)'),
    days: optional('N', 'the last days, up to 400, in place of hours'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => (await import('../stats.ts')).stats(values),
})
