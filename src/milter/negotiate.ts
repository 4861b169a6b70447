// The MTA's offer and the stages a filter handles → our answer, or why there is none. Whatever is not needed is asked
// away, stages and replies alike: each one left costs the MTA and us a round trip or a wake-up per message.
// Source: libmilter xxfi_negotiate page; sendmail 8.17 libmilter/engine.c (st_optionneg); Postfix milter8.c.

import { ACTIONS, MACRO_STAGES, type MacroStage, MIN_VERSION, STEPS, VERSION } from './codes.ts'
import { cString, type Offer, withBraces, words } from './command.ts'
import { encodeFrame } from './frame.ts'

/** What a filter does at a stage: answers it, only takes note of it, or does not want to see it. */
export type StageUse = 'answer' | 'note' | 'skip'

/** What a filter wants of a connection: its stages, and of each stage the macros it reads (names without braces). */
export interface Wants {
  readonly stages: {
    /** CONNECT and MAIL are always seen: the legal order of commands hangs on them. */
    readonly [stage in 'connect' | 'mail']: Exclude<StageUse, 'skip'>
  } & { readonly [stage in 'helo' | 'rcpt' | 'data']: StageUse }
  readonly macros: { readonly [stage in MacroStage]?: readonly string[] }
  readonly addHeaders: boolean
}

/** What was agreed: `steps` says which stages come and which await a reply. */
export interface Agreement {
  readonly version: number
  readonly actions: number
  readonly steps: number
}

export type Negotiation =
  | { readonly kind: 'agreed'; readonly agreement: Agreement; readonly answer: Buffer }
  | { readonly kind: 'refused'; readonly reason: string }

/** The steps that ask a stage away, and its reply. */
const STAGE_STEPS = {
  connect: { skip: STEPS.NOCONNECT, note: STEPS.NR_CONN },
  helo: { skip: STEPS.NOHELO, note: STEPS.NR_HELO },
  mail: { skip: STEPS.NOMAIL, note: STEPS.NR_MAIL },
  rcpt: { skip: STEPS.NORCPT, note: STEPS.NR_RCPT },
  data: { skip: STEPS.NODATA, note: STEPS.NR_DATA },
} as const

/** Never looked at: headers, body, unknown commands; where they come all the same, they need no reply. */
const UNUSED =
  STEPS.NOHDRS |
  STEPS.NOEOH |
  STEPS.NOBODY |
  STEPS.NOUNKNOWN |
  STEPS.NR_HDR |
  STEPS.NR_EOH |
  STEPS.NR_BODY |
  STEPS.NR_UNKN

/** Our answer to an offer; only what the MTA offered is ever asked for. Below version 2 there is none. */
export function negotiate(offer: Offer, wants: Wants): Negotiation {
  if (offer.version < MIN_VERSION) {
    return {
      kind: 'refused',
      reason: `milter protocol version ${offer.version}: expected ${MIN_VERSION} or later`,
    }
  }
  const agreement = {
    version: Math.min(offer.version, VERSION),
    actions: offer.actions & ((wants.addHeaders ? ACTIONS.ADDHDRS : 0) | ACTIONS.SETSYMLIST),
    steps: offer.steps & wantedSteps(wants),
  }
  const lists = agreement.actions & ACTIONS.SETSYMLIST ? macroLists(wants.macros) : NO_LISTS
  const answer = Buffer.concat([words(agreement.version, agreement.actions, agreement.steps), lists])
  return { kind: 'agreed', agreement, answer: encodeFrame('O', answer) }
}

function wantedSteps({ stages }: Wants): number {
  let steps = UNUSED
  for (const stage of ['connect', 'helo', 'mail', 'rcpt', 'data'] as const) {
    const use = stages[stage]
    // Both bits for a skipped stage: an MTA that offers only the second still need not wait for us.
    if (use === 'skip') steps |= STAGE_STEPS[stage].skip | STAGE_STEPS[stage].note
    if (use === 'note') steps |= STAGE_STEPS[stage].note
  }
  return steps
}

const NO_LISTS = Buffer.alloc(0)
/** What was encoded for whom: a filter wants the same for all its connections. */
const encodedLists = new WeakMap<Wants['macros'], Buffer>()

/** Each list is the stage's number, then the names parted by spaces, as one string (libmilter smfi_setsymlist). */
function macroLists(macros: Wants['macros']): Buffer {
  const known = encodedLists.get(macros)
  if (known) return known
  const lists = Object.entries(MACRO_STAGES).flatMap(([stage, number]) => {
    const names = macros[stage as MacroStage] // the keys of MACRO_STAGES are its type
    return names ? [words(number), cString(names.map(withBraces).join(' '))] : []
  })
  const encoded = Buffer.concat(lists)
  encodedLists.set(macros, encoded)
  return encoded
}
