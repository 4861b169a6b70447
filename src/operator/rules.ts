// The calls that make, end and list rules at run time (`greymx allow`, `off`, `on`, `rules`), and that let expected mail
// pass (`greymx expect`).

import { randomInt } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import { parseAddress } from '../address.ts'
import { parseAddressRule } from '../exempt/addresses.ts'
import { expectKey } from '../greylist/keys.ts'
import { isConcealed } from '../greylist/privacy.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { RecordStore } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { type Call, type Caller, defineCall, Refusal } from './call.ts'
import { defined } from './defined.ts'
import { type Deferral, findDeferrals } from './ledger.ts'
import { addressRule, clientRule, duration, recipientAddress, ref } from './params.ts'
import type { NewRule, Rule, RuleBook } from './rulebook.ts'
import type { Stored } from './stored.ts'

export interface RuleCallParts {
  readonly rules: RuleBook
  readonly records: () => RecordStore
  readonly store: () => Store
  /** How addresses stand in the store. */
  readonly stored: () => Stored
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** How long mail is allowed unless the operator says it, in milliseconds. */
const ALLOWED_FOR = 30 * 86_400_000

/** Most expectations whose end is remembered, so that they can be brought back. */
const MAX_EXPECTED = 1000

/** What marks of expectations are below. */
const MAX_MARK = 1_000_000_000

/** That mail is expected until an instant, in milliseconds; the count of its key is `mark`, which no other one has. */
interface Expected {
  readonly mark: number
  readonly until: number
}

const shownRule = z
  .object({
    id: z.string(),
    kind: z.enum(['allow', 'off']),
    client: z.string().optional(),
    sender: z.string().optional(),
    recipient: z.string().optional(),
    until: z.iso.datetime().optional().describe('absent if it is for good'),
    isOver: z.boolean(),
    by: z.string(),
    madeAt: z.iso.datetime(),
    why: z.string().optional(),
  })
  .meta({ id: 'Rule' })

export type ShownRule = z.infer<typeof shownRule>

const why = z.string().max(200).optional().describe('why, for those who read the rules later')

export function ruleCalls({ rules, records, store, stored, now }: RuleCallParts): Call[] {
  const shown = (rule: Rule): ShownRule => showRule(rule, now())
  /** What this daemon has been told to expect, by the keys of the store. */
  const expected = new LRUCache<string, Expected>({ max: MAX_EXPECTED })
  return [
    defineCall({
      name: 'allow',
      summary: 'lets mail pass by a rule that holds on every MX, by reference or by what it is from and to',
      changes: true,
      params: z.strictObject({
        ref: ref.optional().describe('the reference in the reply to a deferred message'),
        client: clientRule.optional(),
        sender: addressRule.optional(),
        recipient: addressRule.optional(),
        for: duration.optional().describe('how long; 30d by default'),
        why,
      }),
      result: shownRule,
      async run({ ref: wanted, client, sender, recipient, for: time = ALLOWED_FOR, why: reason }, caller) {
        const given = { client, sender, recipient }
        const criteria = wanted === undefined ? given : { ...(await criteriaOf(wanted)), ...defined(given) }
        if (Object.keys(defined(criteria)).length === 0)
          throw new Refusal('unsuited', 'nothing says which mail: expected ref, client, sender or recipient')
        return add({ kind: 'allow', ...criteria, until: now() + time, why: reason }, caller)
      },
    }),
    defineCall({
      name: 'off',
      summary: 'switches greylisting off on every MX, for all mail or for a recipient, a sender or both',
      changes: true,
      params: z.strictObject({
        to: addressRule.optional(),
        from: addressRule.optional(),
        for: duration.optional().describe('how long; until it is switched on again by default'),
        why,
      }),
      result: shownRule,
      async run({ to: recipient, from: sender, for: time, why: reason }, caller) {
        const until = time === undefined ? undefined : now() + time
        return add({ kind: 'off', recipient, sender, until, why: reason }, caller)
      },
    }),
    defineCall({
      name: 'on',
      summary: 'ends rules: those that switch greylisting off for this mail, or the one with this id',
      changes: true,
      params: z.strictObject({
        id: z.string().max(20).optional().describe('the id of a rule of any kind'),
        to: addressRule.optional(),
        from: addressRule.optional(),
        why,
      }),
      result: z.strictObject({ ended: z.array(shownRule) }),
      async run({ id, to, from }, { onChange }) {
        if (id !== undefined && (to !== undefined || from !== undefined))
          throw new Refusal('unsuited', 'expected either id, or to and from')
        const due = (await rules.rules()).filter((rule) => !isOver(rule, now()))
        const ended = due.filter((rule) =>
          id === undefined
            ? rule.kind === 'off' && isSame(rule.recipient, to) && isSame(rule.sender, from)
            : rule.id === id,
        )
        if (ended.length === 0) throw new Refusal('unknown', noSuchRule(due))
        await rules.remove(ended.map((rule) => rule.id))
        onChange?.({ undo: () => rules.restore(ended) })
        return { ended: ended.map(shown) }
      },
    }),
    defineCall({
      name: 'rules',
      summary: 'lists the rules that operators have made, with those that ended within a week',
      changes: false,
      params: z.strictObject({}),
      result: z.strictObject({ rules: z.array(shownRule) }),
      async run() {
        return { rules: (await rules.rules()).map(shown) }
      },
    }),
    defineCall({
      name: 'expect',
      summary:
        'lets first messages to a recipient pass for a while, as those with a code that a user has asked for',
      changes: true,
      params: z.strictObject({
        to: recipientAddress,
        from: z
          .string()
          .regex(/^[^@\s]+\.[^@\s]+$/, 'expected a domain like example.org')
          .max(255)
          .optional()
          .describe("the sender's domain; from anybody who is no stranger by default"),
        for: duration,
        why,
      }),
      result: z.strictObject({ to: z.string(), from: z.string().optional(), until: z.iso.datetime() }),
      async run({ to, from, for: time }, { onChange }) {
        const recipient = parseAddress(to)
        const domain = from === undefined ? undefined : organisationOf(from.toLowerCase())
        const key = expectKey(stored().recipient(recipient), domain)
        const [former = 0] = await store().counts([key])
        const replaced = former === expected.get(key)?.mark ? expected.get(key) : undefined
        const made = { mark: randomInt(1, MAX_MARK), until: now() + time }
        await expectUntil(key, made)
        // Nobody here knows the end of one that another daemon has made.
        if (former === 0 || replaced) onChange?.({ undo: () => unexpect(key, made, replaced) })
        const until = new Date(made.until).toISOString()
        return { to: recipient.text, until, ...(domain === undefined ? {} : { from: domain }) }
      },
    }),
  ]

  async function expectUntil(key: string, made: Expected): Promise<void> {
    const left = made.until - now()
    // A count keeps the end that it was begun with, so that another end needs a new one.
    await store().forget(key)
    if (left <= 0) return
    await store().count(key, left, made.mark)
    expected.set(key, made)
  }

  /** Takes back what was expected, unless an operator has expected it anew; what it replaced is expected again. */
  async function unexpect(key: string, made: Expected, replaced: Expected | undefined): Promise<void> {
    const [mark] = await store().counts([key])
    if (mark !== made.mark)
      throw new Refusal('unsuited', 'it is not expected any more, or was expected anew by an operator')
    if (replaced) await expectUntil(key, replaced)
    else await store().forget(key)
  }

  async function add(rule: Omit<NewRule, 'by'>, { name: by, onChange }: Caller): Promise<ShownRule> {
    const made = await rules.add({ ...rule, by })
    onChange?.({
      async undo() {
        const isThere = (await rules.rules()).some(({ id }) => id === made.id)
        if (!isThere) throw new Refusal('unsuited', `rule ${made.id} has been ended already`)
        await rules.remove([made.id])
      },
    })
    return shown(made)
  }

  /**
   * What the mail of a reference is from and to. A sender that varies with the message stands there as its domain, and
   * one that no rule can name as the client.
   */
  async function criteriaOf(wanted: string): Promise<Pick<Rule, 'client' | 'sender' | 'recipient'>> {
    const found = await findDeferrals(records(), wanted, now())
    const [deferral] = found
    if (!deferral) throw new Refusal('unknown', unknownRef(wanted))
    const { client, sender, recipient } = deferral
    if (isConcealed(sender) || isConcealed(recipient ?? '')) throw new Refusal('unsuited', CONCEALED)
    const { domain, normal } = parseAddress(sender)
    const isOfAll = (same: (other: Deferral) => boolean) => found.every(same)
    if (
      !isOfAll((other) => isSame(other.recipient, recipient) && parseAddress(other.sender).domain === domain)
    )
      throw new Refusal(
        'unsuited',
        `${wanted} is the reference of several messages, ${found.map(pairOf).join(' and ')}: expected sender and recipient`,
      )
    const isVarying = stored().form(parseAddress(sender), parseAddress(recipient ?? '')) !== normal
    const from = isVarying ? domain : sender || '<>'
    const to = recipient === undefined ? {} : { recipient }
    return isAddressRule(from) ? { sender: from, ...to } : { client, ...to }
  }
}

/** Why a reference does not lead to addresses. */
export const CONCEALED =
  'the store has hashes in place of addresses (privacy): expected the addresses themselves'

/** Why nothing is known of a reference, and what the operator can do. */
export function unknownRef(wanted: string): string {
  return `nothing is known of ${wanted}: expected the reference of a first deferral of the last week; the log has those that were too many to be kept`
}

/** Whether a rule has ended. */
export function isOver({ until }: Rule, now: number): boolean {
  return until !== undefined && until <= now
}

export function showRule(rule: Rule, now: number): ShownRule {
  const { until, madeAt, id, kind, client, sender, recipient, by, why: reason } = rule
  return {
    id,
    kind,
    ...defined({ client, sender, recipient }),
    ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
    isOver: isOver(rule, now),
    by,
    madeAt: new Date(madeAt).toISOString(),
    ...(reason === undefined ? {} : { why: reason }),
  }
}

function pairOf({ sender, recipient }: Deferral): string {
  return `${sender || '<>'} to ${recipient ?? 'anybody'}`
}

/** Whether a text is a rule for senders or recipients. */
export function isAddressRule(text: string): boolean {
  try {
    parseAddressRule(text)
    return true
  } catch {
    return false
  }
}

/** Whether two criteria are the same; domains and addresses are compared without regard to case. */
function isSame(one: string | undefined, other: string | undefined): boolean {
  return one?.toLowerCase() === other?.toLowerCase()
}

function noSuchRule(due: readonly Rule[]): string {
  const known = due.map(({ id, kind, client, sender, recipient }) => {
    const parts = [client && `client ${client}`, sender && `from ${sender}`, recipient && `to ${recipient}`]
    return [id, kind, ...parts.filter(Boolean)].join(' ')
  })
  return `there is no such rule: ${known.length === 0 ? 'there are none' : `there are ${known.join('; ')}`}`
}
