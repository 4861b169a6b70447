// What holds for the readers of all peers: any bytes end in records or in an error for the operator, and an endless line
// or statement takes no memory.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { PEERS } from '../../../src/import/peers/peers.ts'
import { scratch } from '../../support/scratch.ts'
import { fileWith, readPeer } from './support.ts'

/** Peers that leave files behind. */
const WITH_FILES = PEERS.map(({ name }) => name).filter((name) => name !== 'haraka')

/** Beginnings by which files of SQLite and of Berkeley DB are told from dumps. */
const MAGICS = ['SQLite format 3\0', `${'\0'.repeat(12)}b1\x05\0`]

/** Pieces of which files of the peers consist, so that random ones come far into the readers. */
const PIECES = [
  ...[
    'VERSION=3\nformat=print\nHEADER=END\n',
    'format=bytevalue\n',
    ' 192.0.2.0/a@b/c@d\n',
    ' 1,400\n',
    'DATA=END\n',
  ],
  ...[
    '192.0.2.7\t<a@b>\t<c@d>\t1700000000',
    ' AUTO',
    ' # ',
    '\n',
    'GREY|192.0.2.7|',
    'WHITE|::1|||1|2|3|4|5\n',
  ],
  ...[
    'a|b|',
    '1|2|3|4|5\n',
    'INSERT INTO ',
    '`connect` ',
    '"relaytofrom"',
    'VALUES ',
    '(',
    ')',
    ',',
    ';',
    "'",
    '\\',
  ],
  ...[
    'COPY public.connect (src) FROM stdin;\n',
    '\\.\n',
    '\t',
    'CREATE TABLE connect (src text);',
    '/*',
    '*/',
    '-- ',
  ],
  ...[
    "('a','b','192.0.2','c@d',1700000000)",
    'NULL',
    "E'",
    "/*!40103 SET TIME_ZONE='+00:00' */",
    '\0',
    '\xff',
  ],
]

const content = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string(), fc.string({ unit: 'binary' })), { maxLength: 30 })
  .map((pieces) => Buffer.from(pieces.join(''), 'latin1'))

test('any bytes end in records, or in an error that says what was expected', async (t) => {
  const file = await fileWith(t, '')
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...WITH_FILES), content, async (name, bytes) => {
      await writeFile(file, bytes)
      const records = await readPeer(name, file).catch((error: Error) => {
        assert.match(error.message, /expected .*(?:db_dump|mysqldump)/, error.stack)
        return []
      })
      for (const record of records) {
        if ('problem' in record) assert.match(record.where, /^\d+$/)
        else assert.match(record.client, /^[\d.:a-f]+(?:\/\d+)?$/)
      }
    }),
    { numRuns: 500 },
  )
})

test('a database that is damaged ends in an error', async (t) => {
  const file = await fileWith(t, '')
  for (const magic of MAGICS) {
    await writeFile(file, Buffer.concat([Buffer.from(magic, 'latin1'), Buffer.alloc(8192, 'rubbish')]))
    for (const name of ['postgrey', 'sqlgrey'])
      await assert.rejects(
        readPeer(name, file),
        /sqlite3 could not dump|db_dump: |expected .*(?:db_dump|mysqldump)/,
      )
  }
})

test('a line, a string and a statement without an end are held in part only', async (t) => {
  const file = join(await scratch(t), 'endless')
  const beginnings: Readonly<Record<string, string>> = {
    postgrey: 'VERSION=3\nHEADER=END\n ',
    sqlgrey: "INSERT INTO connect VALUES ('",
    'milter-greylist': '192.0.2.7\t',
    spamdb: 'GREY|',
    relaydelay: 'INSERT INTO relaytofrom VALUES (',
  }
  const piece = Buffer.alloc(1 << 20, '7')
  for (const name of WITH_FILES) {
    await writeFile(file, beginnings[name] ?? '')
    const handle = await open(file, 'a')
    for (let megabyte = 0; megabyte < 16; megabyte += 1) await handle.write(piece)
    await handle.close()
    const [record, ...more] = await readPeer(name, file)
    assert.equal(record?.kind, 'broken')
    assert.ok(more.length <= 1 && JSON.stringify(record).length < 1000)
  }
})

test('a dump is read from a named pipe, to its first byte', async (t) => {
  const pipe = join(await scratch(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  const dump =
    '/*!40103 SET TIME_ZONE */; INSERT INTO connect VALUES ("a","b.test","192.0.2.7","c@d.test",1700000000);'
  const [[record]] = await Promise.all([readPeer('sqlgrey', pipe), writeFile(pipe, dump)])
  assert.deepEqual(record?.kind, 'waiting')
  const bdb = 'VERSION=3\nHEADER=END\n 192.0.2.7/a@b.test/c@d.test\n 1,400\nDATA=END\n'
  const [[passed]] = await Promise.all([readPeer('postgrey', pipe), writeFile(pipe, bdb)])
  assert.deepEqual(passed?.kind, 'passed')
})

test('a folder, and a file that is not there, are told by their codes', async (t) => {
  const dir = await scratch(t)
  for (const name of WITH_FILES) {
    await assert.rejects(readPeer(name, join(dir, 'none')), { code: 'ENOENT' })
    if (name !== 'postgrey') await assert.rejects(readPeer(name, dir), { code: 'EISDIR' })
  }
})
