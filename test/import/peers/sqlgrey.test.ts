// The reader of sqlgrey's database: dumps in the forms of three databases, its SQLite file, and one made by Debian's
// sqlgrey itself.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../support/scratch.ts'
import { startSqlgrey } from '../../support/sqlgrey.ts'
import { NOW, readPeer, readText } from './support.ts'

/** What each of the dumps says. */
const RECORDS = [
  {
    kind: 'waiting',
    client: '192.0.2.0/24',
    sender: "o'br\\ien@example.org",
    recipient: 'bob@example.com',
    firstSeen: NOW,
  },
  { kind: 'waiting', client: '2001:db8:0:1::/64', sender: '', recipient: 'bob@example.com', firstSeen: NOW },
  { kind: 'passed', client: '2001:db8::7', sender: 'list-#@example.org', lastUsed: NOW },
  { kind: 'listed', client: '192.0.2.9', senderDomain: 'example.org', lastUsed: NOW },
]

const MYSQL = `-- MySQL dump 10.13  Distrib 5.7.42, for Linux (x86_64)
/*!40103 SET TIME_ZONE='+00:00' */;
DROP TABLE IF EXISTS \`connect\`;
CREATE TABLE \`connect\` (
  \`sender_name\` varchar(64) NOT NULL,
  \`sender_domain\` varchar(255) NOT NULL,
  \`src\` varchar(39) NOT NULL,
  \`rcpt\` varchar(255) NOT NULL,
  \`first_seen\` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  KEY \`connect_idx\` (\`src\`,\`sender_domain\`,\`sender_name\`)
) ENGINE=MyISAM DEFAULT CHARSET=latin1;
LOCK TABLES \`connect\` WRITE;
INSERT INTO \`connect\` VALUES ('o\\'br\\\\ien','example.org','192.0.2','bob@example.com','2023-11-14 22:13:20'),('-undef-','-undef-','2001:0db8:0000:0001','bob@example.com','2023-11-14 22:13:20');
UNLOCK TABLES;
CREATE TABLE \`from_awl\` (\`sender_name\` varchar(64), \`sender_domain\` varchar(255), \`src\` varchar(39), \`first_seen\` timestamp, \`last_seen\` timestamp);
INSERT INTO \`from_awl\` VALUES ('list-#','example.org','2001:0db8:0000:0000:0000:0000:0000:0007','2023-01-01 00:00:00','2023-11-14 22:13:20');
CREATE TABLE \`domain_awl\` (\`sender_domain\` varchar(255), \`src\` varchar(39), \`first_seen\` timestamp, \`last_seen\` timestamp);
INSERT INTO \`domain_awl\` (\`src\`,\`sender_domain\`,\`last_seen\`,\`first_seen\`) VALUES ('192.0.2.9','example.org','2023-11-14 22:13:20','2023-01-01 00:00:00') ON DUPLICATE KEY UPDATE \`src\`=VALUES(\`src\`);
`

const POSTGRESQL = `--
-- PostgreSQL database dump
--
SET standard_conforming_strings = on;
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $f$ SELECT 'it''s;' || $$'$$ || '$f' $f$;
CREATE TABLE public.connect (
    sender_name character varying(64) NOT NULL,
    sender_domain character varying(255) NOT NULL,
    src character varying(39) NOT NULL,
    rcpt character varying(255) NOT NULL,
    first_seen timestamp with time zone NOT NULL
);
COPY public.config (parameter, value) FROM stdin;
version\t3';
\\.


COPY public.connect (sender_name, sender_domain, src, rcpt, first_seen) FROM stdin;
o'br\\\\ien\texample.org\t192.0.2\tbob@example.com\t2023-11-15 00:13:20.5+02
-undef-\t-undef-\t2001:0db8:0000:0001\tbob@example.com\t2023-11-14 22:13:20+00
\\.


INSERT INTO "public"."from_awl" VALUES (E'list-#', 'example.org', '2001:db8::7', '2023-01-01 00:00:00+00', '2023-11-14 22:13:20+00');
INSERT INTO public.domain_awl VALUES ('example.org', '192.0.2.9', '2023-01-01 00:00:00+00', '2023-11-14 22:13:20+00');
`

const SQLITE = `PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE connect (sender_name varchar(64) NOT NULL, sender_domain varchar(255) NOT NULL, src varchar(39) NOT NULL, rcpt varchar(255) NOT NULL, first_seen timestamp NOT NULL);
INSERT INTO connect VALUES('o''br\\ien','example.org','192.0.2','bob@example.com',1700000000);
INSERT INTO connect VALUES('-undef-','-undef-','2001:0db8:0000:0001','bob@example.com','1700000000');
CREATE TABLE from_awl (sender_name varchar(64) NOT NULL, sender_domain varchar(255) NOT NULL, src varchar(39) NOT NULL, first_seen timestamp NOT NULL, last_seen timestamp NOT NULL, PRIMARY KEY (src, sender_domain, sender_name));
INSERT INTO "from_awl" VALUES('list-#','example.org','2001:0db8:0000:0000:0000:0000:0000:0007',1600000000,1700000000);
CREATE TABLE domain_awl (sender_domain varchar(255) NOT NULL, src varchar(39) NOT NULL, first_seen timestamp NOT NULL, last_seen timestamp NOT NULL, PRIMARY KEY (src, sender_domain));
INSERT INTO domain_awl VALUES('example.org','192.0.2.9',1600000000,1700000000);
COMMIT;
`

for (const [database, dump] of Object.entries({ MySQL: MYSQL, PostgreSQL: POSTGRESQL, SQLite: SQLITE })) {
  test(`sqlgrey: a dump of ${database} has what waits, senders and domains`, async (t) => {
    assert.deepEqual(await readText(t, 'sqlgrey', dump), RECORDS)
  })
}

test('sqlgrey: values that are no plain text, and rows of another length, are left out by line', async (t) => {
  const rows = [
    "('anna','example.org','192.0.2','bob@example.com',NOW())",
    "('anna','example.org','everywhere','bob@example.com',1700000000)",
    "('anna','example.org','192.0.2',NULL,1700000000)",
    "(X'616e6e61','example.org','192.0.2','bob@example.com',1700000000)",
    "('anna','example.org')",
    "('anna','example.org','192.0.2','bob@example.com',1700000000)",
  ]
  const records = await readText(t, 'sqlgrey', `INSERT INTO connect VALUES ${rows.join(',\n')};\n`)
  assert.deepEqual(
    records.map((record) => ('where' in record ? `${record.where}: ${record.problem}` : record.kind)),
    [
      '1: connect: first_seen is "undefined": expected a time',
      '2: connect: src is "everywhere": expected an IP address, or 3 numbers of one',
      '3: connect: expected a rcpt as plain text',
      '4: connect: expected a sender_name and a sender_domain as plain text',
      '5: found 2 values of table connect: expected 5 (sender_name, sender_domain, src, rcpt, first_seen)',
      'waiting',
    ],
  )
})

test('sqlgrey: what it writes for a recipient and for a missing part is read as greymx has them', async (t) => {
  const records = await readText(
    t,
    'sqlgrey',
    `INSERT INTO from_awl VALUES ('list-#-RCPT','example.org','192.0.2',0,1700000000);
INSERT INTO domain_awl VALUES ('-undef-','192.0.2',0,1700000000),(NULL,'192.0.2',0,1700000000);
`,
  )
  assert.deepEqual(records, [
    { kind: 'passed', client: '192.0.2.0/24', sender: 'list-#-*@example.org', lastUsed: NOW },
    { kind: 'listed', client: '192.0.2.0/24', senderDomain: '', lastUsed: NOW },
    { kind: 'broken', where: '2', problem: 'domain_awl: expected a sender_domain as plain text' },
  ])
})

test('sqlgrey: a row that is cut off by ; leaves nothing in the next one', async (t) => {
  const row = "('anna','example.org','192.0.2','bob@example.com',1700000000)"
  const records = await readText(
    t,
    'sqlgrey',
    `INSERT INTO connect VALUES ('a',;INSERT INTO connect VALUES ${row};\n`,
  )
  assert.deepEqual(
    records.map(({ kind }) => kind),
    ['broken', 'waiting'],
  )
})

test('sqlgrey: what has none of its tables, or is cut off, is told', async (t) => {
  await assert.rejects(
    readText(t, 'sqlgrey', 'INSERT INTO users VALUES (1);\n'),
    /^Error: it has none of the tables connect, from_awl, domain_awl: expected a dump in SQL by mysqldump, pg_dump or sqlite3$/,
  )
  const [, last] = await readText(t, 'sqlgrey', SQLITE.slice(0, SQLITE.indexOf('0001')))
  assert.deepEqual(last, {
    kind: 'broken',
    where: '5',
    problem: 'the dump ends within a statement: expected its end',
  })
})

test('sqlgrey: a dump that sqlite3 could not complete is told', async (t) => {
  const dump = `${SQLITE.replace('COMMIT;', '/**** ERROR: (5) database is locked *****/\nROLLBACK; -- due to errors')}`
  await assert.rejects(
    readText(t, 'sqlgrey', dump),
    /^Error: sqlite3 could not dump it all: ERROR: \(5\) database is locked$/,
  )
})

test('sqlgrey: its SQLite file is read while it runs, with what Debian’s sqlgrey has written', async (t) => {
  const dir = await scratch(t)
  const database = join(dir, 'sqlgrey.db')
  const sqlgrey = await startSqlgrey(dir, database)
  const ask = (sender: string, seconds: number) =>
    sqlgrey.ask({
      client_address: '198.51.100.7',
      client_name: 'mail.example.org',
      sender,
      recipient: 'Bob@example.com',
      policy_test_time: `${NOW / 1000 + seconds}`,
    })
  await ask('anna@example.org', -1000)
  await ask('Bounce-12ab@example.org', -900)
  await ask('Bounce-12ab@example.org', -500)
  await ask('', -400)
  assert.deepEqual(await readPeer('sqlgrey', database), [
    { kind: 'passed', client: '198.51.100.0/24', sender: 'bounce-#@example.org', lastUsed: NOW - 500_000 },
    {
      kind: 'waiting',
      client: '198.51.100.0/24',
      sender: 'anna@example.org',
      recipient: 'bob@example.com',
      firstSeen: NOW - 1_000_000,
    },
    {
      kind: 'waiting',
      client: '198.51.100.0/24',
      sender: '',
      recipient: 'bob@example.com',
      firstSeen: NOW - 400_000,
    },
  ])
})
