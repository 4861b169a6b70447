// The calls that explain what greymx decides and why (`greymx explain`, `greymx show`). An attempt is only tried out, by
// the function that judges every attempt, and nothing is written.

import { z } from 'zod'
import { parseAddress } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import { asHostName, clientOf } from '../doors/client.ts'
import type { ExemptStep } from '../exempt/exempt.ts'
import { ALLOWED_BY, type RuntimeRuleFor } from '../exempt/runtime-rules.ts'
import { decide, type Times } from '../greylist/decide.ts'
import type { Greylister } from '../greylist/greylister.ts'
import { isConcealed } from '../greylist/privacy.ts'
import type { Trial } from '../greylist/trial.ts'
import type { Identity } from '../identity/identity.ts'
import type { Network } from '../ip.ts'
import type { Outcome } from '../outcome.ts'
import type { Entry } from '../store/entry.ts'
import type { RecordStore } from '../store/records.ts'
import { type Call, defineCall, Refusal } from './call.ts'
import { defined } from './defined.ts'
import { inWords } from './in-words.ts'
import { type Deferral, findDeferrals } from './ledger.ts'
import { duration, ip, recipientAddress, ref, senderAddress } from './params.ts'
import { CONCEALED, unknownRef } from './rules.ts'
import type { Stored } from './stored.ts'

export interface ExplainParts {
  /** What the daemon decides by now; a reload changes it. */
  readonly deciding: () => Deciding
  readonly records: () => RecordStore
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export interface Deciding {
  readonly greylister: Pick<Greylister, 'tryOut'>
  /** The settings that exempt attempts, in their order. */
  readonly exemptSteps: readonly ExemptStep[]
  readonly runtimeRuleFor: RuntimeRuleFor
  readonly nat64Prefixes: readonly Network[]
  /** Whether keys have a recipient. */
  readonly judgesRecipients: boolean
  /** How addresses stand in the store. */
  readonly stored: Stored
}

const milliseconds = z.number().describe('in milliseconds')

const shownOutcome = z
  .object({
    verdict: z.enum(['pass', 'tempfail']),
    reason: z.string(),
    would: z.string().optional(),
    rule: z.string().optional(),
    identity: z.string().optional(),
    evidence: z.string().optional(),
    waited: milliseconds,
    retryIn: milliseconds,
    error: z.string().optional(),
  })
  .meta({ id: 'Outcome' })

export const shownDeferral = z
  .object({
    ref: z.string(),
    at: z.iso.datetime(),
    mx: z.string(),
    client: z.string(),
    name: z.string().optional(),
    helo: z.string().optional(),
    identity: z.string(),
    sender: z.string(),
    recipient: z.string().optional().describe('absent if keys have no recipient'),
    returnedAt: z.iso.datetime().optional(),
  })
  .meta({ id: 'Deferral' })

const explanation = z
  .object({
    attempt: z.object({
      client: z.string(),
      name: z.string().optional(),
      helo: z.string().optional(),
      sender: z.string(),
      recipient: z.string().optional().describe('absent if keys have no recipient'),
    }),
    ref: z.string().optional(),
    outcome: shownOutcome.describe('what the attempt would get now'),
    later: z
      .object({ in: milliseconds, outcome: shownOutcome })
      .optional()
      .describe('what it would get then'),
    steps: z
      .array(z.object({ rule: z.string(), found: z.string(), decides: z.boolean() }))
      .describe('each rule in its order, and what it found'),
    names: z
      .array(
        z.object({
          name: z.string(),
          deferred: z.number(),
          returned: z.number(),
          key: z.string().optional(),
          entry: z.enum(['waiting', 'passed']).optional(),
          age: milliseconds.optional(),
        }),
      )
      .describe('the names of the client, what each has shown, and what is known of the triplet under it'),
    times: z
      .object({ delay: milliseconds, retryWindow: milliseconds, lifetime: milliseconds })
      .optional()
      .describe('the times in force for the client'),
    history: z
      .array(shownDeferral)
      .describe('first deferrals of this sender at this recipient in the last week'),
  })
  .meta({ id: 'Explanation' })

export type Explanation = z.infer<typeof explanation>
export type ShownOutcome = z.infer<typeof shownOutcome>
export type ShownDeferral = z.infer<typeof shownDeferral>
type Step = Explanation['steps'][number]

export function explainCalls({ deciding, records, now }: ExplainParts): Call[] {
  return [
    defineCall({
      name: 'explain',
      summary:
        'tells what an attempt would get now and later, by which rules; by reference or by what it is from and to',
      changes: false,
      params: z.strictObject({
        ref: ref.optional(),
        client: ip.optional(),
        name: z.string().max(255).optional().describe("the client's confirmed host name"),
        helo: z.string().max(255).optional(),
        from: senderAddress.optional(),
        to: recipientAddress.optional(),
        in: duration.optional().describe('how much later the attempt is also tried out'),
      }),
      result: explanation,
      async run({ ref: wanted, client, name, helo, from, to, in: later }) {
        if (wanted === undefined) {
          if (client === undefined || from === undefined || to === undefined)
            throw new Refusal('unsuited', 'expected either ref, or client, from and to')
          return explain({ client, name, helo, sender: from, recipient: to }, later)
        }
        const [last] = await findDeferrals(records(), wanted, now())
        if (!last) throw new Refusal('unknown', unknownRef(wanted))
        if (isConcealed(last.recipient ?? '')) throw new Refusal('unsuited', CONCEALED)
        return explain({ ...last, client: client ?? last.client, name: name ?? last.name }, later)
      },
    }),
    defineCall({
      name: 'show',
      summary: 'shows the deferrals of a reference, and what became of them',
      changes: false,
      params: z.strictObject({ ref }),
      result: z.strictObject({ deferrals: z.array(shownDeferral) }),
      async run({ ref: wanted }) {
        const found = await findDeferrals(records(), wanted, now())
        if (found.length === 0) throw new Refusal('unknown', unknownRef(wanted))
        return { deferrals: found.map(showDeferral) }
      },
    }),
  ]

  async function explain(given: Given, later: number | undefined): Promise<Explanation> {
    const { greylister, exemptSteps, runtimeRuleFor, nat64Prefixes, judgesRecipients, stored } = deciding()
    const asked = judgesRecipients ? given : { ...given, recipient: undefined }
    const attempt = attemptOf(asked, nat64Prefixes)
    const trial: Trial = { later: 0 }
    const outcome = await greylister.tryOut(attempt, trial)
    const wait = later ?? (outcome.verdict === 'tempfail' ? outcome.retryIn : undefined)
    const then =
      wait === undefined
        ? undefined
        : (retryOf(outcome, trial.times, wait) ?? (await greylister.tryOut(attempt, { later: wait })))
    const { client, sender, recipient } = attempt
    // What is exempt now, as an operator has allowed it, may have been deferred before.
    const history = await findDeferrals(records(), outcome.ref ?? stored.ref(sender, recipient), now())
    const ref = outcome.ref ?? history[0]?.ref
    return {
      attempt: {
        client: client.address?.text ?? given.client,
        ...(client.name === undefined ? {} : { name: client.name }),
        ...(client.helo === undefined ? {} : { helo: client.helo }),
        sender: sender.text,
        ...(recipient === undefined ? {} : { recipient: recipient.text }),
      },
      ...(ref === undefined ? {} : { ref }),
      outcome: showOutcome(outcome),
      ...(then && wait !== undefined ? { later: { in: wait, outcome: showOutcome(then) } } : {}),
      steps: [
        ...exemptSteps.map(({ setting, exempt }) => {
          const exemption = exempt(attempt)
          return step(setting, exemption ? `exempt by ${exemption.rule}` : 'does not exempt it')
        }),
        step('rules made at run time', ruleFound(runtimeRuleFor(attempt))),
        ...stepsAfter(trial, outcome),
      ].map(decidingBy(outcome)),
      names: namesIn(trial),
      ...(trial.times ? { times: trial.times } : {}),
      history: history.map(showDeferral),
    }
  }
}

/**
 * The outcome of a retry so long after an attempt that is new: it would be known by then. `undefined` for other attempts,
 * and for one that would be forgotten by then.
 */
function retryOf(outcome: Outcome, times: Times | undefined, wait: number): Outcome | undefined {
  if (outcome.reason !== 'new' || !times || wait === 0 || wait >= times.retryWindow) return undefined
  const { verdict, reason, waited, ...decision } = decide({ passed: false, age: wait, added: false }, times)
  return { ...outcome, verdict, reason, waited, retryIn: 'retryIn' in decision ? decision.retryIn : 0 }
}

/** An attempt as the operator gives it. */
interface Given {
  readonly client: string
  readonly name?: string | undefined
  readonly helo?: string | undefined
  readonly sender: string
  readonly recipient?: string | undefined
}

function attemptOf({ client, name, helo, sender, recipient }: Given, prefixes: readonly Network[]): Attempt {
  return {
    client: { ...clientOf(client, name, prefixes), helo: asHostName(helo) },
    authenticated: false,
    sender: parseAddress(sender),
    recipient: recipient === undefined ? undefined : parseAddress(recipient),
  }
}

function step(rule: string, found: string): Omit<Step, 'decides'> {
  return { rule, found }
}

function ruleFound(rule: ReturnType<RuntimeRuleFor>): string {
  if (!rule) return 'none applies'
  return rule.kind === 'allow' ? `allowed by ${rule.id}` : `greylisting is off for it, by ${rule.id}`
}

/** What was found once neither a setting nor an operator's rule had exempted the attempt. */
function stepsAfter(trial: Trial, outcome: Outcome): Array<Omit<Step, 'decides'>> {
  const { findings, evidence, entries = [], first, crowd, listing, times } = trial
  if (!findings) return []
  const { identity, exemption } = findings
  const steps = [
    step(
      'exempt.spf, dnswl, only_if_listed, only_if',
      exemption ? `exempt by ${exemption.rule}` : 'do not exempt it',
    ),
  ]
  if (!identity) return steps
  steps.push(step('names of the client', namesFound(identity)))
  if (!evidence || !times) return steps
  steps.push(
    step('auto-whitelist', listing === undefined ? 'none of its names is listed' : `${listing} is listed`),
    step('crowd', crowdFound(crowd, times.delay)),
    step('triplet', tripletFound(entries, first)),
  )
  const { reason } = outcome
  if (reason === 'expected') steps.push(step('greymx expect', 'the recipient expects this mail'))
  if (reason === 'written-to')
    steps.push(step('greylist.learn_replies', 'the recipient has written to the sender'))
  if (reason === 'credit') steps.push(step('greylist.credit', 'a first message on credit'))
  if (reason === 'max-deferrals')
    steps.push(step('greylist.max_deferrals', `was deferred ${outcome.deferrals} times`))
  if (reason === 'store-error') steps.push(step('store', outcome.error ?? 'cannot be used'))
  return steps
}

function namesFound({ names, spf, carriers, provider }: Identity): string {
  const parts = [names.join(', '), `SPF: ${spf}`]
  if (carriers.length > 0) parts.push(`carried by ${carriers.join(', ')}`)
  if (provider !== undefined) parts.push(`a machine at ${provider}`)
  return parts.join('; ')
}

function crowdFound(crowd: Trial['crowd'], delay: number): string {
  if (!crowd?.isCrowded) return 'few strangers wait beside it'
  return `many wait in ${crowd.name} and few come back, so that strangers wait ${inWords(delay)}`
}

function tripletFound(entries: NonNullable<Trial['entries']>, first: Trial['first']): string {
  const found = entries.filter(({ entry }) => entry)
  const passed = found.find(({ entry }) => entry?.passed)
  if (passed) return `has passed, under ${passed.name}`
  const [waiting] = found.toSorted((one, other) => (other.entry?.age ?? 0) - (one.entry?.age ?? 0))
  if (waiting?.entry) return `has waited ${inWords(waiting.entry.age)}, under ${waiting.name}`
  if (first?.entry)
    return `is new; this sender was first seen ${inWords(first.entry.age)} ago, from another network`
  return 'is new'
}

/** Marks the step that decides the outcome. */
function decidingBy({
  reason,
  rule,
}: Outcome): (step: Omit<Step, 'decides'>, index: number, all: ReadonlyArray<Omit<Step, 'decides'>>) => Step {
  return (each, index, all) => {
    const decisive = all.findIndex((other) => isDecisive(other, reason, rule))
    return { ...each, decides: index === (decisive < 0 ? all.length - 1 : decisive) }
  }
}

function isDecisive(
  { rule, found }: Omit<Step, 'decides'>,
  reason: Outcome['reason'],
  by: string | undefined,
): boolean {
  switch (reason) {
    case 'auto-whitelist':
    case 'carrier':
      return rule === 'auto-whitelist'
    case 'off':
      return rule === 'rules made at run time'
    case 'new':
    case 'early':
    case 'retry':
    case 'known':
    case 'observe':
      return rule === 'triplet'
    default:
      return (
        by !== undefined &&
        (found === `exempt by ${by}` ||
          (by.startsWith(ALLOWED_BY) && found === `allowed by ${by.slice(ALLOWED_BY.length)}`))
      )
  }
}

function namesIn({ evidence, entries = [] }: Trial): Explanation['names'] {
  const byName = new Map<string, (typeof entries)[number]>()
  for (const each of entries) {
    const first = byName.get(each.name)
    // Behind a name's own key come those under which there may be an older entry.
    if (!first || (!first.entry && each.entry)) byName.set(each.name, each)
  }
  const names = new Set([...entries.map(({ name }) => name), ...(evidence?.names ?? [])])
  return [...names].map((name) => {
    const { deferred = 0, returned = 0 } = evidence?.tallyOf(name) ?? {}
    const kept = byName.get(name)
    return {
      name,
      deferred,
      returned,
      ...(kept ? { key: kept.key } : {}),
      ...(kept?.entry ? { entry: stateOf(kept.entry), age: kept.entry.age } : {}),
    }
  })
}

export function stateOf({ passed }: Entry): 'waiting' | 'passed' {
  return passed ? 'passed' : 'waiting'
}

export function showOutcome({
  verdict,
  reason,
  would,
  rule,
  identity,
  evidence,
  waited,
  retryIn,
  error,
}: Outcome): ShownOutcome {
  const optional = { would, rule, identity, evidence, error }
  return { verdict, reason, ...defined(optional), waited, retryIn }
}

export function showDeferral({ at, returnedAt, ...deferral }: Deferral): ShownDeferral {
  return {
    ...deferral,
    at: new Date(at).toISOString(),
    ...(returnedAt === undefined ? {} : { returnedAt: new Date(returnedAt).toISOString() }),
  }
}
