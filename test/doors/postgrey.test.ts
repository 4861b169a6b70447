// The migration page for Postgrey: it names all of Postgrey's options, and with its settings the daemon decides as
// Debian's Postgrey does, but for the reasons that the page has. Both go by clocks that the test moves.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Attempt } from '../../src/attempt.ts'
import { checkPostfix } from '../../src/check/postfix.ts'
import { senderForms } from '../../src/greylist/sender.ts'
import { formatNetwork, networkOf } from '../../src/ip.ts'
import { policyRequest } from '../../src/simulate/peers/policy-request.ts'
import { postgreyKey } from '../../src/simulate/peers/postgrey.ts'
import { configOf } from '../check/support.ts'
import { type ListedClient, randomAttempts, type TimedAttempt } from '../simulate/peers/attempts.ts'
import { moveableClock } from '../support/clock.ts'
import { startGreymx } from '../support/greymx.ts'
import { connectPolicy } from '../support/policy.ts'
import { postgreyClients, postgreyRecipients, postgreyRoot, startPostgrey } from '../support/postgrey.ts'
import { scratch } from '../support/scratch.ts'

const PAGE = readFileSync(join(process.cwd(), 'src/doors/postgrey.md'), 'utf8')

/** Requests of a run; `npm run agreement` makes 10,000. */
const REQUESTS = Number(process.env.POSTGREY_REQUESTS ?? 1000)
const SEED = Number(process.env.POSTGREY_SEED ?? 3)

const HOUR = 3_600_000
const DAY = 24 * HOUR
const RETRY_WINDOW = 2 * DAY
const LIFETIME = 35 * DAY
const LISTED_AFTER = 5
/** Waiting triplets that make a network a crowd, and how long they count. */
const CROWD = 4
const CROWD_WINDOW = 2 * DAY

/** Clients at entries of Debian's list, and next to them. */
const LISTED: readonly ListedClient[] = [
  ['192.0.2.1', 'mx.lists.debian.org'],
  ['192.0.2.1', 'notdebian.org'],
  ['192.0.2.3', 'ms-smtp-03.rr.com'],
  ['192.0.2.4', 'viefep15-int.chello.at'],
  ['66.216.126.174'],
  ['195.235.39.7'],
  ['2a01:4180:4051:0800::25'],
  ['2a01:4180:4051:0801::25'],
]

type Verdict = 'pass' | 'tempfail'

/** A request with what both have decided, and the names of what each of them takes for one triplet. */
interface Judged {
  /** The number of requests before it. */
  readonly index: number
  readonly at: number
  readonly address: string
  readonly network: string
  /** The network that may be a crowd. */
  readonly crowd: string
  readonly recipient: string
  readonly keys: { readonly postgrey: string; readonly greymx: string }
  readonly postgrey: Verdict
  readonly greymx: Verdict
}

type Side = 'postgrey' | 'greymx'

/** The reasons of the page: whether each explains a difference, by the request and those before it. */
const REASONS: Readonly<Record<string, (now: Judged, before: readonly Judged[]) => boolean>> = {
  'bare recipient': ({ recipient, postgrey }) => !recipient.includes('@') && postgrey === 'tempfail',
  'sender form': ({ keys }, before) =>
    before.some((one) => (one.keys.postgrey === keys.postgrey) !== (one.keys.greymx === keys.greymx)),
  crowd: (now, before) =>
    now.greymx === 'tempfail' &&
    [now, ...sameTriplet(now, before, 'greymx')].some((one) => waitingBefore(one, before) >= CROWD),
  "window's end": (now, before) =>
    now.postgrey === 'pass' &&
    sameTriplet(now, before, 'postgrey').some(({ at }) => now.at - at === RETRY_WINDOW),
  'listed address': (now, before) =>
    now.postgrey === 'pass' &&
    now.greymx === 'tempfail' &&
    firstPasses(before, 'postgrey', ({ address }) => address === now.address) >= LISTED_AFTER,
  'listed network': (now, before) =>
    now.greymx === 'pass' &&
    now.postgrey === 'tempfail' &&
    firstPasses(before, 'greymx', ({ network }) => network === now.network) >= LISTED_AFTER,
  'late cleaning': (now, before) => {
    const last = sameTriplet(now, before, 'postgrey').at(-1)
    return now.postgrey === 'pass' && last !== undefined && now.at - last.at > LIFETIME - HOUR
  },
  'earlier difference': (now, before) =>
    before.some(
      (one) =>
        one.postgrey !== one.greymx &&
        (one.keys.postgrey === now.keys.postgrey || one.keys.greymx === now.keys.greymx),
    ),
}

function sameTriplet(now: Judged, before: readonly Judged[], side: Side): Judged[] {
  return before.filter(({ keys }) => keys[side] === now.keys[side])
}

/** The number of triplets of its network that greymx had deferred lately, and that had not come back. */
function waitingBefore(now: Judged, before: readonly Judged[]): number {
  const waiting = new Set<string>()
  for (const { at, crowd, keys, greymx } of before.slice(0, now.index)) {
    if (crowd !== now.crowd || now.at - at > CROWD_WINDOW) continue
    if (greymx === 'tempfail') waiting.add(keys.greymx)
    else waiting.delete(keys.greymx)
  }
  return waiting.size
}

/** The number of triplets that have passed after a deferral, with requests of a client, an hour apart. */
function firstPasses(before: readonly Judged[], side: Side, isOfClient: (one: Judged) => boolean): number {
  const deferred = new Set<string>()
  let count = 0
  let last = Number.NEGATIVE_INFINITY
  for (const one of before) {
    const { at, keys, [side]: verdict } = one
    if (verdict === 'tempfail') deferred.add(keys[side])
    else if (deferred.delete(keys[side]) && isOfClient(one) && at - last >= HOUR) {
      count += 1
      last = at
    }
  }
  return count
}

function judged(index: number, { attempt, at }: TimedAttempt, postgrey: Verdict, greymx: Verdict): Judged {
  const { client, sender, recipient } = attempt
  const { address } = client
  const request = policyRequest(attempt)
  assert.ok(address && request && recipient)
  const isIpv4 = address.kind === 'ipv4'
  const network = formatNetwork(networkOf(address, isIpv4 ? 24 : 64))
  return {
    index,
    at,
    address: address.text,
    network,
    crowd: formatNetwork(networkOf(address, isIpv4 ? 24 : 48)),
    recipient: request.recipient,
    keys: {
      postgrey: postgreyKey(address, request.sender, request.recipient),
      greymx: [network, senderForms(sender, recipient).form, recipient.normal].join(' '),
    },
    postgrey,
    greymx,
  }
}

test('the page has a line for each option that Postgrey takes, and a reason for each that the test knows', () => {
  const program = readFileSync(join(postgreyRoot, 'usr/sbin/postgrey'), 'latin1')
  const [, list = ''] = /GetOptions\(\\%opt,(.*?)\) or exit/s.exec(program) ?? []
  const options = [...list.matchAll(/'([^']+)'/g)].flatMap(([, option = '']) =>
    option.replace(/[:=].*$/, '').split('|'),
  )
  assert.ok(options.length > 30, options.join())
  const missing = options.filter((name) => !new RegExp(`\`-{1,2}${name}[\`=]`).test(PAGE))
  assert.deepEqual(missing, [])
  const reasons = [...PAGE.matchAll(/^- \*\*(.+?)\*\*:/gm)].map(([, name]) => name)
  assert.deepEqual(reasons.sort(), Object.keys(REASONS).sort())
})

test("greymx check has nothing to say of the page's lines for main.cf", () => {
  const [, mainCf = ''] = /^## main\.cf\n.*?\n\n((?: {4}.*\n)+)/ms.exec(PAGE) ?? []
  const files = { mainCf: mainCf.replace(/^ {4}/gm, '') }
  assert.match(mainCf, /smtpd_recipient_restrictions = .*check_policy_service.*smtpd_data_restrictions =/s)
  assert.deepEqual(checkPostfix(files, configOf('listen_policy: inet:10023@127.0.0.1')), [])
})

test('greymx decides as Postgrey, with the settings of the page, but for its reasons', {
  timeout: 1_200_000,
}, async (t) => {
  const attempts = randomAttempts(REQUESTS, SEED, LISTED)
  const start = attempts[0]?.at ?? 0
  const { askPostgrey, askGreymx } = await startBoth(t, start)
  const before: Judged[] = []
  const counts = new Map<string, number>()
  const unexplained: string[] = []
  for (const timed of attempts) {
    const attributes = attributesOf(timed.attempt)
    const postgrey = verdictOf(await askPostgrey(attributes, timed.at))
    const greymx = verdictOf(await askGreymx(attributes, timed.at))
    const now = judged(before.length, timed, postgrey, greymx)
    const reason = postgrey === greymx ? 'none' : reasonFor(now, before)
    counts.set(reason ?? 'unexplained', (counts.get(reason ?? 'unexplained') ?? 0) + 1)
    if (reason === undefined) unexplained.push(history(now, before))
    before.push(now)
  }
  t.diagnostic([...counts].map(([reason, count]) => `${reason}: ${count}`).join(', '))
  assert.deepEqual(unexplained.slice(0, 3), [])
  const verdicts = before.map(({ postgrey }) => postgrey)
  for (const verdict of ['pass', 'tempfail'])
    assert.ok(verdicts.filter((one) => one === verdict).length > attempts.length / 5, verdict)
})

function reasonFor(now: Judged, before: readonly Judged[]): string | undefined {
  return Object.entries(REASONS).find(([, explains]) => explains(now, before))?.[0]
}

/** Starts both, each with a clock that shows the time of the request that it is asked. */
async function startBoth(t: TestContext, start: number) {
  const dir = await scratch(t)
  const postgrey = await startPostgrey({ dir, time: start / 1000 })
  const clock = moveableClock(dir)
  const path = join(dir, 'policy.sock')
  const [, settings = ''] = /```yaml\n(.*?)```/s.exec(PAGE) ?? []
  const own = settings
    .replace(/^listen_policy: .*$/m, `listen_policy: unix:${path}`)
    .replace('/etc/postgrey/whitelist_clients', postgreyClients)
    .replace('/etc/postgrey/whitelist_recipients', postgreyRecipients)
  assert.ok(own.includes(postgreyClients) && own.includes(postgreyRecipients) && own.includes(path))
  await startGreymx({ dir, settings: `store: "memory:"\nlog: { level: warn }\n${own}`, clock })
  const greymx = await connectPolicy(dir, path)
  return {
    askPostgrey(attributes: Readonly<Record<string, string>>, at: number) {
      postgrey.setTime(at / 1000)
      return postgrey.ask({ ...attributes, policy_test_time: `${at / 1000}` })
    },
    askGreymx(attributes: Readonly<Record<string, string>>, at: number) {
      clock.moveTo(at - start)
      return greymx.ask(attributes)
    },
  }
}

function attributesOf(attempt: Attempt): Record<string, string> {
  const request = policyRequest(attempt)
  assert.ok(request)
  const { clientAddress: client_address, clientName: client_name, sender, recipient } = request
  return { protocol_state: 'RCPT', client_address, client_name, sender, recipient, etrn_domain: '' }
}

function verdictOf(action: string): Verdict {
  if (/^DEFER_IF_PERMIT 4\.2\.0 Greylisted, see /.test(action)) return 'tempfail'
  assert.match(action, /^(DUNNO$|PREPEND X-Greylist: )/)
  return 'pass'
}

/** The request, and the latest before it from its network, one a line. */
function history(now: Judged, before: readonly Judged[]): string {
  return [...before.filter(({ crowd }) => crowd === now.crowd).slice(-25), now]
    .map(({ at, address, keys, postgrey, greymx }) =>
      JSON.stringify({
        before: `${((now.at - at) / HOUR).toFixed(3)} h`,
        address,
        ...keys,
        verdicts: `${postgrey} ${greymx}`,
      }),
    )
    .join('\n')
}
