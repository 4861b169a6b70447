// Tests of OneAddressWatch: which outcomes show that all clients have one address, and that no stranger can fake that.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { parseIp } from '../../src/ip.ts'
import { type FoundAddress, OneAddressWatch } from '../../src/log/one-address.ts'
import type { Outcome } from '../../src/outcome.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

function setUp() {
  const clock = { now: 0 }
  const found: FoundAddress[] = []
  const watch = new OneAddressWatch(
    () => clock.now,
    (address) => found.push(address),
  )
  const take = (client: string, sender: string, reason: Outcome['reason'] = 'new') => {
    const address = parseIp(client)
    watch.take({
      attempt: { client: { address }, authenticated: false, sender: parseAddress(sender) },
      verdict: reason === 'new' ? 'tempfail' : 'pass',
      reason,
      waited: 0,
      retryIn: 0,
    })
  }
  const clients = () => found.map(({ client }) => client)
  return { clock, watch, take, found, clients }
}

for (const client of [
  '10.0.0.1',
  '172.18.0.1',
  '172.31.255.254',
  '192.168.65.1',
  '::ffff:172.17.0.1',
  '100.64.0.1',
  '169.254.1.1',
  'fd00::1',
  'fe80::1',
  '127.0.0.1',
  '::1',
]) {
  test(`mail of ten sender domains from ${client} is told of once, and shown for as long as mail comes from there`, () => {
    const { clock, watch, take, found } = setUp()
    for (let domain = 1; domain < 10; domain += 1) take(client, `a@d${domain}.test`)
    for (let local = 1; local < 100; local += 1) take(client, `${local}@d1.test`)
    take(client, '<>')
    assert.deepEqual([found, watch.warnings], [[], []])
    for (let domain = 10; domain < 100; domain += 1) take(client, `a@d${domain}.test`)
    const address = parseIp(client)?.text
    assert.deepEqual(
      found.map((each) => each.client),
      [address],
    )
    assert.ok(
      found[0]?.warning.startsWith(
        `mail of 10 sender domains came from ${address}, which is a private address: `,
      ),
    )
    assert.deepEqual(watch.warnings, [found[0]?.warning])
    clock.now += DAY - 1
    take(client, 'a@d1.test')
    clock.now += DAY - 1
    assert.equal(watch.warnings.length, 1)
    clock.now += 1
    assert.deepEqual(watch.warnings, [])
    take(client, 'a@d1.test')
    assert.deepEqual([watch.warnings.length, found.length], [1, 1])
  })
}

test('addresses next to the private ones are public', () => {
  const { take, clients } = setUp()
  for (const client of [
    '9.255.255.255',
    '172.15.0.1',
    '172.32.0.1',
    '192.167.1.1',
    '100.63.0.1',
    '100.128.0.1',
    'fe00::1',
  ])
    for (let domain = 0; domain < 20; domain += 1) take(client, `a@d${domain}.test`)
  assert.deepEqual(clients(), [])
})

test('a device in the own network that sends for few domains a day is a client', () => {
  const { clock, take, clients } = setUp()
  for (let domain = 0; domain < 100; domain += 1) {
    take('192.168.1.7', `a@d${domain}.test`)
    clock.now += DAY / 9
  }
  assert.deepEqual(clients(), [])
})

test('what is exempt is no evidence', () => {
  const { take, clients } = setUp()
  for (const reason of [
    'authenticated',
    'exempt-client',
    'exempt-sender',
    'exempt-spf',
    'not-greylisted',
  ] as const)
    for (let domain = 0; domain < 300; domain += 1) take('10.0.0.1', `a@d${domain}.test`, reason)
  assert.deepEqual(clients(), [])
})

test('a stranger who makes up domains on a quiet host is a client, however much he sends in less than a day', () => {
  const { clock, take, clients } = setUp()
  for (let count = 0; count < 5000; count += 1) {
    take('198.51.100.7', `a@made-up-${count}.test`)
    clock.now += (DAY - 1) / 5000
  }
  assert.deepEqual(clients(), [])
})

test('nor is he a gateway after days, while others send some of the mail', () => {
  const { clock, take, clients } = setUp()
  for (let count = 0; count < 5000; count += 1) {
    take('198.51.100.7', `a@made-up-${count}.test`)
    if (count % 15 === 0) take(`203.0.113.${count % 200}`, 'a@real.test')
    clock.now += DAY / 500
  }
  assert.deepEqual(clients(), [])
})

test('a public address with nearly all attempts of a day, of fifty domains, is told of', () => {
  const { clock, watch, take, found } = setUp()
  take('203.0.113.9', 'a@other.test')
  for (let count = 0; count < 300; count += 1) {
    take('198.51.100.7', `a@d${count % 50}.test`)
    if (count % 30 === 0) take('203.0.113.9', 'a@other.test')
    clock.now += DAY / 250
  }
  assert.deepEqual(
    found.map(({ client }) => client),
    ['198.51.100.7'],
  )
  assert.match(
    watch.warnings[0] ?? '',
    /^of the last 2\d\d attempts, 2\d\d came from 198\.51\.100\.7, with mail of 50 sender/,
  )
})

test('one sender with few domains has all the mail he likes', () => {
  const { clock, take, clients } = setUp()
  for (let count = 0; count < 3000; count += 1) {
    take('198.51.100.7', `a@d${count % 49}.test`)
    clock.now += DAY / 250
  }
  assert.deepEqual(clients(), [])
})

test('a proxy on loopback, which is exempt by default, is told of where nothing else comes', () => {
  const { clock, take, found } = setUp()
  for (let count = 0; count < 300; count += 1) {
    take('127.0.0.1', `a@d${count}.test`, 'exempt-client')
    clock.now += DAY / 250
  }
  assert.match(
    found[0]?.warning ?? '',
    /which \S+ in exempt\.clients exempts, so that nothing is greylisted; /,
  )
})

test('what is remembered is bounded, and so is what is told', () => {
  const { take, found } = setUp()
  for (let round = 0; round < 30; round += 1) {
    for (let host = 0; host < 65; host += 1) take(`10.0.0.${host}`, `a@d${round}.test`)
  }
  assert.equal(found.length, 0) // 65 addresses take turns, and 64 are watched
  for (let host = 0; host < 65; host += 1)
    for (let domain = 0; domain < 10; domain += 1) take(`10.0.1.${host}`, `a@d${domain}.test`)
  assert.equal(found.length, 5)
})
