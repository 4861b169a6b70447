// The reader of what spamdb(8) prints. The lines are as print_entry() in OpenBSD's spamdb.c writes them; the GREY one with
// fewer fields is that of versions before OpenBSD 4.1.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOW, readText } from './support.ts'

const SECONDS = NOW / 1000
const DAY = 86_400

const OUTPUT = `WHITE|192.0.2.7|||${SECONDS - 90 * DAY}|${SECONDS - 89 * DAY}|${SECONDS + 30 * DAY}|3|120
GREY|198.51.100.9|mail.example.org|<anna@example.org>|<bob@example.com>|${SECONDS - 600}|${SECONDS + 900}|${SECONDS + 13_800}|1|0
GREY|198.51.100.9|<>|<bob@example.com>|${SECONDS - 600}|${SECONDS + 900}|${SECONDS + 13_800}|1|0
GREY|198.51.100.9||<anna@example.org>|<bob@example.com>|${SECONDS - DAY}|${SECONDS - DAY}|${SECONDS}|1|0
TRAPPED|203.0.113.3|${SECONDS + DAY}
SPAMTRAP|trap@example.com
WHITE|mail.example.org|||1|2|3|4|5
GREY|198.51.100.9|mail.example.org|<anna@example.org>
`

test('spamdb: WHITE is a listing, GREY waits, and traps are unknown to greymx', async (t) => {
  const [white, grey, old, trapped, trap, name, cut, ...more] = await readText(t, 'spamdb', OUTPUT)
  assert.deepEqual(white, {
    kind: 'listed',
    client: '192.0.2.7',
    lastUsed: NOW - 6 * DAY * 1000,
    expiresAt: NOW + 30 * DAY * 1000,
  })
  const triplet = { kind: 'waiting', client: '198.51.100.9', recipient: 'bob@example.com' }
  assert.deepEqual(grey, { ...triplet, sender: 'anna@example.org', firstSeen: NOW - 600_000 })
  assert.deepEqual(old, { ...triplet, sender: '', firstSeen: NOW - 600_000 })
  // The entry that expires now is none.
  assert.deepEqual(
    [trapped, trap].map((record) => record?.kind),
    ['unknowable', 'unknowable'],
  )
  assert.deepEqual(name, {
    kind: 'broken',
    where: '7',
    problem:
      'Cannot read "WHITE|mail.example.org|||1|2|3|4|5": expected WHITE|IP|||FIRST|PASS|EXPIRE|BLOCKED|PASSED',
  })
  assert.equal(cut?.kind, 'broken')
  assert.deepEqual(more, [])
})
