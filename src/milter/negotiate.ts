// Answers the MTA's offer from the stages and macros that a filter needs. The MTA is asked to leave out every stage and
// every reply that the filter does not need, as each costs both sides a round trip or a wake-up per message.
// Source: libmilter xxfi_negotiate page; sendmail 8.17 libmilter/engine.c (st_optionneg); Postfix milter8.c.

import { ACTIONS, MACRO_STAGES, type MacroStage, MIN_VERSION, PROTOCOL_VERSION, STEPS } from './codes.ts'
import { cString, type Offer, withBraces, words } from './command.ts'
import { encodeFrame } from './frame.ts'

/** What a filter does at a stage: it replies, it notes the values without a reply, or it does not see the stage. */
export type StageUse = 'answer' | 'note' | 'skip'

/** What a filter needs of a connection: stages, and for each stage the macros that it reads (names without braces). */
export interface Wants {
  readonly stages: {
    /** CONNECT and MAIL cannot be skipped: the legal order of commands depends on them. */
    readonly [stage in 'connect' | 'mail']: Exclude<StageUse, 'skip'>
  } & { readonly [stage in 'helo' | 'rcpt' | 'data']: StageUse }
  readonly macros: { readonly [stage in MacroStage]?: readonly string[] }
  readonly addHeaders: boolean
}

/** What MTA and filter agreed on: `steps` (SMFIP_*) says which stages the MTA sends and which await a reply. */
export interface Agreement {
  readonly version: number
  readonly actions: number
  readonly steps: number
}

/** Our answer as a frame, with what it agrees to; or the reason why there is none. */
export type Negotiation =
  | { readonly kind: 'agreed'; readonly agreement: Agreement; readonly answer: Buffer }
  | { readonly kind: 'refused'; readonly reason: string }

/** For each stage, the step that leaves it out and the step that leaves out its reply. */
const STAGE_STEPS = {
  connect: { skip: STEPS.NOCONNECT, note: STEPS.NR_CONN },
  helo: { skip: STEPS.NOHELO, note: STEPS.NR_HELO },
  mail: { skip: STEPS.NOMAIL, note: STEPS.NR_MAIL },
  rcpt: { skip: STEPS.NORCPT, note: STEPS.NR_RCPT },
  data: { skip: STEPS.NODATA, note: STEPS.NR_DATA },
} as const

/** Headers, body and unknown commands are never read; if the MTA sends them all the same, they need no reply. */
const UNUSED =
  STEPS.NOHDRS |
  STEPS.NOEOH |
  STEPS.NOBODY |
  STEPS.NOUNKNOWN |
  STEPS.NR_HDR |
  STEPS.NR_EOH |
  STEPS.NR_BODY |
  STEPS.NR_UNKN

/** Our answer to an offer, which asks only for what the MTA offered. An offer below version 2 is refused. */
export function negotiate(offer: Offer, wants: Wants): Negotiation {
  if (offer.version < MIN_VERSION) {
    return {
      kind: 'refused',
      reason: `milter protocol version ${offer.version}: expected ${MIN_VERSION} or later`,
    }
  }
  const agreement = {
    version: Math.min(offer.version, PROTOCOL_VERSION),
    actions: offer.actions & ((wants.addHeaders ? ACTIONS.ADDHDRS : 0) | ACTIONS.SETSYMLIST),
    steps: offer.steps & wantedSteps(wants),
  }
  const lists = agreement.actions & ACTIONS.SETSYMLIST ? macroLists(wants.macros) : NO_LISTS
  const numbers = words(agreement.version, agreement.actions, agreement.steps)
  return { kind: 'agreed', agreement, answer: encodeFrame('O', numbers, lists) }
}

function wantedSteps({ stages }: Wants): number {
  let steps = UNUSED
  for (const stage of ['connect', 'helo', 'mail', 'rcpt', 'data'] as const) {
    const use = stages[stage]
    // A skipped stage sets both bits: an MTA that offers only the second then still need not wait for a reply.
    if (use === 'skip') steps |= STAGE_STEPS[stage].skip | STAGE_STEPS[stage].note
    if (use === 'note') steps |= STAGE_STEPS[stage].note
  }
  return steps
}

const NO_LISTS = Buffer.alloc(0)
/** A cache of encoded lists: a filter wants the same macros for all its connections. */
const encodedLists = new WeakMap<Wants['macros'], Buffer>()

/** The lists of macros: for each stage its number, then the names in one string with spaces (smfi_setsymlist). */
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
