// What a world consists of: the same each time, as large as its file says, and with a DNS that fits its servers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../../src/address.ts'
import { SpfStandings } from '../../../src/identity/spf/standing.ts'
import type { Mail } from '../../../src/simulate/world/mail.ts'
import { Population } from '../../../src/simulate/world/population.ts'
import { makeWorld, type World } from '../../../src/simulate/world/world.ts'
import { sizeOf, worldData } from './support.ts'

const DAY = 86_400_000

/** A message with the clients of its first attempts, as text. */
function told({ mails, classes }: World): string[] {
  return mails.map((mail) => {
    const clients = [0, 1, 2].map((attempt) => clientOf(mail, attempt))
    const parts = clients.map(({ address, name, helo }) => `${address?.text} ${name} ${helo}`)
    const { at, sender, recipient, organisation } = mail
    return [at, classes[mail.classIndex]?.name, organisation, sender, recipient.text, ...parts].join('|')
  })
}

function clientOf({ source, seed }: Mail, attempt: number) {
  return source.pool.clientAt(seed, attempt, source.machine)
}

test('the same seed makes the same world to the letter, and another seed another one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (seed) => {
      const size = sizeOf({ seed, recipients: 8, days: 2 })
      const world = told(makeWorld(worldData(), size))
      assert.deepEqual(world, told(makeWorld(worldData(), size)))
      assert.notDeepEqual(world, told(makeWorld(worldData(), { ...size, seed: seed + 1 })))
    }),
    { numRuns: 3 },
  )
})

test('messages come in the order of time, within the days of the simulation', () => {
  const { mails } = makeWorld(worldData(), sizeOf())
  assert.ok(mails.length > 1000)
  for (const [index, { at }] of mails.entries()) {
    assert.ok(at >= (mails[index - 1]?.at ?? 0) && at < 4 * DAY + DAY / 24, String(at))
  }
})

test('a world has as much of everything as its file says, and grows with recipients and scale', () => {
  const count = ({ mails, classes }: World, kind: string) =>
    mails.filter(({ classIndex }) => classes[classIndex]?.kind === kind).length
  const data = worldData()
  const one = makeWorld(data, sizeOf({ recipients: 60 }))
  assert.equal(
    count(one, 'spam'),
    [...data.bots.values()].reduce((sum, { share }) => {
      const shares = [...data.bots.values()].reduce((all, bot) => all + bot.share, 0)
      return sum + Math.round((data.spam * 60 * 4 * share) / shares)
    }, 0),
  )
  const double = makeWorld(data, sizeOf({ recipients: 60, scale: 2 }))
  assert.ok(Math.abs(double.organisations / one.organisations - 2) < 0.1)
  assert.ok(Math.abs(count(double, 'spam') / count(one, 'spam') - 2) < 0.01)
  const larger = makeWorld(data, sizeOf({ recipients: 240 }))
  assert.ok(Math.abs(larger.organisations / one.organisations - 4 ** 0.7) < 0.2)
  assert.ok(Math.abs(count(larger, 'wanted') / count(one, 'wanted') - 4) < 1)
})

test('an organisation with an SPF record passes from every machine that it sends from', async () => {
  const data = worldData('spf: 1')
  const world = makeWorld(data, sizeOf({ recipients: 60 }))
  const population = new Population(data, sizeOf({ recipients: 60 }))
  const standings = new SpfStandings(
    world.zone.resolver(() => 1),
    () => 1,
  )
  const seen = new Set<string>()
  for (const mail of world.mails) {
    const organisation = population.organisations[mail.organisation]
    const name = world.classes[mail.classIndex]?.name ?? ''
    // Forwarders hand on other people's senders, and bounces have none.
    if (!organisation || organisation.spfTerms.length === 0 || /forward|bounces|callouts/.test(name)) continue
    const { address, helo } = clientOf(mail, mail.at % 7)
    assert.ok(address)
    const { standing } = await standings.of(address, parseAddress(mail.sender), helo, () => true)
    assert.equal(standing, 'pass', `${name}: ${address.text} ${mail.sender}`)
    seen.add(name)
  }
  assert.ok(seen.size > 30, [...seen].join(' '))
})

test('carriers make up envelope domains for each message or by its host', () => {
  const world = makeWorld(worldData(), sizeOf({ recipients: 60 }))
  const shapes: Array<[name: string, shape: RegExp, isByMessage: boolean]> = [
    [
      'newsletters-salesforce',
      /^[a-z0-9.]+=[a-z]+\.example__[a-z0-9]{16}@[a-z0-9]{12}\.a-[a-z0-9]{7}\.na\d\d\.bnc\.salesforce\.example$/,
      true,
    ],
    [
      'newsletters-mailchimp',
      /^bounce-mc\.us\d_\d{6}\.\d{6}-[^@=]+=example\.com@mail\d+\.atl\d\d\.rsgsv\.net$/,
      false,
    ],
    ['newsletters-hubspot', /^1axb[a-z0-9]{20}-[^@]+@bf\d\d\.eu1\.hubspotemail\.example$/, false],
  ]
  for (const [name, shape, isByMessage] of shapes) {
    const senders = world.mails
      .filter(({ classIndex }) => world.classes[classIndex]?.name === name)
      .map(({ sender }) => sender)
    for (const sender of senders) assert.match(sender, shape)
    const domains = new Set(senders.map((sender) => parseAddress(sender).domain))
    assert.ok(isByMessage ? domains.size === senders.length : domains.size > senders.length / 3, name)
  }
})

test('callouts ask as nobody, as double-bounce and as postmaster', () => {
  const { mails, classes } = makeWorld(worldData(), sizeOf({ recipients: 60 }))
  const senders = mails
    .filter(({ classIndex }) => classes[classIndex]?.name === 'callouts')
    .map(({ sender }) => parseAddress(sender).local)
  assert.deepEqual([...new Set(senders)].sort(), ['', 'double-bounce', 'postmaster'])
})

test('a world with fewer SPF records has that part of them, and is the same in all else', () => {
  const size = sizeOf({ recipients: 300, days: 1 })
  const withSpf = (text: string) => {
    const { organisations } = new Population(worldData(text), size)
    return organisations.filter(({ spfTerms }) => spfTerms.length > 0).map(({ domain }) => domain)
  }
  const [all, fewer] = [withSpf(''), withSpf('spf: 0.6')]
  assert.ok(Math.abs(fewer.length / all.length - 0.6) < 0.03, `${fewer.length} of ${all.length}`)
  const known = new Set(all)
  assert.ok(fewer.every((domain) => known.has(domain)))
  assert.deepEqual(told(makeWorld(worldData('spf: 0.6'), size)), told(makeWorld(worldData(), size)))
})

test('spammers with a domain of their own pass SPF, and strangers under made-up or forged domains do not', async () => {
  const world = makeWorld(worldData(), sizeOf({ recipients: 60 }))
  const standings = new SpfStandings(
    world.zone.resolver(() => 1),
    () => 1,
  )
  const found = new Map<string, Set<string>>()
  for (const mail of world.mails) {
    const mailClass = world.classes[mail.classIndex]
    if (mailClass?.kind !== 'spam') continue
    const { address, helo } = clientOf(mail, 0)
    assert.ok(address)
    const { standing } = await standings.of(address, parseAddress(mail.sender), helo, () => true)
    found.set(mailClass.name, (found.get(mailClass.name) ?? new Set()).add(standing))
  }
  for (const name of ['snowshoe-daily', 'snowshoe-fresh', 'snowshoe-mta'])
    assert.deepEqual([...(found.get(name) ?? [])], ['pass'], name)
  for (const name of ['never', 'at-once', 'rented-bots'])
    assert.deepEqual([...(found.get(name) ?? [])], ['none'], name)
  assert.deepEqual([...(found.get('forged') ?? [])].sort(), ['fail', 'none'])
})

test('what comes each day comes from one spammer to one recipient, with the senders that its class says', () => {
  const { mails, classes } = makeWorld(worldData(), sizeOf({ recipients: 60, days: 5 }))
  const of = (name: string) => mails.filter(({ classIndex }) => classes[classIndex]?.name === name)
  const senders = new Map<string, number>()
  for (const { sender, recipient } of of('snowshoe-daily'))
    senders.set(`${sender} ${recipient.text}`, (senders.get(`${sender} ${recipient.text}`) ?? 0) + 1)
  assert.ok([...senders.values()].filter((count) => count >= 5).length > senders.size / 2)
  const daily = of('new-sender-daily')
  const pairs = new Set(daily.map((mail) => `${clientOf(mail, 0).address?.text} ${mail.recipient.text}`))
  assert.ok(pairs.size < daily.length / 3)
  assert.equal(new Set(daily.map(({ sender, at }) => `${sender} ${Math.floor(at / DAY)}`)).size, daily.length)
})

test('a retry comes from the same machine, from its network, or from anywhere in the pool', () => {
  const { mails, classes } = makeWorld(worldData(), sizeOf())
  const networksOf = (name: string) =>
    mails
      .filter(({ classIndex }) => classes[classIndex]?.name === name)
      .map((mail) => {
        const clients = Array.from({ length: 20 }, (_, attempt) => clientOf(mail, attempt))
        const ipv4 = clients.flatMap(({ address }) => (address?.kind === 'ipv4' ? [address] : []))
        const networks = new Set(ipv4.map(({ bytes }) => bytes.slice(0, 3).join('.')))
        return { hosts: new Set(ipv4.map(({ text }) => text)).size, networks: networks.size }
      })
  for (const { hosts } of networksOf('own-postfix')) assert.ok(hosts <= 1)
  for (const { hosts, networks } of networksOf('tenants-google')) assert.ok(hosts > 1 && networks === 1)
  for (const { networks } of networksOf('tenants-microsoft')) assert.ok(networks > 5)
})
