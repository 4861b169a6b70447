// Tests sessions at the page: how they end, that they cannot be guessed from what is kept, and what wrong tokens cost.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasFormKey, Sessions } from '../../src/admin/page/sessions.ts'
import { TokenFile } from '../../src/admin/tokens.ts'
import { type Scope, scratch } from '../support/scratch.ts'

const MINUTE = 60_000
const [ANNA, BERT] = ['a'.repeat(24), 'b'.repeat(24)]

async function setUp(t: Scope) {
  const file = join(await scratch(t), 'tokens')
  const write = (...lines: string[]) => writeFileSync(file, lines.join('\n'), { mode: 0o600 })
  write(`anna ${ANNA}`, `bert ${BERT}`)
  const tokens = new TokenFile(file, { onWarning: assert.fail, onProblem: () => undefined })
  const clock = { now: 0 }
  const sessions = new Sessions(() => clock.now)
  const begin = (token: string) => sessions.begin(tokens.find(token) ?? assert.fail())
  const nameOf = (cookie: string) => sessions.find(cookie, tokens)?.token.name
  return { write, tokens, clock, sessions, begin, nameOf }
}

test('a session ends when its holder signs out, half an hour after its last use, and twelve hours after its begin', async (t) => {
  const { clock, sessions, begin, nameOf } = await setUp(t)
  const [first, second, third] = [begin(ANNA), begin(ANNA), begin(BERT)]
  assert.equal(new Set([first, second, third]).size, 3)
  assert.deepEqual([first, second, third].map(nameOf), ['anna', 'anna', 'bert'])
  sessions.end(first)
  assert.deepEqual([first, second, third].map(nameOf), [undefined, 'anna', 'bert'])
  for (let time = 0; time < 12 * 60; time += 29) {
    clock.now = time * MINUTE
    assert.equal(nameOf(second), 'anna', `${time} minutes`)
  }
  assert.equal(nameOf(third), undefined)
  clock.now = 12 * 60 * MINUTE + 1
  assert.equal(nameOf(second), undefined)
})

test('a session ends no later for requests that nobody has made by hand', async (t) => {
  const { clock, tokens, sessions, begin, nameOf } = await setUp(t)
  const cookie = begin(ANNA)
  for (let minute = 0; minute <= 30; minute += 1) {
    clock.now = minute * MINUTE
    assert.equal(sessions.watch(cookie, tokens)?.token.name, 'anna', `${minute} minutes`)
  }
  clock.now += 1
  assert.equal(sessions.watch(cookie, tokens), undefined)
  assert.equal(nameOf(cookie), undefined)
})

test('a session ends with its token, also if another one has its name', async (t) => {
  const { write, tokens, sessions, begin, nameOf } = await setUp(t)
  const [anna, bert] = [begin(ANNA), begin(BERT)]
  write(`anna ${'c'.repeat(24)}`, `bert ${BERT}`, '')
  assert.deepEqual([anna, bert].map(nameOf), [undefined, 'bert'])
  write('bert broken')
  assert.equal(nameOf(bert), undefined, 'no token counts while the file cannot be read')
  const last = sessions.begin({ name: 'x', digest: Buffer.alloc(32) })
  assert.equal(sessions.find(last, tokens), undefined)
  assert.equal(sessions.find(last, undefined), undefined)
})

test('a form counts in its own session only', async (t) => {
  const { sessions, tokens, begin } = await setUp(t)
  const [one, other] = [begin(ANNA), begin(ANNA)].map(
    (cookie) => sessions.find(cookie, tokens) ?? assert.fail(),
  )
  assert.ok(one && other)
  assert.equal(hasFormKey(one, one.formKey), true)
  for (const given of [other.formKey, '', undefined, [one.formKey], one.formKey.slice(1)])
    assert.equal(hasFormKey(one, given), false)
})

test('after ten wrong tokens a peer waits until the first is ten minutes old, and no other peer does', async (t) => {
  const { clock, sessions } = await setUp(t)
  for (let count = 0; count < 10; count += 1) {
    assert.equal(sessions.waitOf('192.0.2.1'), 0)
    sessions.failed('192.0.2.1')
    clock.now += 1000
  }
  assert.equal(sessions.waitOf('192.0.2.1'), 10 * MINUTE - 10_000)
  assert.equal(sessions.waitOf('192.0.2.2'), 0)
  clock.now = 10 * MINUTE
  assert.equal(sessions.waitOf('192.0.2.1'), 0)
})

test('sessions and peers are bounded: the ones used longest ago leave', async (t) => {
  const { begin, nameOf, sessions } = await setUp(t)
  const first = begin(ANNA)
  const second = begin(ANNA)
  for (let count = 0; count < 99; count += 1) {
    nameOf(first)
    begin(BERT)
  }
  assert.deepEqual([nameOf(first), nameOf(second)], ['anna', undefined])
  for (let peer = 0; peer < 5000; peer += 1) sessions.failed(`2001:db8:${peer.toString(16)}::/64`)
  assert.equal(sessions.waitOf('2001:db8:1::/64'), 0)
})
