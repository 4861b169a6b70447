// LmdbStore runs the conformance suite. The other tests are about what only a store on disk can do.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, open as openFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { open } from 'lmdb'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { type LmdbStore, openLmdbJournal, openLmdbStore } from '../../../src/store/lmdb/lmdb.ts'
import type { Text } from '../../../src/store/local/journal.ts'
import { childrenOf } from '../../support/daemon.ts'
import { endWith, type Scope, scratch, waitFor } from '../../support/scratch.ts'
import { describeRecordStore, describeSetBackStore, describeSharedStore } from '../conformance.ts'

const DAY = 86_400_000
const SILENT = { onMovedAside() {} }

interface Opened {
  readonly store: LmdbStore
  /** The events of the store, in order; the first is that of a check right after it was opened. */
  readonly events: readonly string[]
}

async function openIn(dir: string, now: () => number = Date.now): Promise<Opened> {
  const events: string[] = []
  const store = await openLmdbStore(dir, now, {
    onMovedAside: (problem) => events.push(`moved aside: ${problem}`),
  })
  const watch = {
    onReady: () => events.push('ready'),
    onLost: (problem: string) => events.push(`problem: ${problem}`),
  }
  store.watch(watch)
  await store.check().then(watch.onReady, ({ message }: Error) => watch.onLost(message))
  return { store, events }
}

async function openByHand(t: Scope) {
  let now = 1_700_000_000_000
  const dir = await scratch(t)
  const { store } = await openIn(dir, () => now)
  const { store: other } = await openIn(dir, () => now)
  endWith(dir, () => store.close())
  endWith(dir, () => other.close())
  return {
    store,
    other,
    records: store,
    otherRecords: other,
    async advance(milliseconds: number) {
      now += milliseconds
    },
    async setBack(milliseconds: number) {
      now -= milliseconds
    },
  }
}

describeSharedStore('LmdbStore', 0, openByHand)
describeSetBackStore('LmdbStore', 0, openByHand)
describeRecordStore('LmdbStore', 0, openByHand)

test('LmdbStore counts its keys by kind, also where one kind has more than it counts at once', async (t) => {
  const { store } = await openByHand(t)
  const { signal } = new AbortController()
  assert.deepEqual(await store.countKeys(signal), new Map([['other', 0]]))
  const adds = [...Array(12_000).keys()].map((index) => store.add(`t:${index}`, DAY))
  await Promise.all([...adds, store.count('o:a', DAY), store.count('o:b', DAY), store.add('check:x', DAY)])
  await Promise.all([store.pass('z', DAY), store.pass('w:a', DAY), store.pass('zz:b', DAY)])
  const expected = { t: 12_000, o: 2, check: 1, other: 1, w: 1, zz: 1 }
  assert.deepEqual(Object.fromEntries(await store.countKeys(signal)), expected)
})

test('LmdbStore leaves what it was not asked for while its clock was set back as it is', async (t) => {
  const { store, advance, setBack } = await openByHand(t)
  await store.add('touched', 2 * DAY)
  await store.add('untouched', 2 * DAY)
  await advance(300)
  await setBack(DAY)
  await store.find(['touched'])
  await advance(DAY)
  assert.deepEqual(await store.find(['touched', 'untouched']), [
    { passed: false, age: DAY },
    { passed: false, age: 300 },
  ])
})

test('LmdbStore sweeps away what was written before its clock was set back, and not asked for since', async (t) => {
  let now = 1_700_000_000_000
  const dir = await scratch(t)
  const { store } = await openIn(dir, () => now)
  for (let index = 0; index < 200; index += 1) await store.add(`t:old ${index}`, 1000)
  now -= DAY
  const writeSome = async () => {
    for (let index = 0; index < 200; index += 1) await store.pass(`t:${index}`, 10 * DAY)
  }
  await writeSome()
  now += 2000
  await writeSome()
  await store.close()
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  const old = [...database.getKeys()].filter((key) => String(key).startsWith('t:old'))
  await database.close()
  assert.deepEqual(old, [])
})

test('LmdbStore finds what it kept when it is opened again', async (t) => {
  const dir = join(await scratch(t), 'made', 'by.itself')
  const { store: first } = await openIn(dir, () => 1000)
  await first.add('pending', DAY)
  await first.pass('passed', DAY)
  await first.close()
  const { store: again } = await openIn(dir, () => 2000)
  assert.deepEqual(await again.find(['pending', 'passed']), [
    { passed: false, age: 1000 },
    { passed: true, age: 1000 },
  ])
  await again.close()
  assert.equal((await stat(dir)).mode & 0o777, 0o700)
})

test('LmdbStore refuses contents that are none of its own, key by key, and keeps them', async (t) => {
  const dir = await scratch(t)
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  await database.put('version', '1')
  await database.put('foreign', 'something else')
  await database.put('newer', '9999999999999 2:passed:1000:more')
  await database.close()
  const { store } = await openIn(dir, () => 1000)
  for (const key of ['foreign', 'newer']) {
    await assert.rejects(store.find([key]), (error: Error) => {
      return (
        error instanceof UnreadableEntry &&
        error.message.includes(`"${key}"`) &&
        /expected 1:pending:MS/.test(error.message)
      )
    })
  }
  await assert.rejects(store.count('foreign', DAY), /expected a count, found/)
  await assert.rejects(store.merge('foreign', { counted: 1, left: DAY }), UnreadableEntry)
  await assert.rejects(store.merge('newer', { passed: true, ttl: DAY, left: DAY }), UnreadableEntry)
  assert.equal(await store.add('ours', DAY), true)
  await store.close()
  const again = open({ path: dir, noSubdir: false, encoding: 'string' })
  assert.equal(again.get('foreign'), 'something else')
  await again.close()
})

test('openLmdbStore names the directory that it cannot use', async (t) => {
  const file = join(await scratch(t), 'file')
  await writeFile(file, '')
  await assert.rejects(openIn(file), { message: new RegExp(`^Cannot open the LMDB store in ${file}: `) })
})

test('openLmdbStore refuses what a later greymx wrote, and leaves it as it is', async (t) => {
  const dir = await scratch(t)
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  await database.put('version', '2')
  await database.close()
  const before = await readFile(join(dir, 'data.mdb'))
  await assert.rejects(
    openIn(dir),
    /written by a later version of greymx \(its format is 2, this one knows 1\)/,
  )
  assert.deepEqual(await readdir(dir), ['data.mdb', 'lock.mdb'])
  assert.deepEqual(await readFile(join(dir, 'data.mdb')), before)
})

test('neither a store nor a journal takes the environment of the other', async (t) => {
  const dir = await scratch(t)
  await makeState(join(dir, 'store'))
  const journal = await openLmdbJournal(join(dir, 'journal'), SILENT)
  await journal.close()
  await assert.rejects(openLmdbJournal(join(dir, 'store'), SILENT), {
    message: `Cannot open the LMDB store in ${dir}/store: it belongs to the setting store: expected another directory in the setting local_store`,
  })
  await assert.rejects(
    openIn(join(dir, 'journal')),
    /it belongs to the setting local_store: expected another directory in the setting store$/,
  )
})

test('LmdbJournal gives its texts page by page', async (t) => {
  const dir = await scratch(t)
  const journal = await openLmdbJournal(dir, SILENT)
  endWith(dir, () => journal.close())
  const keys = Array.from({ length: 30 }, (_, index) => `${index % 2 ? 't' : 'z'}:${index}`)
  await Promise.all(keys.map((key) => journal.put(key, `text of ${key}`)))
  await journal.put('t:1', 'another')
  await journal.remove('t:3')
  const found: Text[] = []
  for (
    let page = await journal.load('', 7);
    page.length > 0;
    page = await journal.load(found.at(-1)?.[0] ?? '', 7)
  ) {
    assert.ok(page.length <= 7)
    found.push(...page)
  }
  const expected = keys.filter((key) => key !== 't:3').sort()
  assert.deepEqual(
    found,
    expected.map((key) => [key, key === 't:1' ? 'another' : `text of ${key}`]),
  )
})

test('openLmdbJournal takes over what greymx wrote before it had versions, and moves aside what it did not', async (t) => {
  const dir = await scratch(t)
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  await database.put('t:a', `1700000000000.5 1 1:passed:${DAY}`)
  await database.put('p:a', '1700000000000 0 3')
  await database.close()
  const journal = await openLmdbJournal(dir, SILENT)
  assert.equal((await journal.load('', 10)).length, 2)
  await journal.close()
  await writeFile(join(dir, 'data.mdb'), 'not a database')
  const again = await openLmdbJournal(dir, SILENT)
  assert.deepEqual(await again.load('', 10), [])
  await again.close()
  assert.equal((await readdir(dir)).filter((name) => name.startsWith('data.mdb.damaged-')).length, 1)
})

test('openLmdbStore takes over what greymx wrote before it had versions', async (t) => {
  const dir = await scratch(t)
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  await database.put('t:a', `${2 * DAY} 1:passed:${2 * DAY}`)
  await database.put('p:a', `${2 * DAY} 3`)
  await database.close()
  const { store, events } = await openIn(dir, () => DAY)
  assert.deepEqual(await store.find(['t:a']), [{ passed: true, age: DAY }])
  assert.equal(await store.count('p:a', DAY), 4)
  await store.close()
  assert.deepEqual(events, ['ready'])
})

// Regression: operators were told that nothing is known of what this host had just noted.
test('a record is read with what was to be written to it before, whether or not anybody waited for that', async (t) => {
  const { store } = await openByHand(t)
  for (let round = 1; round <= 5; round += 1) {
    const changed = store.changeRecord('rules', new Map([[`f${round}`, 'x']]), DAY)
    const rules = store.readRecord('rules')
    const added = store.addToRecord('sums', new Map([['n', 1]]), DAY)
    const sums = store.readRecord('sums')
    assert.equal((await rules).get(`f${round}`), 'x')
    assert.equal((await sums).get('n'), String(round))
    await Promise.all([changed, added])
  }
})

/** Makes a state of several hundred entries in `dir`. */
async function makeState(dir: string, count = 600): Promise<void> {
  const { store } = await openIn(dir, () => 1000)
  await Promise.all(Array.from({ length: count }, (_, index) => store.add(`t:${index}@sender.test`, DAY)))
  await store.close()
}

const PAGE = 4096

/** Kinds of damage; each function gets the folder with a sound state. */
const DAMAGES: Array<[name: string, damage: (dir: string) => Promise<void>]> = [
  ['data.mdb is a text', (dir) => writeFile(join(dir, 'data.mdb'), 'not a database\n'.repeat(1000))],
  ['data.mdb is short', (dir) => writeFile(join(dir, 'data.mdb'), 'x')],
  ['data.mdb is all zeros', (dir) => writeFile(join(dir, 'data.mdb'), Buffer.alloc(10 * PAGE))],
  [
    'data.mdb is random',
    (dir) => writeFile(join(dir, 'data.mdb'), crypto.getRandomValues(Buffer.alloc(PAGE * 9))),
  ],
  [
    'data.mdb is a folder',
    async (dir) => {
      await rm(join(dir, 'data.mdb'))
      await mkdir(join(dir, 'data.mdb'))
    },
  ],
  ['data.mdb has another version of LMDB', (dir) => overwrite(dir, 28, Buffer.from([77, 0, 0, 0]))],
  ...[1, 2, 3, 5, 9].map((pages): [string, (dir: string) => Promise<void>] => [
    `data.mdb is cut after ${pages} pages`,
    (dir) => truncate(join(dir, 'data.mdb'), pages * PAGE),
  ]),
  ['data.mdb is cut within a page', (dir) => truncate(join(dir, 'data.mdb'), 5 * PAGE + 100)],
  [
    'all pages but the first two are random',
    (dir) => overwrite(dir, 2 * PAGE, crypto.getRandomValues(Buffer.alloc(8 * PAGE))),
  ],
  ['all pages but the first two are 0xff', (dir) => overwrite(dir, 2 * PAGE, Buffer.alloc(8 * PAGE, 0xff))],
  [
    'lock.mdb is a FIFO',
    async (dir) => {
      await rm(join(dir, 'lock.mdb'))
      execFileSync('mkfifo', [join(dir, 'lock.mdb')])
    },
  ],
  [
    'lock.mdb is a folder',
    async (dir) => {
      await rm(join(dir, 'lock.mdb'))
      await mkdir(join(dir, 'lock.mdb'))
    },
  ],
  [
    'the environment is another program’s',
    async (dir) => {
      await rm(join(dir, 'data.mdb'))
      const database = open({ path: dir, noSubdir: false, encoding: 'string' })
      await database.put('their key', 'their value')
      await database.close()
    },
  ],
]

async function overwrite(dir: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await openFile(join(dir, 'data.mdb'), 'r+')
  await file.write(bytes, 0, bytes.length, position)
  await file.close()
}

for (const [name, damage] of DAMAGES) {
  test(`${name}: it is moved aside, and the store begins empty and says so`, async (t) => {
    const dir = join(await scratch(t), 'state')
    await makeState(dir)
    await damage(dir)
    const { store, events } = await openIn(dir, () => 2000)
    assert.match(events[0] ?? '', /^moved aside: /)
    assert.equal(events[1], 'ready')
    assert.deepEqual(await store.find(['t:1@sender.test']), [undefined])
    assert.equal(await store.add('t:new', DAY), true)
    assert.ok((await readdir(dir)).includes('data.mdb.damaged-19700101T000002.000Z'))
    await store.close()
    assert.equal(events.length, 2)
  })
}

test('a damaged lock.mdb is no obstacle', async (t) => {
  for (const content of ['', 'x', 'not a lock\n'.repeat(1000)]) {
    const dir = await scratch(t)
    await makeState(dir)
    await writeFile(join(dir, 'lock.mdb'), content)
    const { store, events } = await openIn(dir, () => 2000)
    assert.deepEqual(await store.find(['t:1@sender.test']), [{ passed: false, age: 1000 }])
    assert.equal(await store.add('t:new', DAY), true)
    await store.close()
    assert.deepEqual(events, ['ready'])
  }
})

test('an empty data.mdb is a new one', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'data.mdb'), '')
  const { store, events } = await openIn(dir)
  assert.equal(await store.add('t:new', DAY), true)
  await store.close()
  assert.deepEqual(events, ['ready'])
})

test('of damaged states the last three are kept', async (t) => {
  const dir = await scratch(t)
  for (let now = 1000; now <= 5000; now += 1000) {
    await writeFile(join(dir, 'data.mdb'), `damaged at ${now}`)
    const { store } = await openIn(dir, () => now)
    await store.close()
  }
  const kept = (await readdir(dir)).filter((name) => name.startsWith('data.mdb.')).sort()
  assert.deepEqual(
    kept,
    [3, 4, 5].map((second) => `data.mdb.damaged-19700101T00000${second}.000Z`),
  )
})

/** The process that has the state in `dir` open for this one. */
async function processOf(dir: string): Promise<number> {
  for (const pid of await childrenOf(process.pid)) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.split('\0').includes(dir)) return pid
  }
  throw new Error(`Cannot find the process that has ${dir} open`)
}

async function isServing(store: LmdbStore): Promise<boolean> {
  return store.check().then(
    () => true,
    () => false,
  )
}

test('a state that is cut short while it is open costs the answers that are due, and is moved aside', async (t) => {
  const dir = await scratch(t)
  await makeState(dir, 5000)
  const { store, events } = await openIn(dir)
  endWith(dir, () => store.close())
  await truncate(join(dir, 'data.mdb'), 2 * PAGE)
  await assert.rejects(store.find(['t:1@sender.test']), /^Error: LMDB: reading the file ended in SIGBUS$/)
  await waitFor('the store to serve again', () => isServing(store))
  assert.deepEqual(
    events.map((event) => event.replace(/:.*/, '')),
    ['ready', 'problem', 'moved aside', 'ready'],
  )
  assert.deepEqual(await store.find(['t:1@sender.test']), [undefined])
})

test('when the process that has the state open is killed, another takes over, and nothing is lost', async (t) => {
  const dir = await scratch(t)
  const { store, events } = await openIn(dir)
  endWith(dir, () => store.close())
  await store.pass('t:a', DAY)
  process.kill(await processOf(dir), 'SIGKILL')
  await assert.rejects(store.find(['t:a']), /LMDB: the process that has the file open ended with SIGKILL/)
  await waitFor('the store to serve again', () => isServing(store))
  assert.equal((await store.find(['t:a']))[0]?.passed, true)
  assert.deepEqual(events, [
    'ready',
    'problem: the process that has the file open ended with SIGKILL',
    'ready',
  ])
})

test('two crashes in a row are laid to the state; a single one is not', async (t) => {
  const dir = await scratch(t)
  const { store, events } = await openIn(dir)
  endWith(dir, () => store.close())
  await store.pass('t:a', DAY)
  const crash = async () => {
    process.kill(await processOf(dir), 'SIGSEGV')
    await assert.rejects(store.check(), /LMDB: reading the file ended in SIGSEGV/)
    await waitFor('the store to serve again', () => isServing(store))
  }
  await crash()
  assert.equal((await store.find(['t:a']))[0]?.passed, true)
  await crash()
  assert.equal((await store.find(['t:a']))[0], undefined)
  assert.equal(events.filter((event) => event.startsWith('moved aside')).length, 1)
})
