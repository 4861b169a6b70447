// Tests of how a client's certificate is read from the macros of both MTAs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClientCertificate } from '../../src/certificate.ts'
import { readCertificate } from '../../src/doors/certificate.ts'
import { Macros } from '../../src/milter/macros.ts'

const POSTFIX = { v: 'Postfix 3.7.11' }
const SENDMAIL = { v: '8.17.1.9' }
const MD5 = 'AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89'
const NAMES = {
  cert_subject: '/C=US/O=Example/CN=Darth+20Mail+20+28Cert+29+2B1',
  cn_subject: 'Darth+20Mail+20+28Cert+29+2B1',
  cert_issuer: '/CN=Caf\\xC3\\xA9+20CA',
  cn_issuer: 'Caf+C3+A9+20CA',
}
const SUBJECTS = ['/C=US/O=Example/CN=Darth Mail (Cert)+1', 'Darth Mail (Cert)+1']
const ISSUERS = ['/CN=Caf\\xC3\\xA9 CA', 'Café CA']

test('readCertificate() reads what each MTA tells of a certificate that it has verified, and of one that it has not', () => {
  const cases: Array<
    [name: string, macros: Record<string, string>, certificate: ClientCertificate | undefined]
  > = [
    [
      'Postfix',
      { ...POSTFIX, cert_subject: 'a+20b', cert_issuer: 'My CA' },
      { subjects: ['a+20b'], issuers: ['My CA'] },
    ],
    ['Postfix, none', POSTFIX, undefined],
    ['Postfix, not trusted', { ...POSTFIX, cert_subject: '', cert_issuer: '' }, undefined],
    [
      'Postfix, a name that poses as a distinguished one',
      { ...POSTFIX, cert_subject: '/CN=x', cert_issuer: 'CA' },
      { subjects: [], issuers: ['CA'] },
    ],
    [
      'Sendmail',
      { ...SENDMAIL, verify: 'OK', ...NAMES, cert_md5: MD5 },
      { fingerprint: MD5.replaceAll(':', '').toLowerCase(), subjects: SUBJECTS, issuers: ISSUERS },
    ],
    [
      'Sendmail with a digest of choice',
      { ...SENDMAIL, verify: 'OK', ...NAMES, cert_fp: 'A1:B2', cert_md5: '' },
      { fingerprint: 'a1b2', subjects: SUBJECTS, issuers: ISSUERS },
    ],
    [
      'Sendmail, not verified',
      { ...SENDMAIL, verify: 'FAIL', ...NAMES, cert_md5: MD5 },
      { fingerprint: MD5.replaceAll(':', '').toLowerCase(), subjects: [], issuers: [] },
    ],
    ['Sendmail, none asked for', { ...SENDMAIL, verify: 'NOT', cert_subject: '', cert_md5: '' }, undefined],
    ['Sendmail, none given', { ...SENDMAIL, verify: 'NO', cert_subject: '', cert_md5: '' }, undefined],
    ['Sendmail, no word of verification', { ...SENDMAIL, ...NAMES }, undefined],
    [
      'Sendmail, a name that poses as a distinguished one',
      { ...SENDMAIL, verify: 'OK', cert_subject: '/CN=/CN=x', cn_subject: '/CN=x' },
      { subjects: ['/CN=/CN=x'], issuers: [] },
    ],
    [
      'Sendmail, names that it cannot tell',
      {
        ...SENDMAIL,
        verify: 'OK',
        cert_subject: `/CN=${'x'.repeat(251)}`,
        cn_subject: 'BadCertificateTooLong',
      },
      undefined,
    ],
    ['an MTA that does not say which it is', { cert_subject: 'x', cert_issuer: 'y' }, undefined],
  ]
  for (const [name, pairs, certificate] of cases) {
    const macros = new Macros()
    macros.set('MAIL', Object.entries(pairs))
    assert.deepEqual(readCertificate(macros), certificate, name)
  }
})
