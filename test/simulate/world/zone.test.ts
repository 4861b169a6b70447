// The DNS of a world answers as a name server does, wildcards and empty names included (RFC 4592, RFC 8020).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Asker } from '../../../src/dns.ts'
import { Zone } from '../../../src/simulate/world/zone.ts'

const ASKER: Asker = { purpose: 'spf', network: '192.0.2.0/24', extraQuestions: 0 }

test('a name has its records, a wildcard stands for names below the closest one that exists, and answers expire', async () => {
  const zone = new Zone()
  zone.setSpf('carrier.example', ['ip4:192.0.2.0/24'])
  zone.setSpf('*.carrier.example', ['include:carrier.example'])
  zone.set('deep.names.carrier.example', 'A', ['192.0.2.7'])
  const resolver = zone.resolver(() => 1000)
  const answer = async (name: string, type = 'TXT') => {
    const { value, error } = await resolver.ask(name, type, ASKER)
    return error && 'code' in error ? error.code : value
  }
  const own = [['v=spf1 ip4:192.0.2.0/24 -all']]
  const below = [['v=spf1 include:carrier.example -all']]
  assert.deepEqual(await answer('Carrier.Example'), own)
  assert.deepEqual(await answer('any.carrier.example'), below)
  assert.deepEqual(await answer('a.b.c.carrier.example'), below)
  // A name that exists, if only for those below it, is no business of the wildcard, nor is what is below it.
  assert.equal(await answer('names.carrier.example'), 'ENODATA')
  assert.equal(await answer('other.names.carrier.example'), 'ENOTFOUND')
  assert.equal(await answer('deep.names.carrier.example'), 'ENODATA')
  assert.deepEqual(await answer('deep.names.carrier.example', 'A'), ['192.0.2.7'])
  assert.equal(await answer('any.carrier.example', 'A'), 'ENODATA')
  assert.equal(await answer('nowhere.example'), 'ENOTFOUND')
  assert.equal(await answer('test'), 'ENOTFOUND')
  assert.equal((await resolver.ask('carrier.example', 'TXT', ASKER)).expiresAt, 301_000)
  assert.equal((await resolver.ask('nowhere.example', 'TXT', ASKER)).expiresAt, 61_000)
})
