// What Debian's Postgrey and sqlgrey would answer, and what greymx answers after it has imported their databases, which is
// done again and again while they run. Each difference has a reason, which src/import/README.md tells.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Address, parseAddress } from '../../../src/address.ts'
import type { Attempt } from '../../../src/attempt.ts'
import { senderForms } from '../../../src/greylist/sender.ts'
import { settingsFrom } from '../../../src/import/settings/settings.ts'
import { formatNetwork, networkOf } from '../../../src/ip.ts'
import type { Verdict } from '../../../src/outcome.ts'
import { isPrivate } from '../../../src/ranges.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import { policyRequest } from '../../../src/simulate/peers/policy-request.ts'
import { postgreyKey } from '../../../src/simulate/peers/postgrey.ts'
import { clientIdentifier, readSender } from '../../../src/simulate/peers/sqlgrey.ts'
import { randomAttempts, type TimedAttempt } from '../../simulate/peers/attempts.ts'
import { postgreyRecipients, startPostgrey } from '../../support/postgrey.ts'
import { scratch } from '../../support/scratch.ts'
import { sqlgreySettings, startSqlgrey } from '../../support/sqlgrey.ts'
import { importedGreymx } from './imported.ts'
import { readPeer } from './support.ts'

/** Requests of a run, after each tenth of which the database is imported. */
const REQUESTS = Number(process.env.IMPORT_REQUESTS ?? 2000)
const IMPORTS = 10

const MINUTE = 60_000
const HOUR = 60 * MINUTE
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
  /** What the peer takes for one client. */
  readonly client: string
  /** What the peer defers until it comes back. */
  readonly triplet: string
  readonly peer: Verdict
  readonly greymx: Verdict
  /** What the peer lets pass from then on. */
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

const SQLGREY_REASONS: Readonly<Record<string, Reason>> = {
  ...COMMON,
  // With greylist.key: [client, sender], an attempt to one recipient counts for all.
  'any recipient': (now, before) =>
    before.some((one) => one.greymxKey === now.greymxKey && one.triplet !== now.triplet),
  'client group': (now, before) =>
    before.some((one) => one.network === now.network && one.client !== now.client),
  'listed network': (now, before) =>
    now.greymx === 'pass' && firstPasses(before, (one) => one.network === now.network) >= 2,
  // sqlgrey lists a domain once two of its senders have come back, greymx once one has from a machine at a provider.
  'listed domain': (now, before, since) => {
    const isNear = (one: Judged) => one.network === now.network
    return now.peer === 'pass'
      ? firstPasses(before, isNear) >= 2
      : since.some((one) => one.greymx === 'pass' && isNear(one))
  },
  "window's end": (now, before) =>
    before.some((one) => one.triplet === now.triplet && isEnd(now.at - one.at)),
}

/** At the end of the delay, sqlgrey defers still, and at the end of the window it lets pass still. */
function isEnd(waited: number): boolean {
  return waited === 5 * MINUTE || waited === DAY
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
    if (one.peer === 'tempfail') waiting.add(one.triplet)
    else if (waiting.delete(one.triplet) && isMeant(one)) count += 1
  }
  return count
}

interface Run {
  readonly attempts: readonly TimedAttempt[]
  readonly reasons: Readonly<Record<string, Reason>>
  /** The peer's verdict on an attempt at a time. */
  readonly ask: (attributes: Readonly<Record<string, string>>, at: number) => Promise<string>
  /** The peer's and greymx's names for an attempt. */
  readonly keysOf: (
    attempt: Attempt,
  ) => Pick<Judged, 'client' | 'triplet' | 'peerKey' | 'greymxKey' | 'importedKey'>
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
      ...keysOf(attempt),
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

function assertExplained(t: TestContext, { counts, unexplained }: Awaited<ReturnType<typeof compare>>): void {
  t.diagnostic([...counts].map(([reason, count]) => `${reason}: ${count}`).join(', '))
  assert.deepEqual(unexplained.slice(0, 3), [])
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  for (const verdict of ['both pass', 'both tempfail'])
    assert.ok((counts.get(verdict) ?? 0) > total / 8, verdict)
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

/** The name of greymx for a client, a sender as it was sent or recorded, and a recipient if it counts. */
function greymxKey({ client }: Attempt, sender: string, recipient: Address | undefined): string {
  const { address } = client
  assert.ok(address)
  const network = formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64))
  const { form } = senderForms(parseAddress(`<${sender}>`), recipient)
  return `${network} ${form} ${recipient?.normal}`
}

test('the pages for both have each reason', () => {
  const page = readFileSync(join(process.cwd(), 'src/import/README.md'), 'utf8')
  for (const [name, reasons] of [
    ['Postgrey', POSTGREY_REASONS],
    ['sqlgrey', SQLGREY_REASONS],
  ] as const) {
    const [, section = ''] = new RegExp(`\\n### ${name}\\n(.*?)\\n### `, 's').exec(page) ?? []
    const named = [...section.matchAll(/\*\*(.+?)\*\*/g)].map(([, reason]) => reason)
    assert.deepEqual(named.sort(), Object.keys(reasons).sort())
  }
})

test('after an import, greymx answers as Postgrey would, but for the reasons of the page', async (t) => {
  const attempts = randomAttempts(REQUESTS, 5, [['192.0.2.1']])
  const dir = await scratch(t)
  const postgrey = await startPostgrey({
    dir,
    clients: '/dev/null', // nobody is on a list
    time: (attempts[0]?.at ?? 0) / 1000,
    isReadable: true,
  })
  const compared = await compare({
    attempts,
    reasons: POSTGREY_REASONS,
    ask(attributes, at) {
      postgrey.setTime(at / 1000)
      return postgrey.ask(attributes)
    },
    keysOf(attempt) {
      const { client, sender, recipient } = attempt
      assert.ok(client.address)
      const peerKey = postgreyKey(client.address, sender.text, recipient?.text ?? '')
      const stored = peerKey.slice(peerKey.indexOf('/') + 1, -(recipient?.text.length ?? 0) - 1)
      return {
        client: client.address.text,
        triplet: peerKey,
        peerKey,
        greymxKey: greymxKey(attempt, sender.text, recipient),
        importedKey: greymxKey(attempt, stored, recipient),
      }
    },
    importNow: async (at) => importedGreymx(POSTGREY_SETTINGS, await readPeer('postgrey', dir, at), at),
  })
  assertExplained(t, compared)
})

test('after an import, greymx answers as sqlgrey would, but for the reasons of the page', async (t) => {
  const attempts = randomAttempts(REQUESTS, 6, [['192.0.2.1']])
  // SQLite waits for the disk with each decision, and here is none.
  const database = join(await mkdtemp('/dev/shm/greymx-'), 'sqlgrey.db')
  t.after(() => rm(dirname(database), { recursive: true }))
  const sqlgrey = await startSqlgrey(await scratch(t), database)
  const settings = await settingsFrom('sqlgrey', [sqlgreySettings])
  const compared = await compare({
    attempts,
    reasons: SQLGREY_REASONS,
    ask: (attributes) => sqlgrey.ask(attributes),
    keysOf(attempt) {
      const request = policyRequest(attempt)
      const { client, sender, recipient } = attempt
      assert.ok(client.address && request)
      const { user, domain, steadyUser } = readSender(request.sender, request.recipient)
      const id = clientIdentifier(client.address, request.clientName)
      const stored = sender.text === '' ? '' : `${steadyUser}@${domain}`
      return {
        client: id,
        triplet: `${id} ${user}@${domain} ${recipient?.normal}`,
        peerKey: `${id} ${steadyUser}@${domain}`,
        greymxKey: greymxKey(attempt, sender.text, undefined),
        importedKey: greymxKey(attempt, stored, undefined),
      }
    },
    importNow: async (at) => importedGreymx(settings, await readPeer('sqlgrey', database, at), at),
  })
  assertExplained(t, compared)
})
