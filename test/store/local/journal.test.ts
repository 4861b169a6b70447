// Tests of SteadyJournal: its writes never reject and never wait long, and what cannot be written now is written later.

import assert from 'node:assert/strict'
import { mock, type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SteadyJournal } from '../../../src/store/local/journal.ts'
import { LocalStore } from '../../../src/store/local/local.ts'
import { journalIn } from '../../support/journal.ts'

const DAY = 86_400_000
const TIMES = { retryWindow: 2 * DAY, lifetime: 36 * DAY }
const RETRY = 2000

const burns = () => Promise.reject(new Error('it burns'))
const never = () => new Promise<never>(() => undefined)

function setUp(t: TestContext) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const kept = new Map<string, string>()
  const events: string[] = []
  const open = (journal = journalIn(kept)) => {
    const steady = new SteadyJournal(journal, {
      onWritten: () => events.push('written'),
      onUnwritten: (problem) => events.push(`unwritten: ${problem}`),
    })
    return { journal, steady, local: new LocalStore(() => 1000, 5000, TIMES, steady) }
  }
  return { kept, events, open }
}

async function advance(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds)
  for (let turn = 0; turn < 20; turn += 1) await nextTurn()
}

test('what a journal cannot take is known all the same, and written down once it can', async (t) => {
  const { kept, events, open } = setUp(t)
  const { journal, local } = open()
  await local.restore()
  await local.pass('before', DAY)
  await local.pass('forgotten', DAY)
  const { put, remove } = journal
  Object.assign(journal, { put: burns, remove: burns })
  for (let index = 0; index < 2500; index += 1) assert.equal(await local.add(`during ${index}`, DAY), true)
  await local.forget('forgotten')
  await advance(RETRY)
  await advance(RETRY)
  assert.deepEqual([...kept.keys()], ['before', 'forgotten'])
  assert.deepEqual(events, ['unwritten: it burns'])
  assert.equal((await local.find(['during 7']))[0]?.passed, false)
  Object.assign(journal, { put, remove })
  await advance(RETRY)
  assert.deepEqual(events, ['unwritten: it burns', 'written'])
  assert.deepEqual([...kept.keys()].sort(), [...local.texts()].map(([key]) => key).sort())
  await local.add('after', DAY)
  assert.ok(kept.has('after'))
})

test('a journal that stands still costs one wait, and is tried again', async (t) => {
  const { kept, events, open } = setUp(t)
  const { journal, local } = open()
  await local.restore()
  const { put } = journal
  journal.put = never
  const learnt = [local.add('a', DAY), local.pass('b', DAY)]
  await advance(250)
  await Promise.all(learnt)
  await local.add('c', DAY) // does not wait
  journal.put = put
  await advance(RETRY)
  assert.deepEqual([...kept.keys()].sort(), ['a', 'b', 'c'])
  assert.deepEqual(events, ['unwritten: it did not answer within 250ms', 'written'])
})

test('what could not be read at the start is taken up later, and what was learnt meanwhile says more', async (t) => {
  const { kept, events, open } = setUp(t)
  const first = open()
  await first.local.restore()
  await first.local.pass('known', DAY)
  await first.local.add('passes meanwhile', DAY)
  await first.local.close()
  kept.set('foreign', 'something else')

  const journal = journalIn(kept)
  const { load } = journal
  journal.load = burns
  let back = () => {}
  journal.watch = ({ onReady }) => {
    back = onReady
  }
  const { local } = open(journal)
  await local.restore()
  assert.deepEqual(await local.find(['known']), [undefined])
  await local.pass('passes meanwhile', DAY)
  journal.load = load
  back()
  await advance(0)
  const found = await local.find(['known', 'passes meanwhile'])
  assert.deepEqual(
    found.map((entry) => entry?.passed),
    [true, true],
  )
  assert.deepEqual([...kept.keys()].sort(), ['known', 'passes meanwhile'])
  assert.deepEqual(events, ['unwritten: it burns', 'written'])
})
