// Tests of clients that are exempt by their TLS certificates: the forms of rules, and that only whole names match.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClientCertificate } from '../../src/certificate.ts'
import { compileTlsClients, parseTlsClientRule } from '../../src/exempt/tlsclients.ts'

const SHA256 = '0123456789abcdef'.repeat(4)
const COLONS = SHA256.toUpperCase().replace(/..(?=.)/g, '$&:')

test('parseTlsClientRule() reads fingerprints, subjects, issuers, and several together', () => {
  const cases: Array<[text: string, parts: object]> = [
    [`fingerprint:${COLONS}`, { fingerprint: SHA256 }],
    [`fingerprint:${SHA256}`, { fingerprint: SHA256 }],
    ['fingerprint:00112233445566778899AABBCCDDEEFF', { fingerprint: '00112233445566778899aabbccddeeff' }],
    ['subject:mail.example.org', { subject: 'mail.example.org' }],
    ['subject: mail.example.org', { subject: 'mail.example.org' }],
    ['issuer:Example CA: 1, "2"', { issuer: 'Example CA: 1, "2"' }],
    ['subject:/O=Example/CN=Darth+20Mail', { subject: '/O=Example/CN=Darth Mail' }],
    ['subject:a+b issuer:+2B+C3+A9', { subject: 'a+b', issuer: '+é' }],
    ['issuer:My CA subject:mail.example.org', { subject: 'mail.example.org', issuer: 'My CA' }],
    [`subject:x  fingerprint:${SHA256}`, { subject: 'x', fingerprint: SHA256 }],
    ['subject:xissuer:y', { subject: 'xissuer:y' }],
  ]
  for (const [text, parts] of cases) assert.deepEqual(parseTlsClientRule(text), { text, ...parts }, text)
})

test('parseTlsClientRule() refuses what is none, or is not all of it', () => {
  const cases: Array<[text: string, expected: RegExp]> = [
    ...['', 'mail.example.org', 'cn:x', 'Subject:x', 'x subject:y', '/O=x/CN=y', 'sha256:00'].map(
      (text) =>
        [text, /^Error: expected fingerprint:HEX, subject:NAME, issuer:NAME, or several /] as [
          string,
          RegExp,
        ],
    ),
    ['subject:a subject:b', /^Error: expected each of fingerprint, subject and issuer once at most$/],
    ...['subject:', 'issuer: ', 'subject:issuer:x issuer:', `subject:${'x'.repeat(255)}`].map(
      (text) => [text, /^Error: expected after subject: and issuer: a common name, /] as [string, RegExp],
    ),
    ...[
      '',
      'x',
      '0',
      COLONS.slice(3),
      `${SHA256}0`,
      COLONS.replace(':', ''),
      `:${COLONS}`,
      `${SHA256} `.repeat(2),
    ].map(
      (text) =>
        [`fingerprint:${text}`, /^Error: expected after fingerprint: the hexadecimal digits /] as [
          string,
          RegExp,
        ],
    ),
  ]
  for (const [text, expected] of cases) assert.throws(() => parseTlsClientRule(text), expected, text)
})

const CERTIFICATE: ClientCertificate = {
  fingerprint: SHA256,
  subjects: ['/O=Example/CN=mail.example.org', 'mail.example.org'],
  issuers: ['/CN=My CA', 'My CA'],
}

test('a rule is met by a certificate that has all of it, to the letter', () => {
  const met = [
    `fingerprint:${COLONS}`,
    'subject:mail.example.org',
    'subject:/O=Example/CN=mail.example.org',
    'issuer:My CA',
    'issuer:/CN=My+20CA',
    'subject:mail.example.org issuer:My CA',
    `subject:mail.example.org issuer:My CA fingerprint:${SHA256}`,
  ]
  for (const rule of met) assert.equal(compileTlsClients([parseTlsClientRule(rule)])(CERTIFICATE), rule)
  const missed = [
    `fingerprint:${SHA256.replace('0', '1')}`,
    `fingerprint:${SHA256.slice(0, 32)}`,
    'subject:example.org',
    'subject:mail.example.or',
    'subject:MAIL.example.org',
    'subject:mail.example.org.',
    'subject:*.example.org',
    'subject:/CN=mail.example.org',
    'subject:/O=Example',
    'subject:My CA',
    'issuer:mail.example.org',
    'subject:mail.example.org issuer:Other CA',
    `subject:other.example.org fingerprint:${SHA256}`,
  ]
  for (const rule of missed)
    assert.equal(compileTlsClients([parseTlsClientRule(rule)])(CERTIFICATE), undefined, rule)
  const unverified = { fingerprint: SHA256, subjects: [], issuers: [] }
  for (const rule of [
    'subject:mail.example.org',
    'issuer:My CA',
    `subject:mail.example.org fingerprint:${SHA256}`,
  ]) {
    assert.equal(compileTlsClients([parseTlsClientRule(rule)])(unverified), undefined, rule)
  }
  assert.equal(compileTlsClients([])(CERTIFICATE), undefined)
})
