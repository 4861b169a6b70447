// greymx recipients, as the command line has it. What it does is in ../recipients.ts.

import { defineCommand } from '../command.ts'
import { CONFIG, JSON_OUTPUT, optional, zeroOrMore } from '../input.ts'

export const command = defineCommand({
  about:
    'Lists and changes the recipients in the store, which count on every MX with the setting recipients: store. Mail to ' +
    'those of only, if there are any, is greylisted, and mail to those of except is not. The list is a file for --import.',
  examples: [
    'greymx recipients --only example.com --except vip@example.com',
    'greymx recipients > recipients.txt',
    'greymx recipients --import recipients.txt',
  ],
  options: {
    only: zeroOrMore('RULE', 'an address or domain whose mail alone is greylisted'),
    except: zeroOrMore('RULE', 'an address or domain whose mail is not greylisted'),
    remove: zeroOrMore('RULE', 'an address or domain that leaves both lists'),
    import: optional('FILE', 'lines of only RULE and except RULE, which replace all', {
      completion: 'files',
    }),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {},
  run: async (values) => (await import('../recipients.ts')).recipients(values),
})
