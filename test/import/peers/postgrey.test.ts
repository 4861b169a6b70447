// The reader of Postgrey's databases: what db_dump prints of them, and the folder of Debian's Postgrey while it runs.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPostgrey } from '../../support/postgrey.ts'
import { scratch } from '../../support/scratch.ts'
import { fileWith, NOW, readPeer, readText } from './support.ts'

const SECONDS = NOW / 1000

/** A dump in the form of `db_dump -p` with these lines of data. */
function printed(...lines: readonly string[]): string {
  return [
    ...['VERSION=3', 'format=print', 'type=btree', 'db_pagesize=4096', 'HEADER=END'],
    ...lines.map((line) => ` ${line}`),
    ...['DATA=END', ''],
  ].join('\n')
}

/** The same in the form of `db_dump` without -p. */
function inHex(...lines: readonly string[]): string {
  return printed(...lines.map((line) => Buffer.from(line).toString('hex'))).replace(
    'format=print',
    'format=bytevalue',
  )
}

const WAITING = { kind: 'waiting', firstSeen: NOW - 600_000 } as const
const PASSED = { kind: 'passed', lastUsed: NOW } as const

test('postgrey: a key has client, sender and recipient, each of which may have a /', async (t) => {
  const value = `${SECONDS - 600},${SECONDS - 301}`
  const keys: ReadonlyArray<readonly [key: string, client: string, sender: string, recipient: string]> = [
    ['192.0.2.0/anna@example.org/bob@example.com', '192.0.2.0/24', 'anna@example.org', 'bob@example.com'],
    ['192.0.2.7/anna@example.org/bob@example.com', '192.0.2.7', 'anna@example.org', 'bob@example.com'],
    ['2001:db8:0:0:0:0:0:0/a@b.org/c@d.org', '2001:db8::/64', 'a@b.org', 'c@d.org'],
    ['2001:db8:0:0:0:0:0:7/a@b.org/c@d.org', '2001:db8::7', 'a@b.org', 'c@d.org'],
    ['192.0.2.0//bob@example.com', '192.0.2.0/24', '', 'bob@example.com'],
    ['192.0.2.0//a/b@example.com', '192.0.2.0/24', '', 'a/b@example.com'],
    ['192.0.2.0/root/bob@example.com', '192.0.2.0/24', 'root', 'bob@example.com'],
    ['192.0.2.0/anna@example.org/bob', '192.0.2.0/24', 'anna@example.org', 'bob'],
    ['192.0.2.0//s=joe/o=x/@a.org/c=/b@d.org', '192.0.2.0/24', '/s=joe/o=x/@a.org', 'c=/b@d.org'],
    ['192.0.2.0/root/bob', '192.0.2.0/24', 'root', 'bob'],
  ]
  for (const dump of [printed, inHex]) {
    const records = await readText(t, 'postgrey', dump(...keys.flatMap(([key]) => [key, value])))
    assert.deepEqual(
      records,
      keys.map(([, client, sender, recipient]) => ({ ...WAITING, client, sender, recipient })),
    )
  }
})

test('postgrey: a triplet has passed once its attempts lie 300 s apart, a client once 5 have', async (t) => {
  const key = '192.0.2.0/anna@example.org/bob@example.com'
  const triplet = { client: '192.0.2.0/24', sender: 'anna@example.org', recipient: 'bob@example.com' }
  const values = [
    `${SECONDS - 600},${SECONDS - 301}`,
    `${SECONDS - 300},${SECONDS}`,
    `${SECONDS - 600},${SECONDS + 9},mail.example.org`,
  ]
  const triplets = printed(...values.flatMap((value) => [key, value]))
  const clients = printed('192.0.2.7', `5,${SECONDS}`, '192.0.2.8', `4,${SECONDS}`)
  const records = await readText(t, 'postgrey', triplets + clients)
  assert.deepEqual(records, [
    { ...WAITING, ...triplet },
    { ...PASSED, ...triplet },
    { ...PASSED, ...triplet },
    { kind: 'listed', client: '192.0.2.7', lastUsed: NOW },
  ])
})

test('postgrey: what the databases do not tell goes by greymx, if that asks for less of a wait or more passes', async (t) => {
  const key = '192.0.2.0/anna@example.org/bob@example.com'
  const dump = await fileWith(t, printed(key, `${SECONDS - 10},${SECONDS - 5}`, '192.0.2.7', `6,${SECONDS}`))
  for (const [delay, passes, expected] of [
    [5000, 2, ['passed', 'listed']],
    [5001, 6, ['waiting', 'listed']],
    [600_000, 7, ['waiting']],
  ] as const) {
    const records = await readPeer('postgrey', dump, NOW, { delay, passes })
    assert.deepEqual(
      records.map(({ kind }) => kind),
      expected,
    )
  }
  const late = await fileWith(t, printed(key, `${SECONDS - 600},${SECONDS - 300}`))
  assert.equal((await readPeer('postgrey', late, NOW, { delay: 600_000 }))[0]?.kind, 'passed')
})

test('postgrey: bytes that db_dump escapes are those of the address', async (t) => {
  const value = `${SECONDS - 600},${SECONDS - 600}`
  const keys = [
    String.raw`192.0.2.0/a\\b\c3\a4@example.org/b@example.com`,
    String.raw`192.0.2.0/a\ff\00@example.org/b@example.com`,
  ]
  const records = await readText(t, 'postgrey', printed(...keys.flatMap((key) => [key, value])))
  assert.deepEqual(
    records.map((record) => 'sender' in record && record.sender),
    [String.raw`a\bä@example.org`, 'a\udcff\0@example.org'],
  )
})

test('postgrey: what is no dump is refused by its first line, and records by theirs', async (t) => {
  await assert.rejects(
    readText(t, 'postgrey', 'anna@example.org\n'),
    /^Error: line 1: found "anna@example\.org": expected Postgrey's folder, or what db_dump prints of postgrey\.db$/,
  )
  await assert.rejects(readText(t, 'postgrey', ''), /^Error: line 1: found no HEADER=END: expected/)
  await assert.rejects(
    scratch(t).then((dir) => readPeer('postgrey', dir)),
    /^Error: it has no postgrey\.db: expected the folder of --dbdir$/,
  )
  const value = `${SECONDS},${SECONDS}`
  const wrong = printed(
    ...['mail/a@b.org/c@d.org', value, '192.0.2.0/a@b.org', value, '192.0.2.0/a@b.org/c@d.org', 'yesterday'],
    ...['192.0.2.0/a@b.org/c@d.org', String.raw`\zz`, 'alone'],
  ).replace('DATA=END\n', '')
  assert.deepEqual(
    (await readText(t, 'postgrey', wrong)).map((record) =>
      'where' in record ? `${record.where}: ${record.problem}` : record.kind,
    ),
    [
      '6: Cannot read "mail/a@b.org/c@d.org": expected CLIENT/SENDER/RECIPIENT, or an IP address',
      '8: Cannot read "192.0.2.0/a@b.org": expected CLIENT/SENDER/RECIPIENT',
      '10: value "yesterday" of "192.0.2.0/a@b.org/c@d.org": expected two numbers',
      '12: expected a key and a value, as db_dump prints them',
      '14: the dump ends without DATA=END: expected the whole of it',
    ],
  )
})

test("postgrey: its folder is read while it runs, and --privacy's hashes are unknowable", async (t) => {
  for (const privacy of [false, true]) {
    const dir = await scratch(t)
    const postgrey = await startPostgrey({
      dir,
      time: SECONDS,
      isReadable: true,
      options: privacy ? ['--privacy'] : [],
    })
    const ask = (sender: string, seconds: number) =>
      postgrey.ask({
        client_address: '198.51.100.7',
        client_name: 'mail.example.org',
        sender,
        recipient: 'Bob@example.com',
        policy_test_time: `${SECONDS + seconds}`,
      })
    await ask('anna@example.org', -600)
    for (let hour = 10; hour > 5; hour -= 1) {
      await ask(`${hour}-news+${hour}@example.org`, -hour * 3600 - 300)
      await ask(`${hour}-news+${hour}@example.org`, -hour * 3600)
    }
    const records = await readPeer('postgrey', dir)
    if (privacy) {
      assert.deepEqual([...new Set(records.map(({ kind }) => kind))], ['unknowable'])
      continue
    }
    const triplet = { client: '198.51.100.0/24', recipient: 'bob@example.com' }
    assert.deepEqual(records, [
      { kind: 'passed', ...triplet, sender: '#-news@example.org', lastUsed: NOW - 6 * 3_600_000 },
      { ...WAITING, ...triplet, sender: 'anna@example.org' },
    ])
    assert.deepEqual(await readPeer('postgrey', join(dir, 'postgrey.db')), records)
    // db_dump takes the current folder for that of the log, unless it is told another one.
    const current = process.cwd()
    process.chdir(dir)
    t.after(() => process.chdir(current))
    assert.deepEqual(await readPeer('postgrey', '.'), records)
  }
})
