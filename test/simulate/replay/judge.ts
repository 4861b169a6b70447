// A judge for the tests of replays: the real greylister with a memory store and a clock that the replay moves.

import assert from 'node:assert/strict'
import { parseConfig } from '../../../src/config/load.ts'
import { compileExempt } from '../../../src/exempt/exempt.ts'
import { createGreylister } from '../../../src/greylist/greylister.ts'
import { createInvestigate } from '../../../src/greylist/investigate.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import type { LoggedIdentities } from '../../../src/simulate/replay/identify.ts'
import { MemoryStore } from '../../../src/store/memory.ts'

/** The real greylister by the settings of a configuration file, without DNS. */
export function greylisterJudge(name: string, settings: string, identities: LoggedIdentities): Judge {
  const loaded = parseConfig('milter.yaml', settings)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  const { config } = loaded
  const clock = { now: 0 }
  const greylister = createGreylister({
    settings: config.greylist,
    exempt: compileExempt(config.exempt, { clients: [], senders: [], recipients: [] }),
    investigate: createInvestigate({
      settings: config.investigate,
      identify: identities.createIdentify(config.identity),
    }),
    stores: { store: new MemoryStore(() => clock.now) },
  })
  return {
    name,
    judgesAtData: ({ text }) => config.milter.nullSenderAt === 'data' && text === '',
    async judge(attempt, at) {
      clock.now = at
      return (await greylister.judge(attempt)).verdict
    },
  }
}
