// Tests of createHostLookup(): who is asked for a host's addresses, for how long, and whose answer counts.

import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { mock, type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createHostLookup } from '../../../src/store/redis/host-addresses.ts'

const OLD: LookupAddress[] = [{ address: '192.0.2.1', family: 4 }]
const NEW: LookupAddress[] = [
  { address: '2001:db8::2', family: 6 },
  { address: '192.0.2.2', family: 4 },
]

/** A question that the test answers. */
interface Question {
  readonly host: string
  answer(found: LookupAddress[]): void
  fail(code: string): void
}

interface Bench {
  /** Questions to the system so far; `dns` has those to DNS. */
  readonly system: Question[]
  readonly dns: Question[]
  /** The addresses that a connection gets that begins now. */
  lookup(host?: string): Promise<LookupAddress[]>
  /** The address that a connection gets that asks for one only. */
  lookupOne(host: string): Promise<LookupAddress>
  advance(milliseconds: number): Promise<void>
}

function setUp(t: TestContext): Bench {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const [system, dns]: [Question[], Question[]] = [[], []]
  const noting = (questions: Question[]) => (host: string) =>
    new Promise<LookupAddress[]>((answer, reject) => {
      const fail = (code: string) => reject(Object.assign(new Error(`${code} ${host}`), { code }))
      questions.push({ host, answer, fail })
    })
  const lookup = createHostLookup(noting(system), noting(dns))
  return {
    system,
    dns,
    lookup: (host = 'redis') =>
      new Promise((resolve, reject) => {
        lookup(host, { all: true }, (error, found) => {
          if (error) reject(error)
          else resolve(found as LookupAddress[]) // the caller has asked for all addresses
        })
      }),
    lookupOne: (host) =>
      new Promise((resolve, reject) => {
        lookup(host, {}, (error, address, family = 0) => {
          if (error) reject(error)
          else resolve({ address: String(address), family })
        })
      }),
    async advance(milliseconds) {
      mock.timers.tick(milliseconds)
      await nextTurn()
    },
  }
}

/** Lets the system answer `OLD` for a host. */
async function findOld({ lookup, system }: Bench): Promise<void> {
  const found = lookup()
  system.at(-1)?.answer(OLD)
  assert.deepEqual(await found, OLD)
}

test('a system that answers is all that is asked, and gives all addresses, or the first with its family', async (t) => {
  const { lookup, lookupOne, system, dns, advance } = setUp(t)
  const [all, one] = [lookup(), lookupOne('redis')]
  await advance(199)
  system[0]?.answer(NEW)
  assert.deepEqual(await all, NEW)
  assert.deepEqual(await one, NEW[0])
  await advance(1000)
  assert.deepEqual(dns, [])
})

test('of a system that owes an answer nobody asks again for the same host, and DNS is asked anew each time', async (t) => {
  const { lookup, system, dns, advance } = setUp(t)
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    const found = assert.rejects(lookup())
    await advance(600)
    await found
    assert.deepEqual([system.length, dns.length], [1, attempt])
  }
  const other = lookup('other')
  assert.deepEqual(
    system.map(({ host }) => host),
    ['redis', 'other'],
  )
  system[1]?.answer(OLD)
  await other
  system[0]?.fail('EAI_AGAIN')
  await nextTurn()
  const again = lookup()
  system[2]?.answer(NEW)
  assert.deepEqual(await again, NEW)
})

test('DNS is asked after 200 ms, and at once where the system is known to be late', async (t) => {
  const { lookup, dns, advance } = setUp(t)
  const first = lookup()
  await advance(199)
  assert.equal(dns.length, 0)
  await advance(1)
  assert.equal(dns.length, 1)
  const second = lookup()
  await advance(1)
  assert.equal(dns.length, 2)
  for (const question of dns) question.answer(NEW)
  assert.deepEqual(await Promise.all([first, second]), [NEW, NEW])
})

test('what DNS does not know, the system may', async (t) => {
  const { lookup, system, dns, advance } = setUp(t)
  const found = lookup()
  await advance(200)
  dns[0]?.fail('ENOTFOUND')
  await advance(399)
  system[0]?.answer(NEW)
  assert.deepEqual(await found, NEW)
})

test('where nobody answers within 600 ms, the addresses last found are the answer', async (t) => {
  const bench = setUp(t)
  const { lookup, dns, advance } = bench
  await findOld(bench)
  const found = lookup()
  let answer: LookupAddress[] | undefined
  void found.then((addresses) => {
    answer = addresses
  })
  await advance(200)
  dns[0]?.fail('ETIMEOUT')
  await advance(399)
  assert.equal(answer, undefined)
  await advance(1)
  assert.deepEqual(answer, OLD)
})

test('the addresses last found are also those that came too late for the attempt that asked', async (t) => {
  for (const asked of ['system', 'dns'] as const) {
    await t.test(asked, async (t) => {
      const bench = setUp(t)
      const { lookup, advance } = bench
      await findOld(bench)
      const missed = lookup()
      await advance(200)
      await advance(400)
      assert.deepEqual(await missed, OLD)
      bench[asked].at(-1)?.answer(NEW)
      await nextTurn()
      const found = lookup()
      await advance(600)
      assert.deepEqual(await found, NEW)
    })
  }
})

test('a system that fails is made up for by what was last found, unless there is no such host', async (t) => {
  const bench = setUp(t)
  const { lookup, system } = bench
  await findOld(bench)
  const temporarily = lookup()
  system.at(-1)?.fail('EAI_AGAIN')
  assert.deepEqual(await temporarily, OLD)
  const unknown = lookup()
  system.at(-1)?.fail('ENOTFOUND')
  await assert.rejects(unknown, { message: 'ENOTFOUND redis', code: 'ENOTFOUND' })
})

test('a host that was never found is named', async (t) => {
  const { lookup, system, advance } = setUp(t)
  const late = assert.rejects(lookup(), { message: 'cannot look up redis: no answer within 600ms' })
  await advance(600)
  await late
  const failed = assert.rejects(lookup(), { message: 'EAI_AGAIN redis' })
  system[0]?.fail('EAI_AGAIN')
  await failed
})
