// The reader of relaydelay's table. The dump is as mysqldump writes it, of the table that schema/mysql.sql of
// eharris/greylisting creates.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readText } from './support.ts'

const NOW = Date.UTC(2023, 10, 14, 22, 13, 20)

/** A `datetime`, which is in the time zone of this process. */
function local(instant: number): string {
  const date = new Date(instant)
  const parts = [date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()]
  const [month, day, hour, minute, second] = parts.map((part) => `${part}`.padStart(2, '0'))
  return `${date.getFullYear()}-${month}-${day} ${hour}:${minute}:${second}`
}

/** A `timestamp`, which is in UTC. */
function utc(instant: number): string {
  return new Date(instant).toISOString().slice(0, 19).replace('T', ' ')
}

const HOUR = 3_600_000
const ago = (hours: number) => NOW - hours * HOUR

const DUMP = `-- MySQL dump 10.13  Distrib 5.7.42, for Linux (x86_64)
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
CREATE TABLE \`dns_name\` (\`relay_ip\` varchar(18) NOT NULL, \`relay_name\` varchar(255) NOT NULL);
INSERT INTO \`dns_name\` VALUES ('192.0.2.7','gro.elpmaxe;)''');
CREATE TABLE \`relaytofrom\` (
  \`id\` bigint(20) NOT NULL AUTO_INCREMENT,
  \`relay_ip\` char(16) DEFAULT NULL,
  \`mail_from\` varchar(255) DEFAULT NULL,
  \`rcpt_to\` varchar(255) DEFAULT NULL,
  \`block_expires\` datetime NOT NULL,
  \`record_expires\` datetime NOT NULL,
  \`blocked_count\` bigint(20) NOT NULL DEFAULT '0',
  \`passed_count\` bigint(20) NOT NULL DEFAULT '0',
  \`aborted_count\` bigint(20) NOT NULL DEFAULT '0',
  \`origin_type\` enum('MANUAL','AUTO') NOT NULL,
  \`create_time\` datetime NOT NULL,
  \`last_update\` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (\`id\`),
  KEY \`relay_ip\` (\`relay_ip\`),
  KEY \`mail_from\` (\`mail_from\`(20))
) ENGINE=MyISAM AUTO_INCREMENT=9 DEFAULT CHARSET=latin1;
INSERT INTO \`relaytofrom\` VALUES (1,'192.0.2.7','<o\\'brien@example.org>','<bob@example.com>','${local(ago(2))}','${local(ago(-100))}',2,3,0,'AUTO','${local(ago(50))}','${utc(ago(1))}'),(2,'192.0.2.8','<>','<bob@example.com>','${local(ago(-0.5))}','${local(ago(-4))}',1,0,0,'AUTO','${local(ago(0.25))}','${utc(ago(0.25))}'),(3,'192.0.2.9','<anna@example.org>','<bob@example.com>','${local(ago(9))}','${local(ago(5))}',1,0,0,'AUTO','${local(ago(10))}','${utc(ago(10))}'),
(4,NULL,'<anna@example.org>','<bob@example.com>','${local(ago(1))}','${local(ago(-90))}',0,0,0,'AUTO','${local(ago(1))}','${utc(ago(1))}'),(5,'192.168',NULL,NULL,'0000-00-00 00:00:00','9999-12-31 23:59:59',0,0,0,'MANUAL','${local(ago(1))}','${utc(ago(1))}'),(6,'65.61.136',NULL,NULL,'9999-12-31 23:59:59','9999-12-31 23:59:59',0,0,0,'MANUAL','${local(ago(1))}','${utc(ago(1))}'),(7,'here','<a@example.org>','<b@example.com>','${local(ago(1))}','${local(ago(-1))}',0,0,0,'AUTO','${local(ago(1))}','${utc(ago(1))}'),(8,'192.0.2.9');
`

test('relaydelay: triplets are taken, lists by hand are named with the setting that has their place', async (t) => {
  const records = await readText(t, 'relaydelay', DUMP, NOW)
  assert.deepEqual(records, [
    {
      kind: 'passed',
      client: '192.0.2.7',
      sender: "o'brien@example.org",
      recipient: 'bob@example.com',
      lastUsed: ago(1),
      expiresAt: ago(-100),
    },
    {
      kind: 'waiting',
      client: '192.0.2.8',
      sender: '',
      recipient: 'bob@example.com',
      firstSeen: ago(0.25),
    },
    {
      kind: 'unknowable',
      where: '24',
      problem:
        'an answer from "<anna@example.org>" to "<bob@example.com>" is expected from any client: ' +
        'greylist.learn_replies does so anew',
    },
    {
      kind: 'unknowable',
      where: '24',
      problem:
        'whitelist by hand of "relay_ip 192.168": expected as a setting, exempt.clients: [192.168.0.0/16]',
    },
    {
      kind: 'unknowable',
      where: '24',
      problem: 'blacklist by hand of "relay_ip 65.61.136": greymx has no blacklist',
    },
    { kind: 'broken', where: '24', problem: 'relay_ip is "here": expected an IP address' },
    {
      kind: 'broken',
      where: '24',
      problem:
        'found 2 values of table relaytofrom: expected 12 (id, relay_ip, mail_from, rcpt_to, block_expires, ' +
        'record_expires, blocked_count, passed_count, aborted_count, origin_type, create_time, last_update)',
    },
  ])
})
