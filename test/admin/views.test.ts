// Tests views with more than they have room for, as the calls of operators fill them: none is larger than 60 kB, and what
// has no room is on the next page or is told of. A memory store has what mail would leave there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallDesk } from '../../src/admin/calls.ts'
import { Asker } from '../../src/admin/page/ask.ts'
import { showEntry } from '../../src/admin/page/entry.ts'
import { type Frame, foot, type Html, head } from '../../src/admin/page/layout.ts'
import { showLost } from '../../src/admin/page/lost.ts'
import { showChanges, showRules } from '../../src/admin/page/rules.ts'
import { writeFound, writeWaiting } from '../../src/admin/page/waiting.ts'
import { Operator } from '../../src/operator/operator.ts'
import { storedBy } from '../../src/operator/stored.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const NOW = Date.parse('2026-11-27T12:00:00Z')
const HOUR = 3_600_000
const MAX_VIEW = 60_000

const SESSION = {
  token: { name: 'anna', digest: Buffer.alloc(32) },
  formKey: 'k'.repeat(43),
  beganAt: 0,
  usedAt: 0,
}
const FRAME: Frame = { base: '/greymx', host: 'mx1', version: '1', assets: 'a', session: SESSION }
const ANNA = { name: 'token anna' }
const NEVER = new AbortController().signal

function setUp() {
  const store = new MemoryStore(() => NOW)
  const operator = new Operator({
    records: () => store,
    store: () => store,
    host: 'mx1',
    now: () => NOW,
    onProblem: assert.fail,
  })
  // biome-ignore lint/suspicious/noExplicitAny: nothing is decided in these tests.
  const undecided = undefined as any
  operator.use({
    ...{ greylister: undecided, exemptSteps: [], nat64Prefixes: [], judgesRecipients: true },
    stored: storedBy({ normalizeSender: true }),
    ...{ areRecipientsInStore: false, retryWindow: 48 * HOUR },
  })
  const ignored = () => undefined
  const desk = new CallDesk(operator.calls, {
    ...{ onChange: ignored, onRefusal: ignored, onCall: ignored, onFailure: ignored },
  })
  const asker = new Asker(
    (call, use) => desk.ask(call, use),
    () => 0,
  )
  /** Notes deferrals as the ledger has them: one at each of these instants, by its number. */
  const deferred = async (instants: readonly number[], ref: (number: number) => string, identity: string) => {
    for (const [index, at] of instants.entries()) {
      const sender = `${index}.${'s'.repeat(240)}@example.org`
      const recipient = `${'r'.repeat(240)}@example.com`
      const values = [at, 'mx1', '192.0.2.1', 'n'.repeat(240), null, identity, sender, recipient]
      const name = `ledger:${new Date(at).toISOString().slice(0, 13)}`
      await store.changeRecord(name, new Map([[`d${ref(index)}mx1`, JSON.stringify(values)]]), 200 * HOUR)
    }
  }
  const change = (name: string, params: object) => asker.change<{ id: string }>(name, params, ANNA)
  return { asker, desk, deferred, change }
}

async function sizeOf(content: Html): Promise<number> {
  return Buffer.byteLength(
    `${await head(FRAME, { path: '/', title: 'x' })}${await content}${await foot(FRAME)}`,
  )
}

/** The parts that a view writes. */
async function written(
  write: (to: { write: (part: Html) => Promise<void>; signal: AbortSignal }) => Promise<void>,
) {
  const parts: string[] = []
  await write({ signal: NEVER, write: async (part) => void parts.push(String(await part)) })
  const text = parts.join('')
  assert.ok(Buffer.byteLength(text) < MAX_VIEW - 3000, `${text.length}`)
  return text
}

function hexOf(number: number): string {
  return ((number * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')
}

test('every message that waits is on one page, also if many were deferred in one millisecond', async () => {
  const { asker, deferred } = setUp()
  const instants = Array.from({ length: 300 }, (_, index) => NOW - (index % 3) - (index % 7) / 10)
  await deferred(instants, hexOf, 'network:192.0.2.0/24')
  const seen: string[] = []
  let place: Record<string, string> | undefined = {}
  while (place) {
    const text = await written((to) => writeWaiting(asker, FRAME, place ?? {}, to))
    seen.push(...[...text.matchAll(/\/entry\/(\w{8})/g)].map(([, ref = '']) => ref))
    const next = /href="\/greymx\/waiting\?([^"]+)"/.exec(text)?.[1]
    place =
      next === undefined ? undefined : Object.fromEntries(new URLSearchParams(next.replaceAll('&amp;', '&')))
  }
  assert.equal(seen.length, 300)
  assert.equal(new Set(seen).size, 300)
  const strict = await written((to) =>
    writeWaiting(asker, FRAME, { before: new Date(NOW - 2).toISOString() }, to),
  )
  assert.doesNotMatch(strict, /12:00 UTC/)
})

test('a search shows what there is room for, and says that there is more', async () => {
  const { asker, deferred } = setUp()
  await deferred(Array(90).fill(NOW - 1), hexOf, 'network:192.0.2.0/24')
  const text = await written((to) => writeFound(asker, FRAME, 'example.org', to))
  assert.match(text, /The first \d+ are shown: search for more/)
  assert.match(
    await written((to) => writeFound(asker, FRAME, '7.*@nowhere.test', to)),
    /Nothing that waits matches/,
  )
})

test('a message that was deferred many times, and mail that is lost, are cut with the command that has all', async () => {
  const { asker, deferred } = setUp()
  const hours = Array.from({ length: 150 }, (_, index) => NOW - (index + 5) * HOUR)
  await deferred(hours, () => '0123abcd', 'spf:example.org')
  const entry = await showEntry(asker, FRAME, '0123abcd')
  assert.match(String(entry), /of 150 deferrals are shown: <code>greymx show 0123abcd/)
  assert.ok((await sizeOf(entry)) < MAX_VIEW)
})

test('lost mail is cut with the command that has all', async () => {
  const { asker, deferred } = setUp()
  const hours = Array.from({ length: 150 }, (_, index) => NOW - (index + 5) * HOUR)
  await deferred(hours, hexOf, 'spf:example.org')
  const lost = await showLost(asker, FRAME)
  assert.match(String(lost), /The first \d+ of 150 are shown: <code>greymx report --lost/)
  assert.ok((await sizeOf(lost)) < MAX_VIEW)
})

test('every rule and every change is on one page', async () => {
  const { asker, change } = setUp()
  const ids: string[] = []
  for (let count = 0; count < 120; count += 1) {
    const sender = `${count}.${'s'.repeat(240)}@example.org`
    ids.push((await change('allow', { sender, why: 'w'.repeat(200) })).id)
  }
  const all = async (show: typeof showRules, id: RegExp) => {
    const seen: string[] = []
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const view = await show(asker, FRAME, after)
      assert.ok((await sizeOf(view)) < MAX_VIEW)
      seen.push(...[...String(view).matchAll(id)].map(([, found = '']) => found))
      after = /\?after=(\w+)"/.exec(String(view))?.[1]
    }
    return seen.sort()
  }
  assert.deepEqual(await all(showRules, /allow <small>(\w+)</g), ids.sort())
  const changes = await asker.read<{ changes: { id: string }[] }>('changes', { days: 30 })
  assert.deepEqual(
    await all(showChanges, /name="id" value="(\w{12})"/g),
    changes.changes
      .slice(0, 100)
      .map(({ id }) => id)
      .sort(),
  )
})

test('searches that are not done leave other views their place', async () => {
  const { asker, desk, deferred } = setUp()
  await deferred([NOW - 1], hexOf, 'network:192.0.2.0/24')
  const search = { name: 'waiting', params: { about: 'example.org' }, caller: ANNA, signal: NEVER }
  for (let count = 0; count < 8; count += 1) void desk.ask(search, () => new Promise<void>(() => undefined))
  await assert.rejects(
    desk.ask(search, async () => undefined),
    /8 other views are made/,
  )
  assert.deepEqual(await asker.read('rules'), { rules: [] })
})
