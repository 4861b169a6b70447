// Postfix's lines: what becomes of a message from its client= line to its last recipient, in every order that several
// processes write in, and what a client cannot do to it with its addresses. Real logs are replayed in test/mta.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logFile, logFolder } from './files.ts'
import { counts, type ReadAll, readAll, summaries } from './reading.ts'

/** Reads lines of one host and second, such as `smtpd[7]: QUEUEID: client=…`. */
async function read(
  t: { after(end: () => Promise<void>): void },
  lines: readonly string[],
): Promise<ReadAll> {
  const dir = await logFolder(t)
  return readAll(
    await logFile(
      dir,
      lines.map((line) => `2026-11-26T13:06:03.000000+00:00 mx1 postfix/${line}`),
    ),
  )
}

const TAIL = 'proto=ESMTP helo=<client.test>'
const CLIENT = 'mail.example.org[192.0.2.7]'
const GREY = '451 4.7.1 Greylisted, please try again later (2b642cac)'

const ACCEPTED = [
  `smtpd[7]: AAAAAAAAAA1: client=${CLIENT}`,
  'cleanup[8]: AAAAAAAAAA1: message-id=<x@y>',
  'qmgr[9]: AAAAAAAAAA1: from=<a@example.org>, size=372, nrcpt=2 (queue active)',
  `smtpd[7]: disconnect from ${CLIENT} ehlo=2 mail=1 rcpt=2 data=1 quit=1 commands=7`,
  'smtp[10]: AAAAAAAAAA1: to=<u@example.com>, relay=127.0.0.1[127.0.0.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 Ok)',
  'lmtp[11]: AAAAAAAAAA1: to=<v@example.com>, orig_to=<w@example.com>, relay=x[unix], delay=0.1, status=deferred (no)',
  'qmgr[9]: AAAAAAAAAA1: removed',
]
const ATTEMPTS = [
  '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> pass',
  '0 192.0.2.7 mail.example.org <a@example.org> <w@example.com> pass',
]

test('what passed has its client from smtpd, its sender from qmgr and its recipients from who delivers it', async (t) => {
  const read1 = await read(t, ACCEPTED)
  assert.deepEqual(summaries(read1), ATTEMPTS)
  assert.deepEqual(counts(read1.notes), { 'no-spf': 2, rewritten: 2 })
  // smtpd's last line may come before qmgr's, and a delivery before that.
  const [client, id, from, bye, first, second, removed] = ACCEPTED
  const reordered = [client, id, bye, first, from, second, removed].map((line) => line ?? '')
  assert.deepEqual(summaries(await read(t, reordered)), ATTEMPTS)
})

test('what was deferred has all in one line, at each stage and by whom ever', async (t) => {
  const from = 'from=<a@example.org>'
  const { attempts, notes } = await read(t, [
    `smtpd[7]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: ${GREY}; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: RCPT from unknown[2001:db8::7]:12345: ${GREY}; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: 451-4.7.1 two lines; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: MAIL from ${CLIENT}: ${GREY}; ${from} ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: MAIL from ${CLIENT}: 550 5.7.1 no; ${from} ${TAIL}`,
    `smtpd[7]: NOQUEUE: reject: RCPT from ${CLIENT}: 450 4.2.0 <u@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: reject: RCPT from ${CLIENT}: 450 4.1.8 <a@example.org>: Sender address rejected: Domain not found; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: reject: RCPT from ${CLIENT}: 554 5.7.1 <u@x>: Relay access denied; ${from} to=<u@x> ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: 550 5.7.1 no; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: 451 4.7.1 Service unavailable - try again later; ${from} to=<u@example.com> ${TAIL}`,
    `submission/smtpd[7]: NOQUEUE: milter-reject: RCPT from unknown[unknown]: ${GREY}; ${from} to=<u@example.com> ${TAIL}`,
    `smtpd[7]: NOQUEUE: reject: CONNECT from ${CLIENT}: 554 5.7.1 Service unavailable; proto=SMTP`,
    `postscreen[7]: NOQUEUE: reject: RCPT from [192.0.2.9]:5678: 450 4.3.2 Service currently unavailable; ${from}, to=<u@example.com>, proto=ESMTP, helo=<h>`,
  ])
  assert.deepEqual(summaries({ attempts, notes }), [
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '0 2001:db8::7 - <a@example.org> <u@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <a@example.org> <-> tempfail',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> -',
  ])
  assert.equal(attempts[0]?.attempt.client.helo, 'client.test')
  const { refused, ...others } = counts(notes)
  assert.deepEqual([refused, others['no-client'], others['no-recipient'], others.unnamed], [4, 1, 1, 1])
})

test('a bounce is deferred at DATA, and a message refused behind DATA had passed', async (t) => {
  const read1 = await read(t, [
    `smtpd[7]: AAAAAAAAAA1: client=${CLIENT}`,
    `smtpd[7]: AAAAAAAAAA1: milter-reject: DATA from ${CLIENT}: ${GREY}; from=<> to=<u@example.com> ${TAIL}`,
    `smtpd[7]: AAAAAAAAAA2: client=${CLIENT}`,
    `smtpd[7]: AAAAAAAAAA2: milter-reject: RCPT from ${CLIENT}: ${GREY}; from=<a@example.org> to=<v@example.com> ${TAIL}`,
    `cleanup[8]: AAAAAAAAAA2: milter-reject: END-OF-MESSAGE from ${CLIENT}: 5.7.1 Spam; from=<rewritten@example.org> to=<u@example.com> ${TAIL}`,
    `smtpd[7]: AAAAAAAAAA3: client=${CLIENT}, sasl_method=PLAIN, sasl_username=joe`,
    `cleanup[8]: AAAAAAAAAA3: reject: header Subject: bad from ${CLIENT}; from=<b@example.org> to=<u@example.com> ${TAIL}: 5.7.1 bad`,
    `smtpd[7]: AAAAAAAAAA4: client=${CLIENT}`,
    `smtpd[7]: disconnect from ${CLIENT} ehlo=2 mail=4 rcpt=4/5 rset=3 quit=1 commands=12/17`,
  ])
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.7 mail.example.org <> <u@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> pass',
    '0 192.0.2.7 mail.example.org <a@example.org> <v@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <b@example.org> <u@example.com> pass authenticated',
  ])
  const { dropped, ...others } = counts(read1.notes)
  assert.deepEqual([dropped, others['after-data']], [1, 3])
})

test('mail of content filters, of the host itself and of instances is told apart', async (t) => {
  const dir = await logFolder(t)
  const line = (program: string, text: string) => `2026-11-26T13:06:03+00:00 mx1 ${program}[7]: ${text}`
  const delivered = (program: string, id: string, sender: string) => [
    line(`${program}/qmgr`, `${id}: from=<${sender}>, size=372, nrcpt=1 (queue active)`),
    line(
      `${program}/smtp`,
      `${id}: to=<u@example.com>, relay=x[10.0.0.1]:25, delay=0.1, status=sent (250 Ok)`,
    ),
  ]
  const path = await logFile(dir, [
    line(
      'postfix/smtpd',
      'AAAAAAAAAA1: client=localhost[127.0.0.1], orig_queue_id=BBBBBBBBBB1, orig_client=a.test[192.0.2.1]',
    ),
    ...delivered('postfix', 'AAAAAAAAAA1', 'filtered@x.test'),
    line('postfix/smtpd', 'NOQUEUE: client=a.test[192.0.2.1]'),
    line('postfix/10025/smtpd', 'AAAAAAAAAA2: client=localhost[127.0.0.1], orig_client=a.test[192.0.2.1]'),
    ...delivered('postfix', 'AAAAAAAAAA2', 'proxied@x.test'),
    line('postfix/pickup', 'AAAAAAAAAA3: uid=0 from=<root>'),
    ...delivered('postfix', 'AAAAAAAAAA3', 'root@x.test'),
    line('mx-in/smtpd', 'AAAAAAAAAA4: client=b.test[192.0.2.2]'),
    ...delivered('postfix', 'AAAAAAAAAA4', 'other@x.test'),
    ...delivered('mx-in', 'AAAAAAAAAA4', 'instance@x.test'),
  ])
  const read1 = await readAll(path)
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.1 a.test <proxied@x.test> <u@example.com> pass',
    '0 192.0.2.2 b.test <instance@x.test> <u@example.com> pass',
  ])
  assert.deepEqual([counts(read1.notes).reinjected, counts(read1.notes).local], [1, 1])
})

test('addresses cannot pass for other fields, and what can be read in two ways is left out', async (t) => {
  const reject = (text: string) => `smtpd[7]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: ${text}`
  const sound = 'from=<a@example.org> to=<u@example.com>'
  const read1 = await read(t, [
    reject(`${GREY}; from=<"x> to=<y@z"@example.org> to=<"; from=<u"@example.com> ${TAIL}`),
    reject(`451 4.7.1 <"; from=<b@b> to=<c@c> ${TAIL}"@example.com> later; ${sound} ${TAIL}`),
    // Postfix before 3.5 wrote addresses without quotes.
    reject(`${GREY}; from=<x@b> to=<victim@example.com> ${TAIL}@evil.test> to=<u@example.com> ${TAIL}`),
    reject(`${GREY}; from=<a@example.org> to=<x> to=<y@example.com> ${TAIL}`),
    reject(`${GREY}; from=<a@example.org> to=<u@example.com> proto=ESMTP helo=<h> proto=SMTP helo=<x>`),
    reject(`${GREY}; from=<a@example.org> to=<u@example.com`),
    reject(`${GREY}; from=<"a@example.org> to=<u@example.com> ${TAIL}`),
    reject(`${GREY}${'; from=<'.repeat(1000)}`),
    reject('451 nothing at all'),
    'smtpd[7]: NOQUEUE: milter-reject: RCPT from nobody at all',
    'smtpd[7]: AAAAAAAAAA1: client=broken',
    `smtpd[7]: AAAAAAAAAA2: client=${CLIENT}`,
    'qmgr[9]: AAAAAAAAAA2: from=<"b>, size=1, nrcpt=9 (queue active)"@example.org>, size=372, nrcpt=1 (queue active)',
    'smtp[10]: AAAAAAAAAA2: to=<cut',
    'smtp[10]: AAAAAAAAAA2: to=<"x>, relay=y"@example.com>, relay=z[10.0.0.1]:25, delay=0.1, status=sent (250 >, relay=)',
  ])
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.7 mail.example.org <"x> to=<y@z"@example.org> <"; from=<u"@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <"b>, size=1, nrcpt=9 (queue active)"@example.org> <"x>, relay=y"@example.com> pass',
  ])
  assert.deepEqual([counts(read1.notes).forged, counts(read1.notes).malformed], [4, 7])
})

test('a message that is not told to the end holds others up for ten minutes of the log at most', async (t) => {
  const dir = await logFolder(t)
  const at = (seconds: number) => new Date(Date.parse('2026-11-26T13:00:00Z') + seconds * 1000).toISOString()
  const deferral = (seconds: number) =>
    `${at(seconds)} mx1 postfix/smtpd[${seconds}]: NOQUEUE: milter-reject: RCPT from ${CLIENT}: ${GREY}; from=<a@x> to=<u${seconds}@y> ${TAIL}`
  const path = await logFile(dir, [
    `${at(0)} mx1 postfix/smtpd[7]: AAAAAAAAAA1: client=${CLIENT}`,
    `${at(1)} mx1 postfix/qmgr[9]: AAAAAAAAAA1: from=<slow@x>, size=372, nrcpt=3 (queue active)`,
    deferral(2),
    `${at(3)} mx1 postfix/smtp[9]: AAAAAAAAAA1: to=<u@y>, relay=none, delay=2, status=deferred (no route)`,
    deferral(601),
    `${at(602)} mx1 postfix/smtp[9]: AAAAAAAAAA1: to=<v@y>, relay=none, delay=602, status=deferred (no route)`,
    `${at(603)} mx1 postfix/smtpd[7]: AAAAAAAAAA2: client=${CLIENT}`,
  ])
  const read1 = await readAll(path)
  assert.deepEqual(
    summaries(read1).map((line) => line.replace(/ .*<(\S+)> (\S+)$/, ' $1 $2')),
    ['0 u@y pass', '2000 u2@y tempfail', '601000 u601@y tempfail'],
  )
  const { late, ...others } = counts(read1.notes)
  assert.deepEqual([late, others['no-recipients'], others.dropped], [1, 2, 1])
})
