// greymx report, as the command line has it. What it does is in ../report.ts.

import { misuse } from '../args.ts'
import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional } from '../input.ts'

export const command = defineCommand({
  about:
    'Reports which first messages were deferred, which came back, and which never did. With --lost, it lists those of ' +
    'the last that look wanted, each with the command that lets its sender pass.',
  examples: ['greymx report', 'greymx report --lost --days 2', 'greymx report --lost --mail > report.eml'],
  options: {
    days: optional('N', 'the last days that are reported, 1 to 8; 7 by default'),
    lost: flag('list what never came back and looks wanted'),
    mail: flag('print a message to postmaster, for cron'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => {
    const days = values.days === undefined ? undefined : Number(values.days)
    if (days !== undefined && !(Number.isInteger(days) && days >= 1 && days <= 8))
      return misuse(`Cannot read --days ${JSON.stringify(values.days)}: expected 1 to 8`, 'report')
    const { report } = await import('../report.ts')
    return report({ ...values, isMail: values.mail }, { days, lost: values.lost })
  },
})
