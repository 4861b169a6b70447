// The reader of milter-greylist's greylist.db. The file is as pending_textdump() and autowhite_textdump() of
// milter-greylist write it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOW, readText } from './support.ts'

const SECONDS = NOW / 1000
const HOUR = 3600

const GREYLIST_DB = `#
# milter-greylist databases, dumped by milter-greylist-4.6.2 on 2023-11-14 23:13:20.
# DO NOT EDIT while milter-greylist is running, changes will be overwritten.
#


#
# stored tuples
#
# Sender IP\tSender e-mail\tRecipient e-mail\tTime accepted\tUnsuccessful shortest tarpit
192.0.2.7\t<anna@example.org>\t<bob@example.com>\t${SECONDS - 600} # 2023-11-14 22:03:20
2001:db8::7\t<>\t<bob@example.com>\t${SECONDS + 600}
198.51.100.9\t<a#1@example.org>\t<bob@example.com>\t${SECONDS + HOUR} AUTO # 2023-11-14 23:13:20
198.51.100.9\t=anna@example.org>\t<bob@example.com>\t${SECONDS + HOUR} AUTO
203.0.113.3\t<anna@example.org>\t<bob@example.com>\t${SECONDS}\t120 TARPIT # 2023-11-14 22:13:20


#
# Auto-whitelisted tuples
#
# Sender IP                       Sender e-mail                    Recipient e-mail    Expire
192.0.2.8                 anna@example.org                     bob@example.com    ${SECONDS - 40 * HOUR} AUTO
192.0.2.8 anna@example.org bob@example.com yesterday
#
# Summary: 7 records, 2 greylisted, 3 whitelisted, 1 tarpitted
#
`

test("greylist.db: time accepted is the delay's end, and with AUTO the pass's", async (t) => {
  const [waiting, bounce, passed, verp, tarpitted, old, wrong, ...more] = await readText(
    t,
    'milter-greylist',
    GREYLIST_DB,
  )
  const triplet = { sender: 'anna@example.org', recipient: 'bob@example.com' }
  assert.deepEqual(waiting, {
    kind: 'waiting',
    client: '192.0.2.7',
    ...triplet,
    firstSeen: NOW - 40 * 60_000,
  })
  assert.deepEqual(bounce, {
    kind: 'waiting',
    client: '2001:db8::7',
    ...triplet,
    sender: '',
    firstSeen: NOW - 20 * 60_000,
  })
  assert.deepEqual(passed, {
    kind: 'passed',
    client: '198.51.100.9',
    ...triplet,
    sender: 'a#1@example.org',
    lastUsed: NOW - 23 * HOUR * 1000,
    expiresAt: NOW + HOUR * 1000,
  })
  assert.equal(verp?.kind, 'unknowable')
  assert.equal(tarpitted?.kind, 'unknowable')
  assert.deepEqual(old, {
    kind: 'passed',
    client: '192.0.2.8',
    ...triplet,
    lastUsed: NOW - 64 * HOUR * 1000,
    expiresAt: NOW - 40 * HOUR * 1000,
  })
  assert.deepEqual(wrong, {
    kind: 'broken',
    where: '23',
    problem:
      'Cannot read "192.0.2.8 anna@example.org bob@example.com yesterday": ' +
      'expected IP SENDER RECIPIENT SECONDS, and AUTO behind it for a pass',
  })
  assert.deepEqual(more, [])
})
