// greymx serve, as the command line has it. What it does is in ../serve.ts.

import { defineCommand } from '../command.ts'
import { CONFIG } from '../input.ts'

export const command = defineCommand({
  about:
    'Answers MTAs as a milter until SIGTERM or SIGINT. SIGHUP reloads the configuration; when that has a fault, ' +
    'nothing changes. Variables like GREYMX_GREYLIST_DELAY=5m take precedence over the file.',
  examples: ['greymx serve', 'greymx serve --config /etc/greymx/milter.yaml'],
  options: { config: CONFIG },
  args: {},
  run: async ({ config }) => (await import('../serve.ts')).serve(config),
})
