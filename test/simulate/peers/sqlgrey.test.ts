// The model of sqlgrey against the sqlgrey of Debian: both decide on the same attempts at the same times.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { Sqlgrey } from '../../../src/simulate/peers/sqlgrey.ts'
import {
  LINE_NAME,
  SERVER_NAME,
  SQLGREY_ADDRESSES,
  SQLGREY_NAMES,
} from '../../../src/simulate/peers/sqlgrey-lists.ts'
import { scratch } from '../../support/scratch.ts'
import { sqlgreySettings, startSqlgrey } from '../../support/sqlgrey.ts'
import { assertAgreement, DECISIONS } from './agreement.ts'
import { type ListedClient, randomAttempts } from './attempts.ts'

const LISTED: readonly ListedClient[] = [
  ['192.0.2.1', 'smtp-out.amazon.com'],
  ['192.0.2.1', 'amazon.com'],
  ['192.0.2.1', 'web1.scd-yahoo.com'],
  ['192.0.2.2', 'isp.belgacom.be'],
  ['192.0.2.2', 'mx.isp.belgacom.be'],
  ['192.0.2.3', 'ms-smtp-03.rr.com'],
  ['192.0.2.3', 'x.ms-smtp-03.rr.com'],
  ['192.0.2.4', 'fmr21.intel.com'],
  ['12.5.136.141'],
  ['12.5.136.143'],
  ['205.188.157.200'],
  ['205.188.158.200', 'mail.example'],
]

test("the model's lists are those that Debian ships", () => {
  for (const [file, list] of [
    ['clients_fqdn_whitelist', SQLGREY_NAMES],
    ['clients_ip_whitelist', SQLGREY_ADDRESSES],
  ] as const) {
    const lines = readFileSync(join(sqlgreySettings, file), 'latin1').split('\n')
    const entries = lines.map((line) => line.replace(/#.*/, '').trim()).filter((line) => line !== '')
    assert.deepEqual(list.trim().split('\n'), entries, file)
  }
})

test('the model tells servers and lines by their names as the expressions that Debian ships do', () => {
  const words =
    'smtp mail mxpool mailscanner listes exmailer relais out web7 client2 dial dsld s010600aabbccddeeff.vc isp'
  const more = '1Cust22 ACA0B1C2.ipt pcp012345pcs c123456.bhz.virtua YahooBB012345678901 in-addr 12 x -'
  const name = fc
    .array(fc.constantFrom(...words.split(' '), ...more.split(' '), '.', '.', '-', '_'), { maxLength: 8 })
    .map((parts) => parts.join(''))
  const server = debianExpression('smtp_server.regexp')
  const line = debianExpression('dyn_fqdn.regexp')
  fc.assert(
    fc.property(name, (name) => {
      assert.equal(SERVER_NAME.test(name), server.test(name))
      assert.equal(LINE_NAME.test(name), line.test(name))
    }),
    { numRuns: 20_000 },
  )
})

test('sqlgrey and its model agree on every attempt', async (t) => {
  const attempts = randomAttempts(DECISIONS, 3, LISTED)
  const sqlgrey = await startSqlgrey(await scratch(t))
  await assertAgreement(new Sqlgrey(), attempts, (attributes) => sqlgrey.ask(attributes))
})

/** The expression in a file of sqlgrey's settings, which is Perl's. */
function debianExpression(file: string): RegExp {
  const source = readFileSync(join(sqlgreySettings, file), 'latin1').trim()
  return new RegExp(source.replaceAll('[[:alnum:]]', '[A-Za-z0-9]'), 'i')
}
