// The call that reports what greylisting has held back, by the ledger: what was deferred, what came back, and what never
// did and looks like mail that somebody misses (`greymx report`).

import { z } from 'zod'
import { replyKey } from '../greylist/keys.ts'
import { isConcealed } from '../greylist/privacy.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { RecordStore } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { type Call, defineCall } from './call.ts'
import { showDeferral } from './explain.ts'
import { type Deferral, isVouched, LEDGER_LIFETIME, readLedger } from './ledger.ts'
import { addressIn, type Stored } from './stored.ts'

export interface ReportParts {
  readonly records: () => RecordStore
  readonly store: () => Store
  /** How addresses stand in the store. */
  readonly stored: () => Stored
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

const DAY = 86_400_000
const HOUR = 3_600_000

/** How long after its deferral a message that has not come back is held to stay away, in milliseconds. */
const LOST_AFTER = 4 * HOUR

/** Most lost messages in an answer. */
const MAX_LOST = 1000

/** What each sign that a message was wanted counts. */
const SIGNS = {
  'written to before': 4,
  'others of its domain have returned': 3,
  'the sender is proven': 2,
  'the host has a confirmed name': 1,
} as const

type Sign = keyof typeof SIGNS

const shownLost = z
  .object({
    ref: z.string(),
    at: z.iso.datetime(),
    mx: z.string(),
    client: z.string(),
    name: z.string().optional(),
    identity: z.string(),
    sender: z.string(),
    recipient: z.string().optional(),
    score: z.number().describe('how much speaks for it'),
    signs: z.array(z.string()).describe('what speaks for it'),
    allow: z
      .array(z.string())
      .describe('the options of the `greymx allow` that lets its sender pass from now on'),
  })
  .meta({ id: 'Lost' })

const shownReport = z
  .object({
    since: z.iso.datetime(),
    until: z.iso.datetime(),
    deferred: z.number().describe('first messages that were deferred, as far as the ledger has them'),
    returned: z.number(),
    waiting: z.number().describe('deferred within four hours, and not back yet'),
    neverReturned: z.number(),
    proven: z
      .object({ deferred: z.number(), returned: z.number() })
      .describe('those of them whose sender is proven, by SPF or by the host'),
    delays: z
      .object({ half: z.number(), nineOfTen: z.number(), longest: z.number() })
      .optional()
      .describe('how long those that returned had waited, in milliseconds'),
    overAnHour: z.number(),
    lost: z.array(shownLost).describe('those that never returned and look wanted, most likely first'),
  })
  .meta({ id: 'Report' })

export type ShownReport = z.infer<typeof shownReport>
export type ShownLost = z.infer<typeof shownLost>

export function reportCalls({ records, store, stored, now }: ReportParts): Call[] {
  return [
    defineCall({
      name: 'report',
      summary: 'reports what greylisting held back, what came back, and what never did and looks wanted',
      changes: false,
      params: z.strictObject({
        days: z
          .int()
          .min(1)
          .max(LEDGER_LIFETIME / DAY)
          .default(7),
        lost: z.boolean().default(false).describe('whether those that never returned are listed'),
      }),
      result: shownReport,
      async run({ days, lost: isListed }) {
        const until = now()
        const since = until - days * DAY
        const deferrals: Deferral[] = []
        for await (const some of readLedger(records(), { since, now: until })) deferrals.push(...some)
        const returned = deferrals.filter(({ returnedAt }) => returnedAt !== undefined)
        const away = deferrals.filter(({ returnedAt }) => returnedAt === undefined)
        const never = away.filter(({ at }) => at <= until - LOST_AFTER)
        const waits = returned
          .map(({ at, returnedAt = at }) => returnedAt - at)
          .sort((one, other) => one - other)
        return {
          since: new Date(since).toISOString(),
          until: new Date(until).toISOString(),
          deferred: deferrals.length,
          returned: returned.length,
          waiting: away.length - never.length,
          neverReturned: never.length,
          proven: {
            deferred: deferrals.filter(isProven).length,
            returned: returned.filter(isProven).length,
          },
          ...(waits.length === 0
            ? {}
            : {
                delays: {
                  half: quantile(waits, 0.5),
                  nineOfTen: quantile(waits, 0.9),
                  longest: waits.at(-1) ?? 0,
                },
              }),
          overAnHour: waits.filter((wait) => wait > HOUR).length,
          lost: isListed ? await ranked(never, returned) : [],
        }
      },
    }),
  ]

  /** Those that look wanted, most likely first; one of each sender and recipient. */
  async function ranked(never: readonly Deferral[], returned: readonly Deferral[]): Promise<ShownLost[]> {
    const returning = new Set(returned.filter(isProven).map(domainOf))
    const latest = new Map(never.toReversed().map((deferral) => [deferral.ref, deferral]))
    const candidates = [...latest.values()]
    const written = await writtenTo(candidates)
    const lost = candidates.map((deferral, index) => {
      const signs: Sign[] = []
      if (written[index]) signs.push('written to before')
      if (isProven(deferral)) {
        if (returning.has(domainOf(deferral))) signs.push('others of its domain have returned')
        signs.push('the sender is proven')
      }
      if (deferral.name !== undefined) signs.push('the host has a confirmed name')
      return lostOf(deferral, signs)
    })
    return lost
      .filter(({ score }) => score >= SIGNS['the sender is proven'])
      .sort((one, other) => other.score - one.score || other.at.localeCompare(one.at))
      .slice(0, MAX_LOST)
  }

  /** Whether the recipient of each has written to its sender, as far as greymx has learnt that. */
  async function writtenTo(deferrals: readonly Deferral[]): Promise<boolean[]> {
    const found: boolean[] = []
    const batch = 100
    for (let start = 0; start < deferrals.length; start += batch) {
      const keys = deferrals.slice(start, start + batch).map(({ sender, recipient = '' }) => {
        return replyKey(stored().recipient(addressIn(recipient)), stored().recipient(addressIn(sender)))
      })
      found.push(...(await store().find(keys)).map(Boolean))
    }
    return found
  }
}

function lostOf(deferral: Deferral, signs: readonly Sign[]): ShownLost {
  const { returnedAt: _, helo: __, ...shown } = showDeferral(deferral)
  const score = signs.reduce((sum, sign) => sum + SIGNS[sign], 0)
  return { ...shown, score, signs: [...signs], allow: allowOptions(deferral) }
}

/** Only a proven sender is let pass by its domain alone, as anybody can write the name of another. */
function allowOptions({ sender, client, identity }: Deferral): string[] {
  if (isConcealed(sender)) return ['--client', client]
  const address = addressIn(sender)
  const from = address.text === '' ? '<>' : address.domain === '' ? address.text : address.domain
  if (identity.startsWith('spf:')) return ['--client', client, '--sender', from]
  const host = /^host:([^+]+)/.exec(identity)?.[1]
  return host === undefined ? ['--client', client, '--sender', address.text || '<>'] : ['--client', host]
}

/** Whether the sender of a deferral is proven. */
function isProven({ identity }: Deferral): boolean {
  return isVouched(identity)
}

function domainOf({ sender }: Deferral): string {
  return organisationOf(addressIn(sender).domain)
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}
