// Tests of what an SPF evaluation asks before it needs the answers, within which limits, and when it takes a turn.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkHost } from '../../../src/identity/spf/evaluate.ts'
import { Lookups } from '../../../src/identity/spf/lookups.ts'
import { check, DOMAIN, IPV4, IPV6, inMemory, ip, mx, txt, type Zone } from './support.ts'

/** The questions, save that for the domain's record, that are asked while names outside of `zone` do not answer. */
async function askedAtOnce(zone: Zone, client = IPV4): Promise<string[]> {
  const asked: string[] = []
  const answer = inMemory(zone)
  void check(
    (name, type) => {
      asked.push(`${name} ${type}`)
      return name in zone ? answer(name, type) : new Promise(() => undefined)
    },
    { client },
  )
  for (let turn = 0; turn < 5; turn += 1) await nextTurn()
  assert.equal(asked.shift(), `${DOMAIN} TXT`)
  return asked
}

const many = (count: number, term: string) =>
  Array.from({ length: count }, (_, n) => `${term}:${n}.test`).join(' ')

test('what the terms of a record will need is asked at once, but for names that depend on the client', async () => {
  const cases: Array<[terms: string, asked: readonly string[]]> = [
    ['include:a.test include:b.test -all', ['a.test TXT', 'b.test TXT']],
    [
      'include:a.test mx:b.test exists:c.test a:d.test -all',
      ['a.test TXT', 'b.test MX', 'c.test A', 'd.test A'],
    ],
    ['include:a.test ip4:192.0.2.9 ptr ptr:b.test include:%{i}.test a:%{h} -all', ['a.test TXT']],
    ['include:a.test include:b.%{d} include:c.%{o1} -all', ['a.test TXT', `b.${DOMAIN} TXT`, 'c.org TXT']],
    ['include:a.test include:b.%{v}.test -all', ['a.test TXT', 'b.in-addr.test TXT']],
    ['include:a.test all include:b.test', ['a.test TXT']],
    ['include:a.test redirect=b.test', ['a.test TXT', 'b.test TXT']],
    ['include:a.test redirect=%{i}.test', ['a.test TXT']],
    ['include:a.test a mx -all', ['a.test TXT', `${DOMAIN} A`, `${DOMAIN} MX`]],
    ['include:a.test include:a.test -all', ['a.test TXT']],
    [`include:a.test ${many(20, 'include')} -all`, ['a.test TXT', ...names(9, 'TXT')]],
    // Terms that need no answer take nothing of the limit.
    [
      `include:a.test ip4:192.0.2.9 ptr ptr:b.test ${many(20, 'include')} -all`,
      ['a.test TXT', ...names(9, 'TXT')],
    ],
    [`include:a.test ${many(9, 'a')} mx:b.test -all`, ['a.test TXT', ...names(2, 'A'), 'b.test MX']],
    [`include:a.test ${many(9, 'exists')} -all`, ['a.test TXT', ...names(2, 'A')]],
    [
      `include:a.test a:b.test exists:c.test ${many(9, 'mx')} -all`,
      ['a.test TXT', 'b.test A', 'c.test A', ...names(7, 'MX')],
    ],
    [`include:a.test ${many(8, 'mx')} a:b.test a:c.test -all`, ['a.test TXT', ...names(8, 'MX'), 'b.test A']],
  ]
  for (const [terms, asked] of cases)
    assert.deepEqual(await askedAtOnce({ [DOMAIN]: txt(`v=spf1 ${terms}`) }), asked, terms)
})

function names(count: number, type: string): string[] {
  return Array.from({ length: count }, (_, n) => `${n}.test ${type}`)
}

test('the records of includes are looked through as soon as they are there', async () => {
  const zone = {
    [DOMAIN]: txt('v=spf1 include:slow.test include:list.example -all'),
    'list.example': txt('v=spf1 include:inner.test a:host.test -all'),
  }
  assert.deepEqual(await askedAtOnce(zone), [
    'slow.test TXT',
    'list.example TXT',
    'inner.test TXT',
    'host.test A',
  ])
  assert.deepEqual((await askedAtOnce(zone, IPV6)).at(-1), 'host.test AAAA')
})

test('what stands behind the term that passes is asked at once as well', async () => {
  const zone = { [DOMAIN]: txt(`v=spf1 ip4:${IPV4} include:a.test include:b.test -all`) }
  assert.deepEqual(await askedAtOnce(zone), ['a.test TXT', 'b.test TXT'])
})

test('what a record needs counts once, however many of its terms are evaluated', async () => {
  const lists = Array.from({ length: 5 }, (_, n) => `${n}.test`)
  const hosts = ['one.example', 'two.example'].map((name, index) => mx(index, name))
  const zone = {
    [DOMAIN]: { ...txt(`v=spf1 ${many(5, 'include')} mx -all`), MX: hosts },
    ...Object.fromEntries(lists.map((name) => [name, txt('v=spf1 -all')])),
  }
  assert.deepEqual(await askedAtOnce(zone), [
    ...names(5, 'TXT'),
    `${DOMAIN} MX`,
    'one.example A',
    'two.example A',
  ])
})

test('a long record is parsed when its turn has come', async () => {
  const text = `${`v=spf1 ip4:${IPV4}`.padEnd(700)} -all`
  const lookups = new Lookups(
    async () => ({ value: [[text]], expiresAt: 0 }),
    () => true,
  )
  let isOver = false
  let begin = () => {}
  const turn = new Promise<void>((resolve) => {
    begin = resolve
  })
  const question = { client: ip(IPV4), domain: DOMAIN, local: 'bob', helo: '' }
  const answer = Promise.resolve(checkHost(question, lookups, () => turn)).finally(() => {
    isOver = true
  })
  for (let turns = 0; turns < 5; turns += 1) await nextTurn()
  assert.equal(isOver, false)
  begin()
  assert.equal((await answer).result, 'pass')
})

test('the terms of records with two mebibytes of text are remembered, those that were used last', async () => {
  const LIMIT = 2 * 1024 * 1024
  const recordOf = (number: number, length: number) =>
    `${`v=spf1 ip4:${IPV4} x=${number}`.padEnd(length - 5)} -all`
  /** Whether the record of this number and length has to be parsed. */
  const isParsed = async (number: number, length = 8192) => {
    const lookups = new Lookups(
      async () => ({ value: [[recordOf(number, length)]], expiresAt: 0 }),
      () => true,
    )
    let isTaken = false
    const question = { client: ip(IPV4), domain: DOMAIN, local: 'bob', helo: '' }
    const { result } = await checkHost(question, lookups, async () => {
      isTaken = true
    })
    assert.equal(result, 'pass')
    return isTaken
  }
  for (let number = 0; number < LIMIT / 8192; number += 1) assert.equal(await isParsed(number), true)
  assert.equal(await isParsed(0), false)
  // One that is a little too much takes the place of the one that was not used for the longest time.
  assert.equal(await isParsed(1000, 513), true)
  assert.equal(await isParsed(0), false)
  assert.equal(await isParsed(2), false)
  assert.equal(await isParsed(1), true)
})

test('of the hosts of an mx, two are asked for at once', async () => {
  const hosts = ['one.test', 'two.test', 'three.test'].map((name, index) => mx(index, name))
  assert.deepEqual(await askedAtOnce({ [DOMAIN]: { ...txt('v=spf1 mx -all'), MX: hosts } }), [
    `${DOMAIN} MX`,
    'one.test A',
    'two.test A',
  ])
})

test('a record of more than 512 characters waits for a turn, once', async () => {
  for (const [length, turns] of [
    [512, 0],
    [513, 1],
  ] as const) {
    const text = `${`v=spf1 ip4:${IPV4}`.padEnd(length - 5)} -all`
    assert.equal(text.length, length)
    let taken = 0
    const evaluate = () => {
      const lookups = new Lookups(
        async () => ({ value: [[text]], expiresAt: 0 }),
        () => true,
      )
      const question = { client: ip(IPV4), domain: DOMAIN, local: 'bob', helo: '' }
      return checkHost(question, lookups, async () => {
        taken += 1
      })
    }
    for (let time = 0; time < 2; time += 1) assert.equal((await evaluate()).result, 'pass')
    assert.equal(taken, turns)
  }
})
