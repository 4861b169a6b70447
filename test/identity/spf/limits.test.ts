// Tests of the budgets of an SPF evaluation, each at its last permitted value and at the next.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, DOMAIN, IPV4, inMemory, mx, txt, type Zone } from './support.ts'

/** A record of this many characters that passes for the client. */
function recordOf(length: number, start = `v=spf1 ip4:${IPV4}`): string {
  const [filler, end] = [' ip4:198.51.100.1', ' -all']
  const rest = length - start.length - end.length
  const text = `${start}${filler.repeat(Math.floor(rest / filler.length))}${' '.repeat(rest % filler.length)}${end}`
  assert.equal(text.length, length)
  return text
}

async function resultOf(zone: Zone, question: Parameters<typeof check>[1] = {}): Promise<string> {
  return (await check(inMemory(zone), question)).result
}

test('records have 8192 characters together', async () => {
  for (const [length, result] of [
    [8192, 'pass'],
    [8193, 'unknown'],
  ] as const) {
    assert.equal(await resultOf({ [DOMAIN]: txt(recordOf(length)) }), result)
    const own = recordOf(1000, 'v=spf1 include:list.example.net')
    assert.equal(
      await resultOf({ [DOMAIN]: txt(own), 'list.example.net': txt(recordOf(length - 1000)) }),
      result,
    )
  }
})

test('hosts have 1000 addresses together', async () => {
  const others = (count: number) => Array.from({ length: count }, (_, n) => `198.51.${n >> 8}.${n & 255}`)
  for (const [count, result] of [
    [1000, 'pass'],
    [1001, 'unknown'],
  ] as const) {
    const zone: Zone = {
      [DOMAIN]: txt('v=spf1 a:one.example.net a:two.example.net -all'),
      'one.example.net': { A: others(600) },
      'two.example.net': { A: [...others(count - 601), IPV4] },
    }
    assert.equal(await resultOf(zone), result)
    const nobody = { ...zone, 'two.example.net': { A: others(count - 600) } }
    assert.equal(await resultOf(nobody), result === 'pass' ? 'fail' : 'unknown')
    // Where the evaluation ends before it gets to so many, they still may not pass.
    const early = { ...zone, [DOMAIN]: txt(`v=spf1 ip4:${IPV4} a:one.example.net a:two.example.net -all`) }
    assert.equal(await resultOf(early), result)
  }
})

test('an evaluation asks 40 questions', async () => {
  // Four terms with ten hosts each: the record, four MX, and the hosts' addresses.
  for (const [hosts, result] of [
    [35, 'pass'],
    [36, 'unknown'],
  ] as const) {
    const names = ['a', 'b', 'c', 'd'].map((letter) => `${letter}.example.net`)
    const counts = names.map((_, index) => Math.min(10, Math.max(0, hosts - 10 * index)))
    const zone: Zone = {
      [DOMAIN]: txt(`v=spf1 ${names.map((name) => `mx:${name}`).join(' ')} -all`),
      ...Object.fromEntries(
        names.map((name, index) => [
          name,
          { MX: Array.from({ length: counts[index] ?? 0 }, (_, n) => mx(n, `h${n}.${name}`)) },
        ]),
      ),
      ...Object.fromEntries(
        names.flatMap((name, index) =>
          Array.from({ length: counts[index] ?? 0 }, (_, n) => [
            `h${n}.${name}`,
            { A: [index * 10 + n === hosts - 1 ? IPV4 : '198.51.100.1'] },
          ]),
        ),
      ),
    }
    assert.equal(await resultOf(zone), result, String(hosts))
    // Where a client passes at once, the rest is asked to see who else passes.
    const early = {
      ...zone,
      [DOMAIN]: txt(`v=spf1 ip4:198.51.100.7 ${names.map((name) => `mx:${name}`).join(' ')} -all`),
    }
    assert.equal(await resultOf(early, { client: '198.51.100.7' }), result, String(hosts))
  }
})

test('a local part and a HELO name are read up to 512 characters', async () => {
  const zone = inMemory({
    [DOMAIN]: txt('v=spf1 exists:%{l1-}.l.example.net exists:%{h1-}.h.example.net -all'),
  })
  for (const end of ['ab', 'abc']) {
    const text = `${'x-'.repeat(255)}${end}`
    const asked: string[] = []
    await check(
      (name, type) => {
        asked.push(name)
        return zone(name, type)
      },
      { local: text, helo: text },
    )
    assert.deepEqual(asked, [DOMAIN, 'ab.l.example.net', 'ab.h.example.net'], String(text.length))
  }
})

test('a label of a name has 63 characters, and a name 253', async () => {
  const [label, next] = ['x'.repeat(63), 'x'.repeat(64)]
  for (const [name, result] of [
    [`${label}.example.net`, 'pass'],
    [`${next}.example.net`, 'neutral'],
  ] as const)
    assert.equal(
      await resultOf({
        [DOMAIN]: txt(`v=spf1 a:${name} ?all`),
        [`${label}.example.net`]: { A: [IPV4] },
        [`${next}.example.net`]: { A: [IPV4] },
      }),
      result,
    )
  const longest = `${`${label}.`.repeat(3)}${'x'.repeat(49)}.example.net`
  assert.equal(longest.length, 253)
  const record = txt(`v=spf1 ip4:${IPV4} -all`)
  assert.equal(await resultOf({ [longest]: record }, { domain: longest }), 'pass')
  assert.equal(await resultOf({ [`x${longest}`]: record }, { domain: `x${longest}` }), 'none')
  assert.equal(await resultOf({ [`${next}.net`]: record }, { domain: `${next}.net` }), 'none')
  assert.equal(await resultOf({ localhost: record }, { domain: 'localhost' }), 'none')
  assert.equal(await resultOf({ 'a..net': record }, { domain: 'a..net' }), 'none')
})

test('of the names of a client, ten are looked at, and of their addresses all bits', async () => {
  const names = Array.from({ length: 11 }, (_, n) => `h${n}.example.net`)
  const other = '198.51.100.1'
  const zone = (matching: number, addresses: readonly string[]): Zone => ({
    [DOMAIN]: txt('v=spf1 ptr:example.net -all'),
    '7.2.0.192.in-addr.arpa': { PTR: names },
    ...Object.fromEntries(names.map((name, n) => [name, { A: n === matching ? addresses : [other] }])),
  })
  for (const matching of [0, 9]) assert.equal(await resultOf(zone(matching, [IPV4, other])), 'pass')
  assert.equal(await resultOf(zone(10, [IPV4])), 'fail')
  assert.equal(await resultOf(zone(9, ['192.0.2.6'])), 'fail')
  // Of the addresses of one name, a thousand count.
  for (const [before, result] of [
    [999, 'pass'],
    [1000, 'fail'],
  ] as const)
    assert.equal(await resultOf(zone(0, [...new Array<string>(before).fill(other), IPV4])), result)
})

test('where hosts have too many addresses, no further hosts are asked for', async () => {
  const others = Array.from({ length: 1001 }, (_, n) => `198.51.${n >> 8}.${n & 255}`)
  const zone = inMemory({
    [DOMAIN]: {
      ...txt(`v=spf1 ip4:${IPV4} mx -all`),
      MX: [mx(1, 'one.example.net'), mx(2, 'two.example.net')],
    },
    'one.example.net': { A: others },
    'two.example.net': { A: [] },
  })
  const asked: string[] = []
  const answer = await check((name, type) => {
    asked.push(name)
    return zone(name, type)
  })
  assert.equal(answer.result, 'unknown')
  assert.deepEqual(asked, [DOMAIN, DOMAIN, 'one.example.net'])
})

test('a record counts once, however its name is written', async () => {
  const zone = {
    [DOMAIN]: txt(`v=spf1 include:LIST.Example.NET include:list.example.net ip4:${IPV4} -all`),
    'list.example.net': txt(recordOf(6000, 'v=spf1').replace(' -all', ' ?all')),
  }
  assert.equal(await resultOf(zone), 'pass')
})

test('what stands behind the tenth term that asks passes nobody, and counts for nothing', async () => {
  const lists: Zone = {
    'none.example.net': txt('v=spf1 -all'),
    'half.example.net': txt('v=spf1 ip4:128.0.0.0/1 -all'),
  }
  for (const [terms, isVouched] of [
    [9, false],
    [10, true],
  ] as const)
    for (const last of ['include:half.example.net -all', 'redirect=half.example.net']) {
      const record = `v=spf1 ip4:${IPV4} ${'include:none.example.net '.repeat(terms)}${last}`
      const answer = await check(inMemory({ ...lists, [DOMAIN]: txt(record) }))
      assert.deepEqual([answer.result, answer.voucher !== undefined], ['pass', isVouched], `${terms} ${last}`)
    }
})

test('a record that is included twice counts once', async () => {
  const zone: Zone = {
    [DOMAIN]: txt(`v=spf1 ip4:${IPV4} include:list.example.net include:hosts.example.net -all`),
    'list.example.net': txt('v=spf1 include:hosts.example.net -all'),
    'hosts.example.net': {
      ...txt('v=spf1 a -all'),
      A: Array.from({ length: 600 }, (_, n) => `10.0.${n >> 8}.${n & 255}`),
    },
  }
  assert.equal(await resultOf(zone), 'pass')
})
