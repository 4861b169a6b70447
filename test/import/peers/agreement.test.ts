// What Debian's Postgrey and sqlgrey would answer, and what greymx answers after it has imported their databases, which is
// done again and again while they run. Each difference has a reason, which src/import/README.md tells.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAddress } from '../../../src/address.ts'
import { senderForms } from '../../../src/greylist/sender.ts'
import { formatNetwork, networkOf } from '../../../src/ip.ts'
import type { Verdict } from '../../../src/outcome.ts'
import { isPrivate } from '../../../src/ranges.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import { policyRequest } from '../../../src/simulate/peers/policy-request.ts'
import { postgreyKey } from '../../../src/simulate/peers/postgrey.ts'
import { randomAttempts, type TimedAttempt } from '../../simulate/peers/attempts.ts'
import { postgreyRecipients, startPostgrey } from '../../support/postgrey.ts'
import { scratch } from '../../support/scratch.ts'
import { importedGreymx } from './imported.ts'
import { readPeer } from './support.ts'

/** Requests of a run, after each tenth of which the database is imported. */
const REQUESTS = Number(process.env.IMPORT_REQUESTS ?? 1500)
const IMPORTS = 10

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** The settings with which greymx decides as Postgrey, with the files that the test uses. */
const POSTGREY_SETTINGS = settingsIn('src/doors/postgrey.md')
  .replace('/etc/postgrey/whitelist_clients', '/dev/null')
  .replace('/etc/postgrey/whitelist_recipients', postgreyRecipients)

function settingsIn(page: string): string {
  const text = readFileSync(join(process.cwd(), page), 'utf8')
  return /```yaml\n(.*?)```/s.exec(text)?.[1] ?? assert.fail(`no settings in ${page}`)
}

/** A request, what both have answered, and under which names both know it. */
interface Judged {
  readonly at: number
  readonly address: string
  readonly isPrivate: boolean
  readonly network: string
  readonly peer: Verdict
  readonly greymx: Verdict
  /** What the peer takes for one triplet, or for one sender. */
  readonly peerKey: string
  /** What greymx takes for one. */
  readonly greymxKey: string
  /** What greymx takes the peer's record of it for. */
  readonly importedKey: string
}

/** A reason for a difference: whether it explains one, by the requests before and those since the import. */
type Reason = (now: Judged, before: readonly Judged[], since: readonly Judged[]) => boolean

const COMMON: Readonly<Record<string, Reason>> = {
  'sender form': (now, before) =>
    now.greymxKey !== now.importedKey ||
    before.some(
      (one) =>
        (one.peerKey === now.peerKey) !== (one.greymxKey === now.greymxKey) ||
        (one.peerKey === now.peerKey) !== (one.importedKey === now.greymxKey),
    ),
  crowd: (now, _before, since) =>
    now.greymx === 'tempfail' && deferred(since, ({ network }) => network === now.network) >= 4,
  'earlier difference': (now, _before, since) =>
    since.some(
      (one) => one.peer !== one.greymx && (one.peerKey === now.peerKey || one.greymxKey === now.greymxKey),
    ),
}

const POSTGREY_REASONS: Readonly<Record<string, Reason>> = {
  ...COMMON,
  'bare recipient': ({ peerKey, peer }) => /\/(?:abuse|postmaster)$/.test(peerKey) && peer === 'tempfail',
  'listed network': (now, before) =>
    now.greymx === 'pass' && firstPasses(before, (one) => one.network === now.network) >= 5,
  'listed address': (now, before) =>
    now.peer === 'pass' && firstPasses(before, (one) => one.address === now.address) >= 5,
  "window's end": (now, before) =>
    now.peer === 'pass' && sameTriplet(now, before).some(({ at }) => now.at - at === 2 * DAY),
  'late cleaning': (now, before) => {
    const last = sameTriplet(now, before).at(-1)
    return now.peer === 'pass' && last !== undefined && now.at - last.at > 35 * DAY - HOUR
  },
}

function sameTriplet(now: Judged, before: readonly Judged[]): Judged[] {
  return before.filter(({ peerKey }) => peerKey === now.peerKey)
}

function deferred(since: readonly Judged[], isMeant: (one: Judged) => boolean): number {
  return since.filter((one) => one.greymx === 'tempfail' && isMeant(one)).length
}

/** The number of requests that the peer has let pass after it had deferred them. */
function firstPasses(before: readonly Judged[], isMeant: (one: Judged) => boolean): number {
  const waiting = new Set<string>()
  let count = 0
  for (const one of before) {
    if (one.peer === 'tempfail') waiting.add(one.peerKey)
    else if (waiting.delete(one.peerKey) && isMeant(one)) count += 1
  }
  return count
}

interface Run {
  readonly attempts: readonly TimedAttempt[]
  readonly reasons: Readonly<Record<string, Reason>>
  /** The peer's verdict on an attempt at a time. */
  readonly ask: (attributes: Readonly<Record<string, string>>, at: number) => Promise<string>
  /** The peer's and greymx's names for an attempt. */
  readonly keysOf: (timed: TimedAttempt) => Pick<Judged, 'peerKey' | 'greymxKey' | 'importedKey'>
  /** Imports what the peer has by now. */
  readonly importNow: (at: number) => Promise<Judge>
}

/** Counts the requests on which both agree, and those on which they do not, by reason. */
async function compare({ attempts, reasons, ask, keysOf, importNow }: Run) {
  const before: Judged[] = []
  const counts = new Map<string, number>()
  const unexplained: string[] = []
  let greymx: Judge | undefined
  let since: Judged[] = []
  for (const [index, timed] of attempts.entries()) {
    const { attempt, at } = timed
    if (index > 0 && index % Math.ceil(attempts.length / IMPORTS) === 0) {
      greymx = await importNow(attempts[index - 1]?.at ?? at)
      since = []
    }
    const action = await ask(attributesOf(timed), at)
    const peer: Verdict = /^defer_if_permit /i.test(action) ? 'tempfail' : 'pass'
    const verdict = (await greymx?.judge(attempt, at)) ?? peer
    const { address } = attempt.client
    assert.ok(address)
    const now: Judged = {
      at,
      address: address.text,
      isPrivate: isPrivate(address),
      network: formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64)),
      peer,
      greymx: verdict,
      ...keysOf(timed),
    }
    if (greymx) {
      const reason =
        peer === verdict
          ? `both ${peer}`
          : Object.entries(reasons).find(([, explains]) => explains(now, before, since))?.[0]
      counts.set(reason ?? 'unexplained', (counts.get(reason ?? 'unexplained') ?? 0) + 1)
      if (reason === undefined) unexplained.push(history(now, before))
    }
    before.push(now)
    since.push(now)
  }
  return { counts, unexplained }
}

function attributesOf({ attempt, at }: TimedAttempt): Record<string, string> {
  const request = policyRequest(attempt)
  assert.ok(request)
  return {
    client_address: request.clientAddress,
    client_name: request.clientName,
    sender: request.sender,
    recipient: request.recipient,
    policy_test_time: `${at / 1000}`,
  }
}

/** The request, and the latest before it from its network, one a line. */
function history(now: Judged, before: readonly Judged[]): string {
  return [...before.filter(({ network }) => network === now.network).slice(-15), now]
    .map((one) => JSON.stringify({ ...one, at: `${((now.at - one.at) / HOUR).toFixed(3)} h before` }))
    .join('\n')
}

/** The name of greymx for a client, a sender as it was sent or recorded, and a recipient. */
function greymxKey({ attempt }: TimedAttempt, sender: string): string {
  const { address } = attempt.client
  assert.ok(address)
  const network = formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64))
  const { form } = senderForms(parseAddress(`<${sender}>`), attempt.recipient)
  return `${network} ${form} ${attempt.recipient?.normal}`
}

test('after an import, greymx answers as Postgrey would, but for the reasons of the page', async (t) => {
  const attempts = randomAttempts(REQUESTS, 5, [['192.0.2.1']])
  const dir = await scratch(t)
  const postgrey = await startPostgrey({
    dir,
    clients: '/dev/null', // nobody is on a list
    time: (attempts[0]?.at ?? 0) / 1000,
    isReadable: true,
  })
  const { counts, unexplained } = await compare({
    attempts,
    reasons: POSTGREY_REASONS,
    ask(attributes, at) {
      postgrey.setTime(at / 1000)
      return postgrey.ask(attributes)
    },
    keysOf(timed) {
      const { client, sender, recipient } = timed.attempt
      assert.ok(client.address)
      const peerKey = postgreyKey(client.address, sender.text, recipient?.text ?? '')
      const stored = peerKey.slice(peerKey.indexOf('/') + 1, -(recipient?.text.length ?? 0) - 1)
      return {
        peerKey,
        greymxKey: greymxKey(timed, sender.text),
        importedKey: greymxKey(timed, stored),
      }
    },
    importNow: async (at) => importedGreymx(POSTGREY_SETTINGS, await readPeer('postgrey', dir, at), at),
  })
  t.diagnostic([...counts].map(([reason, count]) => `${reason}: ${count}`).join(', '))
  assert.deepEqual(unexplained.slice(0, 3), [])
})
