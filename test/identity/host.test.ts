// Tests of clients' host names: names that providers give to lines of customers, and names that somebody chose.

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

function isTelling(name: string, address: IpAddress): boolean {
  return readHostName(name, address).isTelling
}

/** The domain that stands for a client of this name. */
function hostDomain(name: string, address: IpAddress): string | undefined {
  const { isTelling, domain } = readHostName(name, address)
  return isTelling ? domain : undefined
}

test('names that spell their address tell nothing', () => {
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
    // Mailers whose names spell half of their address count as dynamic, and are known by their network.
    ['54.240.8.52', 'a8-52.smtp-out.amazonses.com'],
    ['69.72.43.7', 'm43-7.mailgun.net'],
    ['159.135.228.13', 'm228-13.mailgun.net'],
    ['198.2.136.64', 'mail136-64.atl31.rsgsv.net'],
    // Addresses with every separator, in both orders, and halves of them.
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
    // IPv6 addresses: all digits, half of them, reversed, and in groups.
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
      assert.equal(isTelling(name, ip(address)), false, `${name} [${address}]`)
      assert.equal(hostDomain(name, ip(address)), undefined, `${name} [${address}]`)
    }
  }
})

test('names with a word for lines or pools below their domain tell nothing', () => {
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
    assert.equal(isTelling(name, ip('203.0.113.99')), false, name)
    assert.equal(isTelling(name, ip('2001:db8::99')), false, name)
    assert.equal(hostDomain(name, ip('203.0.113.99')), undefined, name)
  }
})

// Regression: once one customer had come back, each of these names let all customers of its provider pass.
test('names that a provider has numbered its machines with tell nothing', () => {
  const names = [
    // Contabo, OVH, Strato, Ionos, Hostwinds, Linode, DigitalOcean, Hetzner Cloud, Google, Azure, Scaleway.
    'vmi1937462.contaboserver.net',
    'vmi1000001.contaboserver.example',
    'vmd64148.contaboserver.net',
    'vps-d0669a91.vps.ovh.net',
    'vps-d0669a91.vps.example',
    'ns3033412.kimsufi.com',
    'h2553182.stratoserver.net',
    'c70ca0b.online-server.cloud',
    '5f297e.online-server.cloud',
    'hwsrv-1234567.hostwindsdns.com',
    'li1234-56.members.linode.com',
    'droplet-7.example.net',
    'instance-1.example.net',
    'static-instance-20240101-1234.example.net',
    'vm-12.cloud.example.net',
    'myvps7.example.net',
    'kvm-3.example.net',
    'ded-17.example.net',
    'server1.example.net',
    'webserver3.example.net',
    'srv01.example.net',
    'host-berlin2.example.net',
    'node7.cluster.example.net',
    'cloud9.example.net',
    'ubuntu-4gb.example.net',
    '7.vps.example.net',
    'ip-9.example.net',
    // Names of lines.
    'p1234-ipngn.tokyo.example',
    'p1234-ipngn100101osakachuo.osaka.ocn.ne.jp',
    'pl12345.nas81a.p-tokyo.nttpc.ne.jp',
    'zaq7d04a1b2.zaq.ne.jp',
    'softbank126012345678.bbtec.net',
    // Names with MAC addresses, in all notations.
    '001a2b3c4d5e.example.net',
    'h001a2b3c4d5e.example.net',
    '00-1a-2b-3c-4d-5e.example.net',
    'm-00-1a-2b-3c-4d-5e.example.net',
    '001a-2b3c-4d5e.example.net',
    '001a.2b3c.4d5e.example.net',
    'mail-001a2b3c4d5e.example.net',
    'mail-d0669a91.vps.example.net',
    'mail-12-345-6789.example.net',
    '00-1a-2b-3c-4d-5e.mail.example.net',
    // Names with customers' numbers.
    '12345.example.net',
    '4711.example.net',
    'k4711.example.net',
    'kd-10023.example.net',
    'k-123-456-7.example.net',
    'customer10023.example.net',
    'mail.k10023.example.net',
    'mail.vps123.example.net',
    'vmi1937462-mail.example.net',
    'mail1000001.example.net',
    'x7k2m9q4.example.net',
    '550e8400-e29b-41d4-a716-446655440000.example.net',
    // Names below a suffix that a company lets to its customers.
    'd0669a91.github.io',
    'mail.d0669a91.github.io',
    'li123-45.members.linode.com',
    'srv1.hstgr.cloud',
  ]
  for (const name of names) assert.equal(isTelling(name, ip('203.0.113.99')), false, name)
})

// No list of words can have a few letters with a number, or all that providers number.
test('without a word for mail, a number of two digits, or one after a few letters, tells nothing', () => {
  const words = `s n v c h id kd web w a b ct pve esx hv hp lxd cluster blade pod virt virtual app wp site shop dom cp
    premium proxy vpn fra1- lon unit slot rental order- inv- contract tenant acct account- member abonent abon-12-
    prepaid lease range block roaming bb fttp ont onu olt1- lan wan router rtr- edge cm ap hs zeus dynamo k-`
  const numbered = [
    '77',
    '203',
    'li123-45',
    'os3-123',
    'x123-45',
    '77a',
    'web77-acme',
    'acme-77-fra',
    'h198a51',
    'ac633',
  ]
  numbered.push(
    '14g',
    's1',
    '7',
    'fra-1',
    'a7',
    'ams1',
    's7-fra',
    'srv1-fra',
    'worker3',
    'order-7',
    'router1',
    'static-7',
  )
  for (const word of words.split(/\s+/)) numbered.push(`${word}77`, `${word}177`)
  for (const name of numbered) {
    for (const host of [`${name}.example.net`, `${name}.fra.example.net`, `fra.${name}.example.net`]) {
      assert.equal(isTelling(host, ip('203.0.113.99')), false, host)
    }
  }
})

test('what providers call hosts that nobody has named tells nothing', () => {
  const names = `hosted-by no-rdns noptr no-ptr unallocated reserved undefined unknown not-set default rdns ptr reverse
    static ip node localhost hosted-by.acme acme.static scw-elegant-cray.instances anton.servers`
  for (const name of names.split(/\s+/)) {
    assert.equal(isTelling(`${name}.example.net`, ip('203.0.113.99')), false, name)
  }
  assert.equal(isTelling('scw-elegant-cray.instances.scw.cloud', ip('203.0.113.99')), false)
})

test('a word for mail does not make a machine that somebody rents his provider’s mail server', () => {
  const names = `mail-77.vps smtp12.vm77 mail.srv12 mail77.cloud vpsmail77 mailvps77 mail-vmi1234 smtp.ip-77 mail.k1234
    mx.u4711 mail.77 mail.7 mail.abc123xyz host-mail vps-mail mail-vm3 mail.server1 vm77.mail vps7.mx mail.kd-77 mail.v77
    mail-server.vm7 mail-vps-server2 mail.worker3 mx.site7 node-3.smtp`
  for (const name of names.split(/\s+/)) {
    assert.equal(isTelling(`${name}.example.net`, ip('203.0.113.99')), false, name)
  }
})

test('mail servers that large senders number like machines are known by their domains', () => {
  const names = [
    'mx07-00178001.pphosted.com',
    'mx08-00178001.pphosted.com',
    'mx0b-00007101.gpphosted.com',
    'mail-40133.protonmail.ch',
    'pv50p00im-ztdg10021901.me.com',
    'nwk-txn-msbadger0302.apple.com',
    'rn-mailsvcp-ppex-lapp15.apple.com',
    'resqmta-c1p-123456.sys.comcast.net',
    'mail-m118204.qiye.163.com',
    'pc232-54.mailgun.net',
    'gateway31.websitewelcome.com',
    'sg2plout10-03.prod.sin2.secureserver.net',
    'csmtpq1-prd-nl1-vmo.edge.unified.services',
    'sonic301-3.consmr.mail.ne1.yahoo.com',
    'mail-qt1-f170.google.com',
    'mail-dm6nam10on2045.outbound.protection.outlook.com',
    'a48-103.smtp-out.amazonses.com',
    'mail133-12.atl131.mandrillapp.com',
    'o16789123x45.outbound-mail.sendgrid.net',
  ]
  for (const name of names) {
    const { isTelling, isMail } = readHostName(name, ip('203.0.113.99'))
    assert.deepEqual([isTelling, isMail], [true, true], name)
    const elsewhere = name.replace(/[^.]+\.[^.]+$/, 'example.net')
    assert.equal(
      readHostName(elsewhere, ip('203.0.113.99')).isMail && /\d{3}/.test(elsewhere),
      false,
      elsewhere,
    )
  }
})

test('words for lines are found within longer words, too', () => {
  const names = [
    'internetdsl',
    'adslgp',
    'adslstats',
    'cabletel',
    'cables',
    'dynamicip',
    'dinamico',
    'dyndsl',
  ]
  names.push('dynip', 'ippool', 'mydhcp', 'abonnes', 'clientes', 'kunde', 'subscriber', 'broadbandline')
  for (const name of names) {
    assert.equal(isTelling(`${name}.example.net`, ip('203.0.113.99')), false, name)
    assert.equal(isTelling(`a7.${name}.example.net`, ip('203.0.113.99')), false, name)
  }
})

test('what mail servers are called tells, with their numbers', () => {
  const names = [
    'mail.example.net',
    'mx1.example.net',
    'mx01.example.net',
    'smtp-out-2.example.net',
    'mailserver2.example.net',
    'itdmail1.nd.gov',
    'mail-ed1-f51.google.com',
    'mail-dm6nam10on2045.outbound.protection.outlook.com',
    'mail-northeuropeazon11012027.outbound.protection.outlook.com',
    'a27-42.smtp-out.eu-west-1.amazonses.com',
    'o1.ptr1234.sendgrid.net',
    'o6.ptr5219.mediaoutreach.meltwater.com',
    'mta-70-27.sparkpostmail.com',
    'mail12.atl31.rsgsv.net',
    'mout.kundenserver.de',
    'sonic301-3.consmr.mail.ne1.yahoo.com',
    'out-12.mta1.migadu.com',
    'mx0a-001b2d01.pphosted.com',
    'mx0b-00082601.pphosted.com',
    'outbound-ip168b.ess.barracuda.com',
    'p3plsmtpa06-07.prod.phx3.secureserver.net',
    'forward501b.mail.yandex.net',
    'a1i912.smtp2go.com',
    'us-smtp-delivery-124.mimecast.com',
    'mail6.bemta26.messagelabs.com',
    'relay8-d.mail.gandi.net',
    'esa1.hc123-45.iphmx.com',
    'esa9.hc3550-4.iphmx.com',
    'lists.debian.org',
    'bendel.debian.org',
    'vger.kernel.org',
    'english-breakfast.cloud9.net',
    'fout-a1-smtp.messagingengine.com',
    'wfhigh3-smtp.messagingengine.com',
    'mail-4316.protonmail.ch',
    'out-171.mta0.migadu.com',
    'dedi.example.net',
    'cloud.example.net',
    'zeus.example.org',
    'zeus2.example.org',
    'www.example.org',
    'out.example.org',
    'rcdn-iport-7.cisco.com',
    'mail-gw1.example.net',
    'mailhost.example.net',
    'smtp-server3.example.net',
    'sender4-op-o12.zoho.com',
    'f123.i.mail.ru',
    'mail.vps.example.net',
    'mail1937.example.net',
  ]
  for (const name of names) assert.equal(isTelling(name, ip('203.0.113.99')), true, name)
})

test('a name that says that its host handles mail is told from others', () => {
  const cases: Array<[name: string, isMail: boolean]> = [
    ['mx1.example.net', true],
    ['out4.farm.example.net', true],
    ['a27-42.smtp-out.eu-west-1.amazonses.com', true],
    ['web.example.net', false],
    ['mail.com', false],
    ['bendel.debian.org', false],
    ['mx77.example.net', true],
    ['mailserver2.example.net', true],
    // A number in the hundreds may be a customer's; a name that is not telling says nothing of mail.
    ['mail193.example.net', false],
    ['mx1234.example.net', false],
    ['k10023.mail.example.net', false],
    ['mail.vmi1937462.example.net', false],
    ['mail.home.example.net', false],
  ]
  for (const [name, isMail] of cases)
    assert.equal(readHostName(name, ip('203.0.113.99')).isMail, isMail, name)
})

// Private networks everywhere use the same such names.
test('names below no public suffix tell nothing, but for the suffixes of tests and documents', () => {
  for (const suffix of [
    'internal',
    'lan',
    'local',
    'localdomain',
    'corp',
    'home.arpa',
    'in-addr.arpa',
    'invalid',
  ]) {
    assert.equal(isTelling(`mail.host.${suffix}`, ip('203.0.113.99')), false, suffix)
  }
  for (const suffix of ['test', 'example']) {
    assert.equal(isTelling(`mail.host.${suffix}`, ip('203.0.113.99')), true, suffix)
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
    // The domain itself may have any name.
    ['mail.dslreports.com', '198.51.100.7', 'dslreports.com'],
    ['mail.pool.com', '198.51.100.7', 'pool.com'],
    ['mx.dyn.com', '198.51.100.7', 'dyn.com'],
    ['mobile.de', '198.51.100.7', 'mobile.de'],
    ['out.mobile.de', '198.51.100.7', 'mobile.de'],
    ['mail.home.pl', '198.51.100.7', 'home.pl'],
    ['mail.home.co.uk', '198.51.100.7', 'home.co.uk'],
    // Only whole words count, and static is no word for a line.
    ['medial.example.net', '198.51.100.7', 'example.net'],
    ['carpool.example.net', '198.51.100.7', 'example.net'],
    ['poolside.example.net', '198.51.100.7', 'example.net'],
    ['homer.example.net', '198.51.100.7', 'example.net'],
    ['userland.example.net', '198.51.100.7', 'example.net'],
    ['custom.example.net', '198.51.100.7', 'example.net'],
    ['resolver.example.net', '198.51.100.7', 'example.net'],
    ['dynamo3.example.net', '198.51.100.7', 'example.net'],
    ['automobile.example.net', '198.51.100.7', 'example.net'],
    ['mail-14g.a3gb.example.net', '198.51.100.7', 'example.net'],
    ['mail.static.example.net', '198.51.100.7', 'example.net'],
    // Numbers that are less than half of the address.
    ['mx7.example.net', '198.51.100.7', 'example.net'],
    ['out198a51.example.net', '198.51.100.7', 'example.net'],
    ['out198-100.example.net', '198.51.100.7', 'example.net'],
    ['out7-198.example.net', '198.51.100.7', 'example.net'],
    ['out198-511.example.net', '198.51.100.7', 'example.net'],
    ['ac633.mx.example.net', '198.51.100.7', 'example.net'],
    ['mx100.pop7.example.net', '198.51.100.7', 'example.net'],
    ['mx1198-51.example.net', '198.51.100.7', 'example.net'],
    ['h1000070.mx.example.net', '198.51.100.7', 'example.net'],
    ['mx6407y.example.net', '198.51.100.7', 'example.net'],
    ['mail-0001.example.net', '203.0.0.1', 'example.net'],
    ['cafe.mx1.example.net', '202.254.0.7', 'example.net'],
    ['smtp-13.126.com', '220.181.13.126', '126.com'],
    ['mx-2001-db8.example.net', '2001:db8:1:2:3:4:5:6', 'example.net'],
    ['mx-0-0-0-1.example.net', '2001:db8::1', 'example.net'],
    ['mx--1.example.net', '2001:db8::1', 'example.net'],
    ['h20010db8.mx.example.net', '2001:db8:1:2:3:4:5:6', 'example.net'],
  ]
  for (const [name, address, domain] of cases) {
    assert.equal(isTelling(name, ip(address)), true, `${name} [${address}]`)
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

// Property: any text has an answer, and a domain in it is the end of the name.
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
      assert.equal(isTelling(name, address), true)
    }),
    { numRuns: 2000 },
  )
})

// Property: a name that spells the address in any notation is not telling.
test('a name with the address written out tells nothing', () => {
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
      // Nobody reverses the bytes of IPv6, and groups of zeros or of letters alone could be words.
      fc.pre(address.kind === 'ipv4' || spell !== backwards)
      fc.pre(address.kind === 'ipv4' || spelled.replace(/[^1-9a-f]/g, '').length >= 8)
      fc.pre(/\d/.test(spelled))
      assert.equal(isTelling(put(spelled), address), false, `${put(spelled)} [${address.text}]`)
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
