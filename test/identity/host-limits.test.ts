// Tests of host names at the limits of the rules: the most digits that a mail server's number has, and the least of an
// address that a name has to spell. Each pair of names differs in the one thing that makes the difference.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHostName, readHostName } from '../../src/identity/host.ts'
import { parseIp } from '../../src/ip.ts'

const ANYWHERE = '203.0.113.99'

type Kind = 'mail' | 'other' | 'nobody'

function kindOf(name: string, address = ANYWHERE): Kind {
  const { isTelling, isMail } = readHostName(name, parseIp(address) ?? assert.fail(address))
  if (isMail) assert.ok(isTelling)
  return isMail ? 'mail' : isTelling ? 'other' : 'nobody'
}

function assertKinds(cases: ReadonlyArray<readonly [name: string, kind: Kind, address?: string]>): void {
  for (const [name, kind, address] of cases)
    assert.equal(kindOf(name, address), kind, `${name} [${address ?? ANYWHERE}]`)
}

test('a mail server has a number of four digits at most, or twice as many in all', () => {
  assertKinds([
    ['mail12.example.org', 'mail'],
    ['mail123.example.org', 'other'],
    ['mail1234.example.org', 'other'],
    ['mail12345.example.org', 'nobody'],
    ['mail-12-34-56-78.example.org', 'mail'],
    ['mail-12-34-56-78-9.example.org', 'nobody'],
    ['mail-d0669.example.org', 'other'],
    ['mail-d0669a.example.org', 'nobody'],
    ['mail-abcde1.example.org', 'nobody'],
    ['mail-abcdef.example.org', 'mail'],
    // Labels before the mailer's are free to number its hosts, those behind it are a customer's.
    ['12345.mail.example.org', 'other'],
    ['mail.k1.example.org', 'mail'],
    ['mail.k12.example.org', 'nobody'],
    ['mail.7.example.org', 'nobody'],
    ['mail.k7.x.example.org', 'mail'],
    ['mail.k1.x2.example.org', 'mail'],
    ['mail.k12.x.example.org', 'nobody'],
  ])
})

test('below a domain with a word for mail, a host has a number of three digits at most', () => {
  assertKinds([
    ['n123.mail.ru', 'other'],
    ['n1234.mail.ru', 'nobody'],
    ['n123-123.mail.ru', 'other'],
    ['n123-123-1.mail.ru', 'nobody'],
    ['x7k2m9q.mail.ru', 'other'],
    ['x7k2m9qq.mail.ru', 'nobody'],
    ['eu-x7k2m9qq.mail.ru', 'nobody'],
    ['eu.x7k2m9qq.mail.ru', 'nobody'],
    ['eu.n1234.mail.ru', 'nobody'],
    ['aaaaaa7k.mail.ru', 'other'],
    ['aaaaa7k2.mail.ru', 'nobody'],
    ['n12.example.org', 'nobody'],
  ])
})

test('a MAC address has twelve digits, together, in pairs or in fours', () => {
  assertKinds([
    ['abcd1abcdabc.mail.example.org', 'nobody'],
    ['abcd1abcdab.mail.example.org', 'mail'],
    ['ab-c1-ab-cd-ab-cd.mail.example.org', 'nobody'],
    ['ab-c1-ab-cd-ab.mail.example.org', 'mail'],
    ['abcd-ab1d-abcd.mail.example.org', 'nobody'],
    ['abcd-ab1d.mail.example.org', 'mail'],
    ['abcd-abcd-abcd.mail.example.org', 'mail'],
    ['abcd-ab1d-abcd.mail.ru', 'nobody'],
    ['ab-c1-ab-cd-ab-cd.mail.ru', 'nobody'],
    ['abcd-abcd-abcd.ab-c1-ab-cd-ab-cd.mail.ru', 'nobody'],
  ])
})

test('half of an IPv4 address in a name is enough, as numbers or hexadecimal digits', () => {
  const address = '192.0.2.7'
  assertKinds([
    ['mail-192-0.example.org', 'nobody', address],
    ['mail-0-192.example.org', 'nobody', address],
    ['mail-0-2.example.org', 'nobody', address],
    ['mail-7-2.example.org', 'nobody', address],
    ['mail-192x0.example.org', 'nobody', address],
    ['mail-192-2.example.org', 'other', address],
    ['mail-192-1.example.org', 'other', address],
    ['mail-192.example.org', 'other', address],
    ['mail-192a0.example.org', 'other', address],
    ['mail-1-192-0.example.org', 'nobody', address],
    // c0000207, and backwards 070200c0
    ['mail-c000.example.org', 'nobody', address],
    ['mail-0207.example.org', 'nobody', address],
    ['mail-0702.example.org', 'nobody', address],
    ['mail-00c0.example.org', 'mail', address],
    ['mail-c001.example.org', 'other', address],
    ['mailc000.example.org', 'other', address],
    ['mail-0007.example.org', 'other', '192.0.0.7'],
    // Letters alone are a word.
    ['mail-cafe.example.org', 'mail', '202.254.2.7'],
    ['mail-c0-00-02-07.example.org', 'nobody', address],
    ['mail-0c0c0c0c.example.org', 'nobody', '12.12.12.12'],
    ['mail-c6-33-64-07.example.org', 'nobody', '198.51.100.7'],
    ['mail-c6-33-64-08.example.org', 'mail', '198.51.100.7'],
    ['mail-1020.example.org', 'nobody', '16.32.1.2'],
    ['mail-0f20.example.org', 'nobody', '15.32.1.2'],
    ['mail-0f10.example.org', 'nobody', '15.16.1.2'],
  ])
})

test('half of an IPv6 address in a name is enough, in groups of eight characters or more', () => {
  const address = '2001:db8:1:2:3:4:5:6'
  assertKinds([
    ['mail-2001-db8-1-2.example.org', 'nobody', address],
    ['mail-2-1-db8-2001.example.org', 'nobody', address],
    ['mail-db8-1-2-3.example.org', 'nobody', address],
    ['mail-2001-db8-1.example.org', 'other', address],
    ['mail-2001-db8-1-3.example.org', 'other', address],
    ['mail-3-4-5-6.example.org', 'mail', address],
    ['mail-13-4-5-6.example.org', 'nobody', '2001:db8:1:2:13:4:5:6'],
    ['mail-0abc-def1-a-b.example.org', 'nobody', 'abc:def1:a:b:1:2:3:4'],
    ['mail-2001-db8--7.example.org', 'nobody', '2001:db8::7'],
    ['mail-2001--7.example.org', 'other', '2001::7'],
    ['mail-2001--17.example.org', 'nobody', '2001::17'],
    ['deadbeef-cafebab1.example.org', 'nobody', 'dead:beef:cafe:bab1:1:2:3:4'],
    ['deadbeef-cafebab1.example.org', 'nobody', '1:2:3:4:dead:beef:cafe:bab1'],
    ['deadbeef-cafebab1.example.org', 'other', 'dead:beef:cafe:bab2:1:2:3:4'],
    ['eadbeef-cafebab1.example.org', 'other', '1:2:3:4:dead:beef:cafe:bab1'],
    ['eadbeef-cafebab1.example.org', 'other', 'dead:beef:cafe:bab1:1:2:3:4'],
    ['deadbeef-cafebab.example.org', 'other', 'dead:beef:cafe:bab1:1:2:3:4'],
    ['deadbeef-cafebab.example.org', 'other', '1:2:3:4:dead:beef:cafe:bab1'],
    ['deadbeefcaf1babe.example.org', 'nobody', 'dead:beef:caf1:babe:1:2:3:4'],
    ['deadbeefcaf1bab.example.org', 'other', 'dead:beef:caf1:babe:1:2:3:4'],
  ])
})

test('an address, or what no DNS message can hold, is no name and has no domain', () => {
  const address = parseIp(ANYWHERE) ?? assert.fail()
  for (const name of ['192.0.2.1', 'a.b.7', 'localhost', '', 'a..example.org', 'é.example.org'])
    assert.deepEqual(readHostName(name, address), { isTelling: false, isMail: false }, name)
  assert.equal(readHostName('mail.acme.site7', address).domain, 'acme.site7')
  const longest = `${'a.'.repeat(121)}example.org`
  assert.equal(longest.length, 253)
  assert.deepEqual([isHostName(longest), isHostName(`a${longest}`)], [true, false])
})

test('a customer below a company’s suffix is known by a name of its own, and not by a number', () => {
  assertKinds([
    ['acme.blogspot.com', 'other'],
    ['acme7.blogspot.com', 'other'],
    ['acme77.blogspot.com', 'nobody'],
    ['ac7.blogspot.com', 'nobody'],
    ['server-acme-of-7.blogspot.com', 'nobody'],
    ['order-of-acme7.blogspot.com', 'nobody'],
    ['servers-of-acme7.blogspot.com', 'other'],
  ])
})

// Seen on hosts, though RFC 952 allows neither.
test('a name with an underscore, or with a hyphen at the end of a label, is a name', () => {
  assertKinds([
    ['mail-.example.org', 'mail'],
    ['_mail.example.org', 'mail'],
    [`mail.${'x'.repeat(64)}.example.org`, 'mail'],
  ])
})

test('a word for a machine tells nothing with a number, and a hyphen is none', () => {
  assertKinds([
    ['server-room.example.org', 'other'],
    ['server-7.example.org', 'nobody'],
    ['order-desk.example.org', 'other'],
    ['order-7.example.org', 'nobody'],
    ['mailserver-vm.example.org', 'nobody'],
    ['mail.vm7.example.org', 'nobody'],
    ['mail.worker.example.org', 'mail'],
    // A word is a whole run of letters, from a to z.
    ['pool.example.org', 'nobody'],
    ['poolz.example.org', 'other'],
    ['apool.example.org', 'other'],
  ])
})
