// Whatever strangers in one network do, it opens no door to anybody in another one, and closes none to who is proven.
// Attempts, domains, host names and times are drawn at random; the memory store and a clock are moved by the test.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createGreylister, type Greylister } from '../../src/greylist/greylister.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A client as its names make it. */
interface Names {
  readonly address: string
  /** The domain of its host's name. */
  readonly host?: string | undefined
  readonly isMail?: boolean
  /** The domain of its host's name, if that tells nothing else. */
  readonly provider?: string | undefined
  /** Whether SPF passes for the sender's domain. */
  readonly passes?: boolean
  readonly sender: string
  readonly recipient?: string
}

const HOSTER = 'hoster.test'

/** An attempt of a stranger, who has one network, some domains, and the host names that its provider gives. */
const strange = fc.record({
  address: fc.integer({ min: 0, max: 255 }).map((last) => `192.0.2.${last}`),
  host: fc.constantFrom(undefined, HOSTER, 'own.test', 'proven.test'),
  isMail: fc.boolean(),
  provider: fc.constantFrom(undefined, HOSTER),
  passes: fc.boolean(),
  sender: fc
    .tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.constantFrom('own.test', 'other.test', 'third.test', 'victim.test'),
    )
    .map(([user, domain]) => `${user}@${domain}`),
  recipient: fc.constantFrom('u@example.com', 'v@example.com'),
  /** Time until the next one. */
  pause: fc.constantFrom(0, MINUTE, 4 * MINUTE, HOUR, 13 * HOUR),
})

function identityOf({ address, host, isMail = false, provider, passes = false, sender }: Names): Identity {
  const client = parseIp(address)
  assert.ok(client)
  const domain = sender.slice(sender.indexOf('@') + 1)
  // Nobody but its owner has a domain's record pass, or gives a name in it that leads back to the address.
  const isOwn = (name: string) =>
    !['victim.test', 'proven.test'].includes(name) || !address.startsWith('192.0.2.')
  const spf = passes && isOwn(domain) ? 'pass' : 'none'
  const named = host !== undefined && isOwn(host) ? { domain: host, isMail } : undefined
  const network = `network:${formatNetwork(networkOf(client, 24))}`
  const names = [
    ...(spf === 'pass' ? [`spf:${domain}`] : []),
    ...(named ? [`host:${named.domain}`] : []),
    network,
  ]
  return {
    id: names[0] ?? network,
    names,
    carriers: [],
    network,
    spf,
    host: named,
    provider: named ? undefined : provider,
    isNamed: named !== undefined,
  }
}

function setUp() {
  const clock = { now: 1 }
  const loaded = parseConfig('milter.yaml', '')
  assert.ok(loaded.kind === 'config')
  let identity: Identity | undefined
  const greylister: Greylister = createGreylister({
    settings: loaded.config.greylist,
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store: new MemoryStore(() => clock.now) },
  })
  const attempt = (names: Names): Promise<Outcome> => {
    identity = identityOf(names)
    const { address, sender, recipient = 'u@example.com' } = names
    return greylister.judge({
      client: { address: parseIp(address) },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: parseAddress(recipient),
    })
  }
  return { clock, attempt }
}

const PROVEN: Names = { address: '203.0.113.7', host: 'proven.test', isMail: true, sender: 'a@proven.test' }

test('strangers of one network let no stranger of another one in, and make nobody wait who is proven', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(strange, { minLength: 1, maxLength: 60 }), async (attempts) => {
      const { clock, attempt } = setUp()
      await attempt(PROVEN)
      clock.now += 5 * MINUTE
      assert.equal((await attempt(PROVEN)).reason, 'retry')
      for (const { pause, ...names } of attempts) {
        await attempt(names)
        clock.now += pause
      }
      const proven = await attempt({ ...PROVEN, sender: 'new@proven.test', recipient: 'w@example.com' })
      assert.equal(proven.reason, 'auto-whitelist')
      // Neighbours at the same hoster, and one without a name, who forge what the strangers have earned. A triplet that the
      // strangers have begun under the hoster's name would be known, as a retry from a sister host is.
      for (const names of [
        { address: '198.51.100.1', host: HOSTER, isMail: true, sender: 'a@late.test' },
        { address: '198.51.101.2', host: HOSTER, sender: 'x@own.test' },
        { address: '198.51.102.3', sender: 'a@own.test' },
        { address: '198.51.103.4', provider: HOSTER, sender: 'x@own.test' },
      ]) {
        const { verdict, retryIn } = await attempt(names)
        assert.deepEqual([verdict, retryIn], ['tempfail', 3 * MINUTE], JSON.stringify(names))
        clock.now += MINUTE
      }
    }),
    { numRuns: 300 },
  )
})
