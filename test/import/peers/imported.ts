// A greylister of greymx that has nothing but what it has imported from a peer, by a clock that the test moves.

import { compileExempt } from '../../../src/exempt/exempt.ts'
import { readLists } from '../../../src/exempt/lists.ts'
import { createGreylister } from '../../../src/greylist/greylister.ts'
import { createInvestigate } from '../../../src/greylist/investigate.ts'
import { createIdentify } from '../../../src/identity/identity.ts'
import type { Found } from '../../../src/import/piece.ts'
import type { NotTaken, Remembered } from '../../../src/import/remembered.ts'
import { type TranslationSettings, translate } from '../../../src/import/translate.ts'
import { emptySummary, importAll } from '../../../src/import/write.ts'
import { storedBy } from '../../../src/operator/stored.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import { Zone } from '../../../src/simulate/world/zone.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { configOf } from '../../check/support.ts'

/** A greylister with these settings that has imported `records` at the instant `now`. */
export async function importedGreymx(
  settings: string,
  records: ReadonlyArray<Remembered | NotTaken>,
  now: number,
): Promise<Judge> {
  const { greylist, milter, exempt, listFiles, investigate, identity } = configOf(settings)
  const clock = { now }
  const store = new MemoryStore(() => clock.now)
  const translation: TranslationSettings = {
    times: greylist.times,
    prefixes: greylist.prefixes,
    nat64Prefixes: milter.nat64Prefixes,
    judgesRecipients: milter.judgeAt === 'rcpt',
    ...(greylist.autoWhitelist ? { listedFor: greylist.autoWhitelist.lifetime } : {}),
    stored: storedBy(greylist),
  }
  const watch = { onNotTaken() {}, onPiece() {}, onProgress() {} }
  await importAll(
    found(records, now, translation),
    store,
    emptySummary(),
    watch,
    new AbortController().signal,
  )
  const greylister = createGreylister({
    settings: greylist,
    exempt: compileExempt(exempt, readLists(listFiles)),
    investigate: createInvestigate({
      settings: investigate,
      identify: createIdentify(
        identity,
        new Zone().resolver(() => clock.now),
        () => clock.now,
      ),
    }),
    stores: { store },
    hasImports: () => true,
    now: () => clock.now,
    seeds: new Uint32Array([1, 2, 3, 4]),
  })
  return {
    name: 'greymx',
    judgesAtData: () => false,
    async judge(attempt, at) {
      clock.now = at
      const asked = milter.judgeAt === 'mail' ? { ...attempt, recipient: undefined } : attempt
      return (await greylister.judge(asked)).verdict
    },
  }
}

async function* found(
  records: ReadonlyArray<Remembered | NotTaken>,
  now: number,
  settings: TranslationSettings,
): AsyncGenerator<Found> {
  for (const record of records)
    yield 'problem' in record ? record : translate(record, 'a record', now, settings)
}
