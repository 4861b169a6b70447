// Tests of a client's identity, with a real DNS server: SPF domain, host domain or network, in this order.

import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { Dns } from '../../src/dns.ts'
import { createIdentify, type Identity, type IdentitySettings } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'
import { startDns } from '../support/dns.ts'
import { scratch } from '../support/scratch.ts'

const dir = await scratch({ after })
const server = await startDns({
  dir,
  zones: {
    test: `
      sender TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
      open   TXT "v=spf1 +all"
      customer TXT "v=spf1 include:sender.test -all"
      loop   TXT "v=spf1 include:loop.test -all"
      nospf  TXT "hello"
      deep.made-up.sender TXT "v=spf1 include:sender.test -all"
      named  TXT "v=spf1 -exists:%{l}.%{ir}.blocked.test ip4:192.0.2.0/24 -all"
      jim.7.2.0.192.blocked A 127.0.0.2
      exists TXT "v=spf1 exists:exists.test ptr -all"
      exists A   127.0.0.2
      mistake TXT "v=spf1 ip4:192.0.2.7 all:x"`,
  },
})

const SETTINGS: IdentitySettings = {
  spfDomain: true,
  hostDomain: true,
  asksSpf: true,
  ipv4Prefix: 24,
  ipv6Prefix: 64,
}

function open(t: TestContext, settings: Partial<IdentitySettings> = {}, servers = [server.server]) {
  const dns = new Dns({ servers }, { onSilent() {}, onAnswering() {} })
  t.after(() => dns.close())
  const identify = createIdentify({ ...SETTINGS, ...settings }, dns)
  return async (
    sender: string,
    address: string,
    name?: string,
    helo?: string,
  ): Promise<Identity | undefined> =>
    identify({ address: parseIp(address), name, helo }, parseAddress(sender), () => true)
}

test('carriers are those of a domain that may stand for its clients, and nobody’s otherwise', async (t) => {
  for (const [spfDomain, carriers] of [
    [true, ['sender.test']],
    [false, []],
  ] as const) {
    const identity = await open(t, { spfDomain })('a@customer.test', '192.0.2.7')
    assert.deepEqual([identity?.spf, identity?.carriers], ['pass', carriers])
  }
})

test('the sender’s domain comes first, then the host’s, then the network', async (t) => {
  const identify = open(t)
  const cases: Array<[args: [string, string, (string | undefined)?, string?], id: string]> = [
    [['a@sender.test', '192.0.2.7', 'mx.host.test'], 'spf:sender.test'],
    [['a@SENDER.test', '2001:db8:7::1'], 'spf:sender.test'],
    [['a@sender.test', '198.51.100.7', 'mx.host.test'], 'host:host.test'],
    [['a@sender.test', '198.51.100.7', 'dsl-198-51-100-7.host.test'], 'network:198.51.100.0/24'],
    [['a@sender.test', '198.51.100.7'], 'network:198.51.100.0/24'],
    [['a@nospf.test', '2001:db8:1:2:3::4'], 'network:2001:db8:1:2::/64'],
    [['a@open.test', '192.0.2.7'], 'network:192.0.2.0/24'],
    [['a@loop.test', '192.0.2.7'], 'network:192.0.2.0/24'],
    [['<>', '192.0.2.7', undefined, 'sender.test'], 'spf:sender.test'],
    [['<>', '198.51.100.7', undefined, 'sender.test'], 'network:198.51.100.0/24'],
    [['<>', '192.0.2.7', undefined, '[192.0.2.7]'], 'network:192.0.2.0/24'],
    [['<>', '192.0.2.7'], 'network:192.0.2.0/24'],
    [['a@other.test', '192.0.2.7', undefined, 'sender.test'], 'network:192.0.2.0/24'],
    [['postmaster', '192.0.2.7', undefined, 'sender.test'], 'network:192.0.2.0/24'],
    [['a@[192.0.2.7]', '192.0.2.7'], 'network:192.0.2.0/24'],
    [['a@b|c\\d.test', '192.0.2.7'], 'network:192.0.2.0/24'],
  ]
  for (const [args, id] of cases) {
    const identity = await identify(...args)
    assert.equal(identity?.id, id, args.join(' '))
    assert.equal(identity?.spfDomain, id.startsWith('spf:') ? 'sender.test' : undefined)
    assert.match(identity?.network ?? '', /^network:/)
    // The second answer comes from the cache.
    assert.deepEqual(await identify(...args), identity)
  }
  assert.equal(await identify('a@sender.test', 'none'), undefined)
})

// Regression: each of these was answered without DNS, or for one sender alone, and was then cached for the whole
// domain, the first two until the process ended.
test('an answer for one sender, or for a HELO name that is none, is not remembered of other senders', async (t) => {
  const cases: Array<[first: [string, string, undefined?, string?], id: RegExp, then: string]> = [
    [['"a@b"@sender.test', '192.0.2.7'], /^spf:/, 'a@sender.test'],
    [['<>', '198.51.100.7', undefined, 'sender.test 192.0.2.7'], /^network:/, 'a@sender.test'],
    [[`${'a'.repeat(512)}@sender.test`, '192.0.2.7'], /^spf:/, 'a@sender.test'],
    [['jim@named.test', '192.0.2.7'], /^network:/, 'joe@named.test'],
  ]
  for (const [first, id, then] of cases) {
    const identify = open(t)
    assert.match((await identify(...first))?.id ?? '', id, first.join(' '))
    assert.match((await identify(then, '192.0.2.7'))?.id ?? '', /^spf:/, first.join(' '))
  }
})

test('all names that are true of a client are told, and the domain that SPF vouches for is the registered one', async (t) => {
  const identify = open(t)
  const namesOf = async (...args: Parameters<typeof identify>) => (await identify(...args))?.names
  assert.deepEqual(await namesOf('a@sender.test', '192.0.2.7', 'mx.host.test'), [
    'spf:sender.test',
    'host:host.test',
    'network:192.0.2.0/24',
  ])
  assert.deepEqual(await namesOf('a@deep.made-up.sender.test', '192.0.2.7'), [
    'spf:sender.test',
    'network:192.0.2.0/24',
  ])
  assert.deepEqual(await namesOf('a@other.test', '192.0.2.7', 'mx.host.test'), [
    'host:host.test',
    'network:192.0.2.0/24',
  ])
  assert.deepEqual(await namesOf('a@other.test', '2001:db8:7::1'), ['network:2001:db8:7::/64'])
})

test('each kind of identity can be turned off, and an SPF pass is known all the same where it is asked for', async (t) => {
  const withoutSpf = open(t, { spfDomain: false })
  const { id, spfDomain } = (await withoutSpf('a@sender.test', '192.0.2.7', 'mx.host.test')) ?? {}
  assert.deepEqual([id, spfDomain], ['host:host.test', 'sender.test'])
  const networkOnly = open(t, { spfDomain: false, asksSpf: false, hostDomain: false, ipv4Prefix: 16 })
  assert.deepEqual(await networkOnly('a@sender.test', '192.0.2.7', 'mx.host.test'), {
    id: 'network:192.0.0.0/16',
    names: ['network:192.0.0.0/16'],
    carriers: [],
    network: 'network:192.0.0.0/16',
    spf: 'unasked',
    spfDomain: undefined,
    host: { domain: 'host.test', isMail: true },
    isNamed: true,
  })
})

test('how a client stands to the sender’s domain is told apart', async (t) => {
  const identify = open(t)
  for (const [sender, address, spf] of [
    ['a@sender.test', '192.0.2.7', 'pass'],
    ['a@sender.test', '198.51.100.7', 'fail'],
    ['a@mistake.test', '192.0.2.7', 'fail'],
    ['a@open.test', '192.0.2.7', 'open'],
    ['a@exists.test', '192.0.2.7', 'open'],
    ['a@nospf.test', '192.0.2.7', 'none'],
    ['a@elsewhere.example', '192.0.2.7', 'unknown'],
    ['a@localhost', '192.0.2.7', 'unknown'],
  ] as const) {
    for (const _ of ['asked', 'cached']) assert.equal((await identify(sender, address))?.spf, spf, sender)
  }
})

test('a confirmed name of a numbered machine tells the provider, unless host names are turned off', async (t) => {
  const [identify, withoutHosts] = [open(t), open(t, { hostDomain: false })]
  for (const [name, provider] of [
    ['web13.hoster.test', 'hoster.test'],
    ['s3.dc2.hoster.test', 'hoster.test'],
    ['web13.pool.hoster.test', undefined],
    ['cablemodem13.hoster.test', undefined],
    ['dsl-198-51-100-7.host.test', undefined],
    ['ip7-100-51-198.host.test', undefined],
    ['mx.host.test', undefined],
    ['com', undefined],
    [undefined, undefined],
  ] as const) {
    const identity = await identify('a@nospf.test', '198.51.100.7', name)
    assert.equal(identity?.provider, provider, name)
    assert.equal((await withoutHosts('a@nospf.test', '198.51.100.7', name))?.provider, undefined, name)
  }
})

test('a client is named when its name tells of its owner', async (t) => {
  const identify = open(t)
  for (const [name, isNamed] of [
    ['mx.host.test', true],
    ['dsl-198-51-100-7.host.test', false],
    [undefined, false],
  ] as const) {
    assert.equal((await identify('a@nospf.test', '198.51.100.7', name))?.isNamed, isNamed)
  }
})

test('without DNS the host and the network are left', async (t) => {
  const identify = open(t, {}, ['127.0.0.1:1'])
  assert.equal((await identify('a@sender.test', '192.0.2.7', 'mx.host.test'))?.id, 'host:host.test')
  assert.equal((await identify('a@sender.test', '192.0.2.7'))?.id, 'network:192.0.2.0/24')
})
