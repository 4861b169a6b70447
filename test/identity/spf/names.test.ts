// Tests of the names that macros make, as they are asked of DNS, and of the names that a record may have.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, DOMAIN, IPV4, IPV6, inMemory, mx, txt, type Zone } from './support.ts'

/** The names that are asked for an evaluation, save for the record's own. */
async function askedFor(zone: Zone, question: Parameters<typeof check>[1] = {}): Promise<string[]> {
  const asked: string[] = []
  const answer = inMemory(zone)
  await check((name, type) => {
    asked.push(name)
    return answer(name, type)
  }, question)
  assert.equal(asked.shift(), DOMAIN)
  return asked
}

test('a macro is replaced by what it stands for, with the parts and in the order that it wants', async () => {
  for (const [macro, expected, question] of [
    ['%{s}', `bob@${DOMAIN}`, {}],
    ['%{l}', 'bob', {}],
    ['%{o}', DOMAIN, {}],
    ['%{d}', DOMAIN, {}],
    ['%{d2}', 'example.org', {}],
    ['%{d9}', DOMAIN, {}],
    ['%{dr}', 'org.example.sender', {}],
    ['%{d2r}', 'example.sender', {}],
    ['%{h}', 'mx.example.net', {}],
    ['%{i}', '192.0.2.7', {}],
    ['%{ir}', '7.2.0.192', {}],
    ['%{v}', 'in-addr', {}],
    ['%{v}', 'ip6', { client: IPV6 }],
    ['%{l-}', 'a.b.c', { local: 'a-b-c' }],
    ['%{l1r+-}', 'a', { local: 'a-b+c' }],
    ['%{l1+}', 'b-c', { local: 'a+b-c' }],
    ['%{L}', 'a%21%27%28%29%2ab', { local: "a!'()*b" }],
    ['%{l}', "a!'()*b", { local: "a!'()*b" }],
    // c-ares reads a backslash as the start of an escape.
    ['%{l}', 'a\\\\b', { local: 'a\\b' }],
    ['%{L}', '%c3%a9', { local: 'é' }],
    ['%{L}', 'a%ef%bf%bdb', { local: 'a\ud800b' }],
    ['a%%b%-c', 'a%b%20c', {}],
    ['a%_b', 'a b', {}],
  ] as const)
    assert.deepEqual(
      await askedFor({ [DOMAIN]: txt(`v=spf1 exists:${macro}.example.net -all`) }, question),
      [`${expected}.example.net`],
      macro,
    )
})

// RFC 7208 section 7.3: the domain itself, else a name below it, else any name that leads back to the address.
test('%{p} prefers the names of the domain whose record is evaluated', async () => {
  const names = ['mx.elsewhere.test', 'mx.list.example', 'liar.sender.example.org', 'mx.sender.example.org']
  const zone: Zone = {
    [DOMAIN]: txt('v=spf1 exists:%{p}.own.test include:list.example -all'),
    'list.example': txt('v=spf1 exists:%{p}.list.test -all'),
    '7.2.0.192.in-addr.arpa': { PTR: names },
    ...Object.fromEntries(names.map((name) => [name, { A: [name.startsWith('liar') ? '192.0.2.8' : IPV4] }])),
  }
  const made = (asked: readonly string[]) =>
    asked.filter((name) => name.endsWith('.test') && !names.includes(name))
  assert.deepEqual(made(await askedFor(zone)), [
    'mx.sender.example.org.own.test',
    'mx.list.example.list.test',
  ])
  assert.deepEqual(made(await askedFor({ ...zone, '7.2.0.192.in-addr.arpa': {} })), [
    'unknown.own.test',
    'unknown.list.test',
  ])
  const elsewhere = await askedFor({ ...zone, '7.2.0.192.in-addr.arpa': { PTR: names.slice(0, 1) } })
  assert.deepEqual(made(elsewhere), ['mx.elsewhere.test.own.test', 'mx.elsewhere.test.list.test'])
})

test('the last label of a name has a letter, and 63 characters at most', async () => {
  for (const [label, result] of [
    ['x'.repeat(63), 'neutral'],
    ['x'.repeat(64), 'permerror'],
    ['7', 'permerror'],
    ['7x', 'neutral'],
    ['x-', 'permerror'],
    ['-x', 'permerror'],
    ['x-7', 'neutral'],
  ] as const)
    for (const end of ['', '.'])
      assert.equal(
        (await check(inMemory({ [DOMAIN]: txt(`v=spf1 a:a.${label}${end} ?all`) }))).result,
        result,
        label.slice(0, 9),
      )
})

test('a name that no DNS message can hold does not exist, and a name whose servers fail is not known', async () => {
  for (const [code, result] of [
    ['EBADNAME', 'pass'],
    ['ENOTFOUND', 'pass'],
    ['ENODATA', 'pass'],
    ['ESERVFAIL', 'temperror'],
    ['ETIMEOUT', 'temperror'],
  ] as const)
    assert.equal(
      (await check(inMemory({ [DOMAIN]: txt(`v=spf1 a:a.test ip4:${IPV4} -all`), 'a.test': code }))).result,
      result,
      code,
    )
})

test('a name that is too long for DNS loses its first labels, and no more of them than it must', async () => {
  const label = 'x'.repeat(63)
  const longest = `${`${label}.`.repeat(3)}${'x'.repeat(49)}.example.net`
  assert.equal(longest.length, 253)
  for (const [name, asked] of [
    [longest, longest],
    [`a.${longest}`, longest],
    [`a.b.${longest}`, longest],
    [`x${longest}`, longest.slice(64)],
    // Behind its first label, this one is one character too long.
    [`f.x${longest}`, longest.slice(64)],
    // A final dot does not count, and a macro in front does.
    [`${longest}.`, longest],
    [`%{v}.${longest}.`, longest],
    [`%{v}${longest}.`, longest.slice(64)],
  ] as const)
    assert.deepEqual(await askedFor({ [DOMAIN]: txt(`v=spf1 exists:${name} -all`) }), [asked])
})

test('a modifier that is not known may hold any macro, and nothing that is none', async () => {
  for (const [modifier, result] of [
    ['x=%{c}%{r}%{t}%{l}%{S}', 'pass'],
    ['x=', 'pass'],
    ['x=%{z}', 'permerror'],
    ['x=%{l', 'permerror'],
    ['x=%', 'permerror'],
    ['redirect=%{c}.example.net', 'permerror'],
    ['exp=%{t}.example.net', 'permerror'],
  ] as const)
    assert.equal(
      (await check(inMemory({ [DOMAIN]: txt(`v=spf1 ip4:${IPV4} ${modifier} -all`) }))).result,
      result,
      modifier,
    )
})

test('two names may have no records; a host without an IPv6 address is none of them, if it exists', async () => {
  const record = `v=spf1 a:a.test a:b.test a:c.test ip4:${IPV4} ip6:${IPV6} -all`
  const zone = (code: string): Zone => ({
    [DOMAIN]: txt(record),
    'a.test': code,
    'b.test': code,
    'c.test': code,
  })
  for (const [client, code, result] of [
    [IPV4, 'ENOTFOUND', 'permerror'],
    [IPV6, 'ENOTFOUND', 'permerror'],
    [IPV4, 'ENODATA', 'permerror'],
    [IPV6, 'ENODATA', 'pass'],
  ] as const) {
    assert.equal((await check(inMemory(zone(code)), { client })).result, result, `${client} ${code}`)
    const two = inMemory({ ...zone(code), 'c.test': { A: ['192.0.2.9'], AAAA: ['2001:db8::9'] } })
    assert.equal((await check(two, { client })).result, 'pass')
  }
})

test('an answer that is no list of records is none', async () => {
  assert.equal((await check(async () => 'text')).result, 'temperror')
  const record = txt(`v=spf1 a:a.test ip4:${IPV4} -all`).TXT
  assert.equal((await check(async (_, type) => (type === 'TXT' ? record : 'text'))).result, 'temperror')
})

test('a null MX, and an MX record that is none, name no host', async () => {
  const zone: Zone = {
    [DOMAIN]: txt(`v=spf1 mx:a.test mx:b.test mx:c.test mx:d.test ip4:${IPV4} -all`),
    'a.test': { MX: [mx(0, '')] },
    'b.test': { MX: [mx(0, '.')] },
    'c.test': { MX: [null, 'text', {}] },
    'd.test': { MX: [] },
  }
  assert.equal((await check(inMemory(zone))).result, 'pass')
})

test('hosts of an MX are asked for in lower case', async () => {
  const zone = { [DOMAIN]: { ...txt('v=spf1 mx -all'), MX: [mx(1, 'MX.Example.NET.')] } }
  assert.deepEqual(await askedFor(zone), [DOMAIN, 'mx.example.net'])
})

test('mechanisms and modifiers have names in either case', async () => {
  const zone: Zone = { 'a.test': txt(`v=spf1 IP4:${IPV4} -ALL`) }
  for (const terms of ['REDIRECT=a.test', 'Include:a.test -All', 'EXP=a.test Redirect=a.test'])
    assert.equal((await check(inMemory({ ...zone, [DOMAIN]: txt(`v=spf1 ${terms}`) }))).result, 'pass', terms)
  const twice = txt('v=spf1 redirect=a.test REDIRECT=a.test')
  assert.equal((await check(inMemory({ ...zone, [DOMAIN]: twice }))).result, 'permerror')
})

test('an argument begins with a colon', async () => {
  for (const term of ['include', 'exists', 'ptr', 'a', 'mx'])
    for (const [separator, result] of [
      [':', 'pass'],
      ['.', 'permerror'],
      ['-', 'permerror'],
    ] as const) {
      const record = txt(`v=spf1 ip4:${IPV4} ${term}${separator}a.test -all`)
      assert.equal((await check(inMemory({ [DOMAIN]: record }))).result, result, `${term}${separator}`)
    }
  for (const term of ['ip4.192.0.2.7', 'ip6-2001:db8::7', 'ip4:192.0.2.7/24/24'])
    assert.equal((await check(inMemory({ [DOMAIN]: txt(`v=spf1 ${term} -all`) }))).result, 'permerror', term)
})

test('names that depend on the client are not asked to see who else passes', async () => {
  const record = `v=spf1 ip4:${IPV4} a:%{i}.a.test mx:%{h}.b.test include:%{l}.c.test -all`
  assert.deepEqual(await askedFor({ [DOMAIN]: txt(record) }), [])
})
