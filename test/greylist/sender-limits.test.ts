// Tests of sender forms at the limits of the rules: the shortest id, the longest telephone number, the most numbers.
// Each pair of addresses differs in the one thing that makes the difference.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { senderForms } from '../../src/greylist/sender.ts'

const RECIPIENT = parseAddress('u@example.com')

/** Asserts which local part stands for a local part at a domain without anything of a mailer. */
function assertForms(cases: ReadonlyArray<readonly [local: string, form: string]>, domain = 'example.org') {
  for (const [local, form] of cases)
    assert.equal(senderForms(parseAddress(`${local}@${domain}`), RECIPIENT).form, `${form}@${domain}`, local)
}

const itself = (local: string) => [local, local] as const

test('an address is examined up to 512 characters', () => {
  for (const [length, isExamined] of [
    [512, true],
    [513, false],
  ] as const) {
    const address = `bounce-123456@${'x'.repeat(length - 26)}.example.org`
    const { normal } = parseAddress(address)
    assert.equal(normal.length, length)
    const { form } = senderForms(parseAddress(address), RECIPIENT)
    assert.equal(form, isExamined ? normal.replace('123456', '#') : normal)
  }
})

test('a number of 16 digits is an id beside something else, of five beside an address, and of one at a bounce', () => {
  assertForms([
    itself('joe-123456789012345'),
    ['joe-1234567890123456', 'joe-#'],
    itself('1234567890123456789'),
    ['list-1234-u=example.com', 'list-1234-*'],
    ['list-12345-u=example.com', 'list-#-*'],
    ['bounce-1', 'bounce-#'],
    ['bounce-1x', 'bounce-1x'],
    ['joe-bounce-1', 'joe-bounce-#'],
    // What stands before the word is no part of the bounce.
    ['1-bounce-1', '1-bounce-#'],
  ])
})

test('letters and digits are an id by their length and by how often they take turns', () => {
  assertForms([
    itself('aa1bb2cc3ddd444'),
    ['aa1bb2cc3ddd4444', '#'],
    itself('joe-a1b2c3d4e5f6a7b'),
    ['joe-a1b2c3d4e5f6a7b8', 'joe-#'],
    itself('joe-x1y2z3x1y2z3x1y2z3x'),
    ['joe-x1y2z3x1y2z3x1y2z3x1', 'joe-#'],
    itself('joe-aaaa1111aaaa1111'),
    ['joe-aaa1111aaa1111aa', 'joe-#'],
    itself('bounce-x1yyyyy'),
    ['bounce-x1yyyyyy', 'bounce-#'],
    itself('bounce-x1111111'),
    itself('bounce-us1'),
    ['bounce-1b', 'bounce-#'],
    itself('bounce-b1'),
    itself('bounce-3com'),
  ])
})

test('a word of 24 letters and digits is no name if it has few vowels and three changes', () => {
  assertForms([
    itself('joe-bcdfghj1klmnpqr2stvwxzb'),
    ['joe-bcdfghj1klmnpqr2stvwxzbc', 'joe-#'],
    ['bcdfghj1klmnpqr2stvwxzbc', '#'],
    itself('joe-bcdfghjkl1bcdfghjklmnpqr'),
    ['joe-bcdfghjkl1bcdfghjklmnpq2', 'joe-#'],
    // Of twenty letters, five are a quarter.
    itself('joe-bacedifogu12bcdfghjklm34'),
    ['joe-bacedifogh12bcdfghjklm34', 'joe-#'],
  ])
})

test('a telephone number has 15 digits at most, and an address with five numbers or more is one or an id', () => {
  assertForms([
    itself('12.34.56.78'),
    itself('06.12.34.56.78'),
    itself('123.456.789.012.345'),
    ['list-return-1-2-3-4-5', 'list-return-#'],
    ['return-06.12.34.56.78', 'return-#'],
    ['123.456.789.012.3456', '#'],
    itself('+12025550123'),
    itself('_+12025550123'),
    itself('fax+1202555'),
    ['fax+120255', 'fax'],
    itself('fax+120255501234567'),
    ['fax+1202555012345678', 'fax'],
    ['joe+12025550123', 'joe'],
    itself('x=joe+tag'),
    ['=joe+tag', '=joe'],
    ['j+tag', 'j'],
  ])
})

test('LISTSERV writes a star behind the list, and stars for dots and @ behind it', () => {
  assertForms([
    ['owner-list*joe**example*-org', 'owner-list*'],
    ['owner-list*j**example*-org', 'owner-list*'],
    itself('joe**example*-org'),
    itself('list*joe*-example*-org'),
    itself('list*joe**example'),
    itself('*joe**example*-org'),
    ['l*joe**example*-org', 'l*'],
  ])
})

test('a local part that is one number is an account, except below a domain for bounces', () => {
  assertForms([itself('123456'), itself('1234567890123456')])
  assertForms([['123456', '#']], 'bounce.example.org')
})

test('what a forwarder writes before an address is a person, and what a list writes is not', () => {
  assertForms([
    itself('joe-smith=example.net'),
    itself('joe-smith=a.net'),
    ['news-smith=a.net', 'news-*'],
    ['1b2c3d4e-smith=a.net', '#-*'],
    ['list=joe=a.net', 'list=*'],
    ['list=news=joe=a.net', 'list=news=*'],
    itself('list-===a.net'),
    itself('news-joe.server.twelve12.com'),
    ['1b-joe-smith=a.net', '1b-*'],
    ['my-return-joe-smith=a.net', 'my-return-*'],
    itself('xb-joe-smith=a.net'),
  ])
})

test('a made-up label of Salesforce is left out where the address says who the sender is', () => {
  const domain = 'r4nd0m.a-abc.na63.bnc.salesforce.com'
  const formOf = (local: string) => senderForms(parseAddress(`${local}@${domain}`), RECIPIENT).form
  assert.equal(formOf('support=acme.example__x9k2'), 'support=acme.example__#@bnc.salesforce.com')
  assert.match(formOf('bounce-123456'), /^bounce-#@r4nd0m\./)
})
