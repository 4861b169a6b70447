// greymx import, as the command line has it. What it does is in ../import.ts.

import { OWN_NAME, PEERS } from '../../import/peers/peers.ts'
import { misuse } from '../args.ts'
import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, oneOf, optional, required, zeroOrMore } from '../input.ts'

export const command = defineCommand({
  about:
    'Merges what another greylister has left behind, or what greymx export has written, into the store, beside running ' +
    'daemons. Nothing in the store gets worse by it, and it can be run again.',
  examples: [
    'greymx import greymx export.jsonl --dry-run --sample 5',
    'greymx import greymx - --max-errors 10',
    'greymx import postgrey /var/lib/postgrey',
    'greymx import postgrey /etc/default/postgrey --settings',
  ],
  options: {
    'dry-run': flag('change nothing, and print what would be taken over'),
    sample: optional('N', 'print the first N things of each sort that are taken over'),
    'max-errors': optional('N', 'exit with 65 if more records are broken; 0 by default'),
    settings: flag("print the milter.yaml nearest to the peer's, in SOURCE"),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: {
    peer: oneOf('PEER', 'whose memory it is', [OWN_NAME, ...PEERS.map(({ name }) => name)]),
    source: required('SOURCE', 'a file, or what else the peer has; - is standard input', {
      completion: 'files',
    }),
    more: zeroOrMore('DB', "with --settings: sqlgrey's database of opt-ins", {
      completion: 'files',
    }),
  },
  run: async ({ settings, more, sample, 'max-errors': maxErrors, 'dry-run': isDryRun, ...values }) => {
    const { peer, source } = values
    if (settings) return (await import('../import-settings.ts')).printSettingsFrom(peer, [source, ...more])
    if (more.length > 0)
      return misuse(`Cannot import ${JSON.stringify(more[0])} as well: expected one SOURCE`, 'import')
    const numbers = { sample: 0, maxErrors: 0 }
    for (const [name, text, option] of [
      ['sample', sample, '--sample'],
      ['maxErrors', maxErrors, '--max-errors'],
    ] as const) {
      if (text === undefined) continue
      if (!/^\d{1,9}$/.test(text))
        return misuse(
          `Cannot read ${option} ${JSON.stringify(text)}: expected a whole number from 0 on`,
          'import',
        )
      numbers[name] = Number(text)
    }
    return (await import('../import.ts')).importFrom({ ...values, ...numbers, isDryRun })
  },
})
