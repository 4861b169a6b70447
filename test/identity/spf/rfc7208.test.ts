// Runs every case of the public test suite for RFC 7208; permerror and temperror are told apart.
//
// rfc7208-tests.yml is the openspf.org suite, release 2014.04, unchanged; its licence is in rfc7208-tests.LICENSE.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { normalDomain } from '../../../src/address.ts'
import { type AskResolver, check, failure, mx } from './support.ts'

interface Scenario {
  readonly description: string
  readonly tests: Readonly<Record<string, Case>>
  readonly zonedata: Readonly<Record<string, readonly (string | Record<string, unknown>)[]>>
}

interface Case {
  readonly host: string
  readonly helo: string
  readonly mailfrom?: string
  /** One result, or several if the RFC leaves it open, with the preferred one first. */
  readonly result: string | readonly string[]
}

const file = join(process.cwd(), 'test/identity/spf/rfc7208-tests.yml')
const scenarios: Scenario[] = parseAllDocuments(await readFile(file, 'utf8'))
  .map((document) => document.toJS())
  .filter((scenario) => scenario?.tests)

for (const { description, tests, zonedata } of scenarios) {
  test(`RFC 7208 suite: ${description}`, async () => {
    for (const [name, { host, helo, mailfrom = '', result }] of Object.entries(tests)) {
      const at = mailfrom.lastIndexOf('@')
      const { result: found } = await check(ofSuite(zonedata), {
        client: host,
        domain: normalDomain(mailfrom === '' ? helo : mailfrom.slice(at + 1)),
        local: mailfrom.slice(0, Math.max(at, 0)) || 'postmaster',
        helo,
      })
      assert.ok([result].flat().includes(found), `${name}: expected ${result}, found ${found}`)
    }
  })
}

test('the suite has all of its 203 cases', () => {
  assert.equal(scenarios.flatMap(({ tests }) => Object.keys(tests)).length, 203)
})

/**
 * The suite's zones. Records of type SPF stand for TXT if a name has no TXT; `TIMEOUT` stands for all that is missing.
 */
function ofSuite(zonedata: Scenario['zonedata']): AskResolver {
  const zone = new Map(Object.entries(zonedata).map(([name, records]) => [name.toLowerCase(), records]))
  return async function resolve(name, type): Promise<unknown> {
    const records = zone.get(name.toLowerCase())
    if (records === undefined) throw failure('ENOTFOUND')
    const valuesOf = (wanted: string) =>
      records.flatMap((record) => (typeof record === 'object' && wanted in record ? [record[wanted]] : []))
    const [alias] = valuesOf('CNAME')
    if (typeof alias === 'string') {
      // Resolvers answer a loop of aliases with a failure.
      if (alias.toLowerCase().replace(/\.$/, '') === name.toLowerCase()) throw failure('ESERVFAIL')
      return resolve(alias.replace(/\.$/, ''), type)
    }
    const own = valuesOf(type)
    const values = (own.length === 0 && type === 'TXT' ? valuesOf('SPF') : own).filter(
      (value) => value !== 'NONE',
    )
    if (values.length === 0) throw failure(records.includes('TIMEOUT') ? 'ETIMEOUT' : 'ENODATA')
    if (type === 'TXT') return values.map((value) => [value].flat())
    if (type === 'MX')
      return values.flatMap((value) => (Array.isArray(value) ? [mx(value[0], value[1])] : []))
    return values
  }
}
