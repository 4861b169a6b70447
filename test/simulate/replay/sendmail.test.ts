// Sendmail's lines: what becomes of a message from its first line to its last recipient, at each log level that its
// operators use, and what a client cannot do to it with its addresses. Real logs are replayed in test/mta.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logFile, logFolder } from './files.ts'
import { counts, type ReadAll, readAll, summaries } from './reading.ts'

/** Reads lines of one host; the seconds are those of a stamp without a fraction. */
async function read(
  t: { after(end: () => Promise<void>): void },
  lines: ReadonlyArray<readonly [second: number, text: string]>,
): Promise<ReadAll> {
  const dir = await logFolder(t)
  const stamped = lines.map(([second, text]) => `2026-11-26T13:06:0${second}+00:00 mx1 sm-mta[14]: ${text}`)
  return readAll(await logFile(dir, stamped))
}

const GREY = 'reject=451 4.7.1 Greylisted, please try again later (2b642cac)'
const RELAY = 'relay=mail.example.org [192.0.2.7]'
const DONE = 'proto=ESMTP, daemon=MTA'
const SENT =
  'delay=00:00:00, xdelay=00:00:00, mailer=esmtp, pri=60015, relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, stat=Sent (Ok)'
const [ONE, TWO, THREE, FOUR] = ['6AQD63tm000001', '6AQD63tm000002', '6AQD63tm000003', '6AQD63tm000004']

test('deferred recipients have their own times, and those that passed that of the first line', async (t) => {
  const read1 = await read(t, [
    [1, `${ONE}: milter=greymx, action=rcpt, ${GREY}`],
    [1, `${ONE}: Milter: to=<u@example.com>, ${GREY}`],
    [2, `${ONE}: Milter: to=<v@example.com>, ${GREY}`],
    [4, `${ONE}: from=<a@example.org>, size=15, class=0, nrcpts=2, msgid=<x@y>, ${DONE}, ${RELAY}`],
    [5, `${ONE}: to=<w@example.com>,<x@example.com>, ${SENT}`],
    [
      6,
      `${TWO}: from=<a@example.org>, size=15, class=0, nrcpts=3, msgid=<x@y>, ${DONE}, ${RELAY} (may be forged)`,
    ],
    [7, `${TWO}: to=<one@example.net>,<two@example.net>, [more], ctladdr=<list@example.com> (8/0), ${SENT}`],
    [7, `${TWO}: to=joe, ctladdr=<joe@example.com> (1000/1000), ${SENT}`],
    [8, `${THREE}: Milter: from=<b@example.org>, ${GREY}`],
    [9, `${THREE}: from=<b@example.org>, size=0, class=0, nrcpts=0, ${DONE}, ${RELAY}`],
  ])
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.7 mail.example.org <a@example.org> <w@example.com> pass',
    '0 192.0.2.7 mail.example.org <a@example.org> <x@example.com> pass',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '1000 192.0.2.7 mail.example.org <a@example.org> <v@example.com> tempfail',
    '5000 192.0.2.7 - <a@example.org> <list@example.com> pass',
    '5000 192.0.2.7 - <a@example.org> <joe@example.com> pass',
    '7000 192.0.2.7 mail.example.org <b@example.org> <-> tempfail',
  ])
  const { 'no-recipients': missing, 'whole-seconds': whole, 'accepted-late': late } = counts(read1.notes)
  assert.deepEqual([missing, whole, late], [undefined, 7, 4])
})

test('a bounce is deferred at DATA, and one that ends before it is a callout', async (t) => {
  const end = `size=0, class=0, nrcpts=1, ${DONE}, ${RELAY}`
  const read1 = await read(t, [
    [1, `${ONE}: Milter: cmd=data, ${GREY}`],
    [2, `${ONE}: to=<u@example.com>, delay=00:00:00, pri=0, stat=RSET`],
    [2, `${ONE}: from=<>, ${end}`],
    [3, `${TWO}: to=<u@example.com>, delay=00:00:00, pri=0, stat=RSET`],
    [3, `${TWO}: from=<>, ${end}`],
    // Without RSET, and at LogLevel 9, the recipients are not logged.
    [4, `${THREE}: Milter: data, ${GREY}`],
    [4, `${THREE}: from=<>, ${end}`],
    [5, `${FOUR}: from=<a@example.org>, size=15, class=0, nrcpts=1, msgid=<x@y>, ${DONE}, ${RELAY}`],
    [5, `${FOUR}: to=<u@example.com>, ${SENT}`],
  ])
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.7 mail.example.org <> <u@example.com> tempfail',
    '2000 192.0.2.7 mail.example.org <> <u@example.com> pass',
    '4000 192.0.2.7 mail.example.org <a@example.org> <u@example.com> pass',
  ])
  assert.deepEqual(
    read1.attempts.map(({ endedBeforeData }) => endedBeforeData),
    [false, true, false],
  )
  assert.deepEqual([counts(read1.notes)['no-recipients'], counts(read1.notes).callout], [1, 1])
})

test('clients are those that SMTP knows, and have logged in where Sendmail says so', async (t) => {
  const message = (id: string, relay: string, proto = 'ESMTP') => [
    [
      1,
      `${id}: from=<a@example.org>, size=15, class=0, nrcpts=1, msgid=<x@y>, proto=${proto}, daemon=MTA, ${relay}`,
    ] as const,
    [1, `${id}: to=<u@example.com>, ${SENT}`] as const,
  ]
  const read1 = await read(t, [
    ...message(ONE, 'relay=[IPv6:2001:db8:0:0:0:0:0:7]'),
    ...message(TWO, 'relay=ident@mail.example.org [192.0.2.7]', 'ESMTPSA'),
    [
      1,
      'AUTH=server, relay=mail.example.org [192.0.2.8], authid=j, mech=PLAIN, bits=0, mech=CRAM-MD5, bits=0',
    ],
    ...message(THREE, 'relay=mail.example.org [192.0.2.8]'),
    [1, 'AUTH=server, relay=mail.example.org [192.0.2.9], authid=joe, mech=EXTERNAL, bits=0'],
    ...message(FOUR, 'relay=mail.example.org [192.0.2.9]', 'ESMTPSA'),
    ...message('6AQD63tm000005', 'relay=root@localhost'),
    ...message('6AQD63tm000006', 'relay=[unix]'),
    [1, '6AQD63tm000007: to=<u@example.com>, ctladdr=<root@mx1> (0/0), stat=Sent'],
  ])
  assert.deepEqual(summaries(read1), [
    '0 2001:db8::7 - <a@example.org> <u@example.com> pass',
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> pass authenticated',
    '0 192.0.2.8 mail.example.org <a@example.org> <u@example.com> pass authenticated',
    '0 192.0.2.9 mail.example.org <a@example.org> <u@example.com> pass',
  ])
  assert.deepEqual([counts(read1.notes).local, counts(read1.notes)['no-client']], [1, 1])
})

test('addresses cannot pass for other fields, and what is cut or not whole is left out', async (t) => {
  const end = `size=0, class=0, nrcpts=0, ${DONE}, ${RELAY}`
  const read1 = await read(t, [
    [1, `${ONE}: Milter: to=<"x>, reject=451 "@example.com>, ${GREY}`],
    [1, `${ONE}: Milter: to=<"a\\\\"> b\\303\\251"@example.com>, ${GREY}`],
    [1, `${ONE}: from=<"a>, size=1, relay=x [10.0.0.1]"@b.test>, ${end}`],
    [2, `${TWO}: Milter: to=<u@example.com>, ${GREY}`],
    [2, `${TWO}: from=<${'a'.repeat(199)}, size=0, class=0, nrcpts=0, msgid=<x>, ${DONE}, ${RELAY}`],
    [3, `${THREE}: Milter: to=<u@example.com>, ${GREY.replace('451', '550')}`],
    [3, `${THREE}: Milter: to=<u@example.com>, reject=451 4.3.2 Please try again later`],
    [3, `${THREE}: Milter: to=<u@example.com`],
    [3, `${THREE}: Milter: to=<u@example.com>, reject=later`],
    [3, `${THREE}: from=a@example.org, ${end}`],
    [
      4,
      `${FOUR}: from=<a@example.org>, size=15, class=0, nrcpts=2, msgid=<x, relay=y [10.0.0.1]>, ${DONE}, ${RELAY}`,
    ],
    [4, `${FOUR}: to=<"u>,<v"@example.com>,<w@example.com>, ${SENT}`],
    [5, `${FOUR}: to=<late@example.com>, ${SENT}`],
    [5, `6AQD63tm000005: from=<a@example.org>, size=15`],
  ])
  assert.deepEqual(summaries(read1), [
    '0 192.0.2.7 mail.example.org <"a>, size=1, relay=x [10.0.0.1]"@b.test> <"x>, reject=451 "@example.com> tempfail',
    '0 192.0.2.7 mail.example.org <"a>, size=1, relay=x [10.0.0.1]"@b.test> <"a\\"> bé"@example.com> tempfail',
    '2000 192.0.2.7 mail.example.org <a@example.org> <u@example.com> -',
    '3000 192.0.2.7 mail.example.org <a@example.org> <"u>,<v"@example.com> pass',
    '3000 192.0.2.7 mail.example.org <a@example.org> <w@example.com> pass',
  ])
  const { malformed, refused, 'no-sender': cut } = counts(read1.notes)
  assert.deepEqual([malformed, refused, cut], [3, 1, 2])
})
