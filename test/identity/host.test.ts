// Host names of clients: those that providers give to the lines of their customers, and those that somebody chose.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readHostName } from '../../src/identity/host.ts'
import { type IpAddress, parseIp } from '../../src/ip.ts'

function ip(text: string): IpAddress {
  const address = parseIp(text)
  assert.ok(address, text)
  return address
}

function looksDynamic(name: string, address: IpAddress): boolean {
  return readHostName(name, address).isDynamic
}

/** What stands for a client of that name. */
function hostDomain(name: string, address: IpAddress): string | undefined {
  const { isDynamic, domain } = readHostName(name, address)
  return isDynamic ? undefined : domain
}

test('names that spell their address look dynamic', () => {
  const cases: Array<[address: string, ...names: string[]]> = [
    // Comcast, Verizon, Deutsche Telekom, Amazon EC2, OVH, Scaleway, Hetzner.
    ['24.62.201.179', 'c-24-62-201-179.hsd1.ma.comcast.net'],
    ['173.48.82.229', 'pool-173-48-82-229.bstnma.fios.verizon.net'],
    ['87.138.219.28', 'p578adb1c.dip0.t-ipconnect.de'],
    ['91.61.42.55', 'p5b3d2a37.dip0.t-ipconnect.de'],
    ['217.83.3.206', 'pd95303ce.dip0.t-ipconnect.de'],
    ['44.216.146.152', 'ec2-44-216-146-152.compute-1.amazonaws.com'],
    ['1.2.3.123', 'ip123.ip-1-2-3.eu'],
    ['51.68.10.7', 'ip7.ip-51-68-10.eu', 'vps-7.ip-51-68-10.net'],
    ['62.210.214.84', '62-210-214-84.rev.poneytelecom.eu'],
    ['198.51.100.7', 'static.7.100.51.198.clients.your-server.de'],
    ['5.75.144.95', 'static.95.144.75.5.clients.your-server.de'],
    ['213.239.205.147', '213-239-205-147.clients.your-server.de'],
    // Mailers that spell half of theirs: dynamic by the rule, so their network stands for them.
    ['54.240.8.52', 'a8-52.smtp-out.amazonses.com'],
    ['69.72.43.7', 'm43-7.mailgun.net'],
    ['159.135.228.13', 'm228-13.mailgun.net'],
    ['198.2.136.64', 'mail136-64.atl31.rsgsv.net'],
    // Every separator, both orders, halves.
    [
      '198.51.100.7',
      'h198.51.100.7.example.net',
      'h198_51_100_7.example.net',
      'h198--51--100--7.example.net',
      'h198x51x100x7.example.net',
      'h-198-51.example.net',
      'h-51-100.example.net',
      'h100-7.example.net',
      'h7-100.example.net',
      'h51-198.example.net',
      '7.100.51.198.example.net',
      'h-198-51-x.pop3.example.net',
      'h-198-051-100-007.example.net',
      'h198051100007.example.net',
      'h007100051198.example.net',
      'h100007.example.net',
      'h-198051-x.example.net',
    ],
    ['192.0.12.34', 'h012034.example.net', 'h034012.example.net'],
    [
      '198.51.100.7',
      'c6336407.example.net',
      'hc6336407x.example.net',
      'c6-33-64-07.example.net',
      '076433c6.example.net',
      'h-6407.example.net',
      'c633.example.net',
      '33c6.example.net',
      '0764.example.net',
    ],
    // IPv6: all digits, half of them, reversed; groups.
    ['2003:ec:2f0b:a600:78cb:af9a:215c:2e9d', 'p200300ec2f0ba60078cbaf9a215c2e9d.dip0.t-ipconnect.de'],
    [
      '2001:db8:1:2:3:4:5:6',
      '2001-db8-1-2-3-4-5-6.example.net',
      '2001-0db8-0001-0002-0003-0004-0005-0006.example.net',
      '2001-db8-1-2.example.net',
      'h.2001.db8.1.2.example.net',
      'x-2-1-db8-2001.example.net',
      'h20010db800010002.example.net',
      'h0003000400050006.example.net',
      '2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.example.net',
      '6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.example.net',
    ],
    ['2001:db8::7', '2001-db8--7.example.net', 'h2001-db8--7.example.net', '2001-db8-0-0.example.net'],
  ]
  for (const [address, ...names] of cases) {
    for (const name of names) {
      assert.equal(looksDynamic(name, ip(address)), true, `${name} [${address}]`)
      assert.equal(hostDomain(name, ip(address)), undefined, `${name} [${address}]`)
    }
  }
})

test('names with a word for lines or pools below their domain look dynamic', () => {
  const names = [
    'dsl12.example.net',
    'adsl.example.net',
    'vdsl-b.example.net',
    'host.xdsl.example.net',
    'x7.dyn.example.net',
    'p1.dynamic.example.net',
    'dynip4.example.net',
    'pool-4.example.net',
    'a.pool.b.example.net',
    'dial7.example.net',
    'dialup.example.net',
    'dialin3.pop.example.net',
    'ppp17.example.net',
    'pppoe-a.example.net',
    'host_dhcp_3.example.net',
    'cable1.example.net',
    'catv.example.net',
    'x.cust.example.net',
    'customer-9.example.net',
    'client5.example.net',
    'broadband.example.net',
    'a.ftth.example.net',
    'a.fttx.example.net',
    'wireless.example.net',
    'wifi9.example.net',
    'mobile.example.net',
    'a-gprs.example.net',
    'a.3g.example.net',
    'a-4g-7.example.net',
    '5g.example.net',
    'lte2.example.net',
    'cpe-1.example.net',
    'a.res.example.net',
    'residential.example.net',
    'home7.example.net',
    'user.example.net',
    'unused.example.net',
    'unassigned.example.net',
    'mail.home.example.co.uk',
  ]
  for (const name of names) {
    assert.equal(looksDynamic(name, ip('203.0.113.99')), true, name)
    assert.equal(looksDynamic(name, ip('2001:db8::99')), true, name)
    assert.equal(hostDomain(name, ip('203.0.113.99')), undefined, name)
  }
})

test('hostDomain() gives the registrable domain of a name that somebody chose', () => {
  const cases: Array<[name: string, address: string, domain: string]> = [
    // Gmail, Outlook, Amazon SES, Mailchimp, Mailgun, Postfix's list, kernel.org, Hotmail, Yahoo.
    ['mail-wr1-f41.google.com', '209.85.221.41', 'google.com'],
    ['mail-db3eur04lp2056.outbound.protection.outlook.com', '104.47.12.56', 'outlook.com'],
    ['mail-dm6nam11on2061a.outbound.protection.outlook.com', '2a01:111:f400:7eaa::61a', 'outlook.com'],
    ['a8-52.smtp-out.amazonses.com', '54.240.52.9', 'amazonses.com'],
    ['mail82.sea91.rsgsv.net', '148.105.15.82', 'rsgsv.net'],
    ['so254-9.mailgun.net', '198.61.9.1', 'mailgun.net'],
    ['english-breakfast.cloud9.net', '168.100.1.7', 'cloud9.net'],
    ['smtp.kernel.org', '172.234.252.31', 'kernel.org'],
    ['mx1.example.co.uk', '198.51.100.7', 'example.co.uk'],
    ['example.org', '198.51.100.7', 'example.org'],
    ['mail.user-name.github.io', '198.51.100.7', 'user-name.github.io'],
    // The domain's own name may be any word.
    ['mail.dslreports.com', '198.51.100.7', 'dslreports.com'],
    ['mail.pool.com', '198.51.100.7', 'pool.com'],
    ['mx.dyn.com', '198.51.100.7', 'dyn.com'],
    ['mobile.de', '198.51.100.7', 'mobile.de'],
    ['out.mobile.de', '198.51.100.7', 'mobile.de'],
    ['mail.home.pl', '198.51.100.7', 'home.pl'],
    ['mail.home.co.uk', '198.51.100.7', 'home.co.uk'],
    // Whole words only, and static is none.
    ['medial.example.net', '198.51.100.7', 'example.net'],
    ['carpool.example.net', '198.51.100.7', 'example.net'],
    ['poolside.example.net', '198.51.100.7', 'example.net'],
    ['adslstats.example.net', '198.51.100.7', 'example.net'],
    ['cables.example.net', '198.51.100.7', 'example.net'],
    ['homer.example.net', '198.51.100.7', 'example.net'],
    ['userland.example.net', '198.51.100.7', 'example.net'],
    ['custom.example.net', '198.51.100.7', 'example.net'],
    ['resolver.example.net', '198.51.100.7', 'example.net'],
    ['dynamo3.example.net', '198.51.100.7', 'example.net'],
    ['automobile.example.net', '198.51.100.7', 'example.net'],
    ['14g.a3gb.example.net', '198.51.100.7', 'example.net'],
    ['mail.static.example.net', '198.51.100.7', 'example.net'],
    ['static-7.example.net', '198.51.100.7', 'example.net'],
    // Numbers that are not half of the address.
    ['mx7.example.net', '198.51.100.7', 'example.net'],
    ['mx100.pop7.example.net', '198.51.100.7', 'example.net'],
    ['h198a51.example.net', '198.51.100.7', 'example.net'],
    ['h198-100.example.net', '198.51.100.7', 'example.net'],
    ['h7-198.example.net', '198.51.100.7', 'example.net'],
    ['h1198-51.example.net', '198.51.100.7', 'example.net'],
    ['h198-511.example.net', '198.51.100.7', 'example.net'],
    ['h1000070.example.net', '198.51.100.7', 'example.net'],
    ['x6407y.example.net', '198.51.100.7', 'example.net'],
    ['ac633.example.net', '198.51.100.7', 'example.net'],
    ['mail-0001.example.net', '203.0.0.1', 'example.net'],
    ['cafe.mx1.example.net', '202.254.0.7', 'example.net'],
    ['smtp-13.126.com', '220.181.13.126', '126.com'],
    ['2001-db8.example.net', '2001:db8:1:2:3:4:5:6', 'example.net'],
    ['mx-0-0-0-1.example.net', '2001:db8::1', 'example.net'],
    ['mx--1.example.net', '2001:db8::1', 'example.net'],
    ['h20010db80001.example.net', '2001:db8:1:2:3:4:5:6', 'example.net'],
  ]
  for (const [name, address, domain] of cases) {
    assert.equal(looksDynamic(name, ip(address)), false, `${name} [${address}]`)
    assert.equal(hostDomain(name, ip(address)), domain, `${name} [${address}]`)
  }
})

test('what has no registrable domain has no host domain', () => {
  const names = [
    '',
    '.',
    '..',
    'localhost',
    'com',
    'co.uk',
    'github.io',
    '198.51.100.7',
    '[198.51.100.7]',
    '2001:db8::7',
    'a..example.org',
    'unknown',
    'mail.example.org/x',
    `${'a.'.repeat(130)}example.org`,
    'a'.repeat(65_536),
  ]
  for (const name of names) assert.equal(hostDomain(name, ip('203.0.113.99')), undefined, name.slice(0, 40))
})

const ANY_IP = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((bytes): IpAddress => {
    const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? []
    return ip(bytes.length === 4 ? bytes.join('.') : groups.join(':'))
  })

// Whatever a resolver hands on as a name, there is an answer, and a domain is only ever the end of the name.
test('any text can be asked about', () => {
  const odd = fc.string({
    unit: fc.constantFrom(...'ax.-_ :/@[é\0\udc80', 'dsl', '12', 'com', 'co.uk'),
    maxLength: 16,
  })
  fc.assert(
    fc.property(fc.oneof(odd, fc.string({ unit: 'binary' })), ANY_IP, (name, address) => {
      const domain = hostDomain(name, address)
      if (domain === undefined) return
      assert.ok(name.endsWith(domain))
      assert.equal(looksDynamic(name, address), false)
    }),
    { numRuns: 2000 },
  )
})

// However a provider spells the address of a line, the name does not stand for its customer.
test('an address written out looks dynamic', () => {
  const spelling = fc.constantFrom<(address: IpAddress) => string>(
    ({ text }) => text.replaceAll(/[.:]/g, '-'),
    ({ bytes }) => hexOf(bytes),
    backwards,
    ({ bytes, kind }) =>
      kind === 'ipv4' ? bytes.toReversed().join('.') : [...hexOf(bytes)].reverse().join('.'),
    ({ bytes, kind }) =>
      kind === 'ipv4'
        ? bytes.map((byte) => String(byte).padStart(3, '0')).join('')
        : (hexOf(bytes).match(/.{4}/g) ?? []).join('.'),
  )
  const frame = fc.constantFrom<(spelled: string) => string>(
    (spelled) => `${spelled}.example.net`,
    (spelled) => `h${spelled}.a.example.net`,
    (spelled) => `h-${spelled}-x.example.co.uk`,
  )
  fc.assert(
    fc.property(ANY_IP, spelling, frame, (address, spell, put) => {
      const spelled = spell(address)
      // Nobody reverses the bytes of IPv6. What is nearly all zeros, or letters alone, tells nothing.
      fc.pre(address.kind === 'ipv4' || spell !== backwards)
      fc.pre(address.kind === 'ipv4' || spelled.replace(/[^1-9a-f]/g, '').length >= 8)
      fc.pre(/\d/.test(spelled))
      assert.equal(looksDynamic(put(spelled), address), true, `${put(spelled)} [${address.text}]`)
    }),
    { numRuns: 1000 },
  )
})

function backwards({ bytes }: IpAddress): string {
  return hexOf(bytes.toReversed())
}

function hexOf(bytes: readonly number[]): string {
  return Buffer.from(bytes).toString('hex')
}
