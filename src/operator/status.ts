// The call `status`: which daemons share the store, how each of them is, and what needs attention.

import { z } from 'zod'
import { messageOf } from '../errors.ts'
import type { RecordStore } from '../store/records.ts'
import { type Call, defineCall } from './call.ts'
import { formatElapsed } from './elapsed.ts'
import { lastSeenAt, type Member, type OwnMember, readMembers } from './members.ts'
import { isOfOneHost } from './settings.ts'

const [SECOND, MINUTE] = [1000, 60_000]

/** A member is held to be gone after so much silence, in milliseconds: six heartbeats. */
const SILENT_AFTER = MINUTE

/** A clock is pointed out when it is off by more than this, in milliseconds. */
const MAX_CLOCK_DIFFERENCE = 2 * SECOND

/** Most differing settings that are told. */
const MAX_DIFFERENCES = 50

const instant = z.iso.datetime()

const result = z.strictObject({
  now: instant.describe('by the clock of the store'),
  problem: z.string().optional().describe('why the store does not tell of other members'),
  members: z.array(
    z.strictObject({
      host: z.string(),
      pid: z.int(),
      version: z.string(),
      startedAt: instant,
      state: z.enum(['running', 'silent', 'stopped']).describe('silent: for more than a minute'),
      lastSeenAt: instant,
      store: z.strictObject({
        name: z.string(),
        up: z.boolean(),
        since: instant,
        problem: z.string().optional(),
      }),
      dns: z.enum(['up', 'silent']),
      listeners: z.array(z.string()),
      clockOffset: z
        .int()
        .describe("the store's clock less the host's, in milliseconds; 0 with a store of this host"),
    }),
  ),
  differences: z
    .array(
      z.strictObject({
        setting: z.string(),
        isOfOneHost: z.boolean().describe('whether it may differ, as no verdict follows from it'),
        values: z.array(z.strictObject({ member: z.string(), value: z.string().optional() })),
      }),
    )
    .describe('settings that differ between running members; without a value it is the default'),
  attention: z.array(z.string()).describe('what needs attention, a sentence each'),
})

/** The answer to the call `status`. */
export type Status = z.infer<typeof result>

export interface StatusParts {
  readonly own: OwnMember
  readonly records: () => RecordStore
}

export function statusCall(parts: StatusParts): Call {
  return defineCall({
    name: 'status',
    summary: 'tell which daemons share the store, how each of them is, and what needs attention',
    changes: false,
    params: z.strictObject({}),
    result,
    run: () => statusOf(parts),
  })
}

async function statusOf({ own, records }: StatusParts): Promise<Status> {
  let problem: string | undefined
  let others: readonly Member[] = []
  try {
    others = await readMembers(records())
  } catch (error) {
    problem = messageOf(error)
  }
  const { current } = own
  const members = [...others.filter(({ process }) => process !== current.process), current]
  members.sort((one, other) => compare(one.host, other.host) || one.startedAt - other.startedAt)
  const now = lastSeenAt(current)
  const running = members.filter((member) => stateOf(member, now) === 'running')
  const name = namesFor(members)
  const differences = differencesOf(running, name)
  return {
    now: iso(now),
    ...(problem === undefined ? {} : { problem }),
    members: members.map((member) => ({
      host: member.host,
      pid: member.pid,
      version: member.version,
      startedAt: iso(member.startedAt + member.offset),
      state: stateOf(member, now),
      lastSeenAt: iso(lastSeenAt(member)),
      store: { ...member.store, since: iso(member.store.since + member.offset) },
      dns: member.dns ? 'up' : 'silent',
      listeners: member.listeners,
      clockOffset: member.offset,
    })),
    differences,
    attention: [
      ...(problem === undefined
        ? []
        : [`${name(current)} cannot read what other members have written to the store: ${problem}`]),
      ...members.flatMap((member) => troublesOf(member, now, name(member))),
      ...versionTrouble(running, name),
      ...differences
        .filter((difference) => !difference.isOfOneHost)
        .map(
          ({ setting }) =>
            `${setting} differs between members, so that mail gets different answers from them`,
        ),
      ...unknownDifference(running, differences),
    ],
  }
}

function stateOf(member: Member, now: number): 'running' | 'silent' | 'stopped' {
  if (member.stopped) return 'stopped'
  return now - lastSeenAt(member) > SILENT_AFTER ? 'silent' : 'running'
}

/** Names members by their hosts; those of one host also by their processes. */
function namesFor(members: readonly Member[]): (member: Member) => string {
  const hosts = new Map<string, number>()
  for (const { host } of members) hosts.set(host, (hosts.get(host) ?? 0) + 1)
  return ({ host, pid }) => ((hosts.get(host) ?? 0) > 1 ? `${host} (pid ${pid})` : host)
}

function troublesOf(member: Member, now: number, name: string): string[] {
  const state = stateOf(member, now)
  if (state === 'stopped') return []
  if (state === 'silent') {
    return [
      `${name} was last seen ${formatElapsed(now - lastSeenAt(member))} ago, and has not said that it stops`,
    ]
  }
  const { store, dns, offset } = member
  const troubles: string[] = []
  if (!store.up) troubles.push(`${name}: the store is down${store.problem ? `: ${store.problem}` : ''}`)
  if (!dns) troubles.push(`${name}: DNS does not answer: SPF and DNS lists are not used`)
  if (Math.abs(offset) > MAX_CLOCK_DIFFERENCE) {
    const direction = offset > 0 ? 'behind' : 'ahead of'
    troubles.push(
      `${name}: the clock is ${formatElapsed(Math.round(Math.abs(offset) / SECOND) * SECOND)} ${direction} the store's: no verdict depends on it, ` +
        'but the times of its log lines do',
    )
  }
  return troubles
}

function versionTrouble(running: readonly Member[], name: (member: Member) => string): string[] {
  if (new Set(running.map(({ version }) => version)).size < 2) return []
  return [`versions differ: ${running.map((member) => `${name(member)} has ${member.version}`).join(', ')}`]
}

function differencesOf(running: readonly Member[], name: (member: Member) => string): Status['differences'] {
  const known = running.filter(({ differing }) => differing !== undefined)
  const settings = new Set(known.flatMap(({ differing }) => Object.keys(differing ?? {})))
  return [...settings]
    .filter((setting) => new Set(known.map(({ differing }) => differing?.[setting])).size > 1)
    .sort()
    .slice(0, MAX_DIFFERENCES)
    .map((setting) => ({
      setting,
      isOfOneHost: isOfOneHost(setting),
      values: known.map((member) => {
        const value = member.differing?.[setting]
        return { member: name(member), ...(value === undefined ? {} : { value }) }
      }),
    }))
}

/** Says so when settings differ beyond those of which each host tells. */
function unknownDifference(running: readonly Member[], differences: Status['differences']): string[] {
  const isKnown = differences.length > 0 || new Set(running.map(({ settings }) => settings)).size < 2
  return isKnown ? [] : ['settings differ between members: compare what greymx check --print tells on each']
}

function iso(at: number): string {
  return new Date(at).toISOString()
}

function compare(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
