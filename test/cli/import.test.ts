// greymx export and greymx import as an operator runs them: beside a daemon, with files of all sorts, and without harm.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openLmdbStore } from '../../src/store/lmdb/lmdb.ts'
import { PROGRAM, runGreymx, startGreymx } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { endWith, scratch } from '../support/scratch.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const TRIPLET = 't:network:192.0.2.0/24|a@example.org|b@example.com'
const HEADER = `{"greymx":"export","format":1,"version":"0.2.0","at":"${new Date().toISOString()}"}`

/** A directory of LMDB in use before, with a pass, a wait, a listing, a count and a rule. */
async function makeState(directory: string): Promise<void> {
  const store = await openLmdbStore(directory, Date.now, { onMovedAside: assert.fail })
  await store.pass(TRIPLET, 36 * DAY)
  await store.add('t:network:192.0.2.0/24|waits@example.org|b@example.com', 2 * DAY, HOUR)
  await store.pass('w:network:192.0.2.0/24', 36 * DAY)
  await store.count('o:network:192.0.2.0/24', 2 * DAY, 100_000_002)
  await store.changeRecord('rules', new Map([['abc123', '{"kind":"off","by":"test","madeAt":1}']]))
  await store.close()
}

/** A directory of LMDB in use before, with nothing in it. */
async function makeEmptyState(directory: string): Promise<void> {
  const store = await openLmdbStore(directory, Date.now, { onMovedAside: assert.fail })
  await store.close()
}

async function configOf(dir: string, name: string, store: string): Promise<string> {
  const file = join(dir, `${name}.yaml`)
  await writeFile(file, `store: "${store}"\n`)
  return file
}

describe('greymx export and greymx import,', { concurrency: 2 }, () => {
  test('from one store to another, and back through standard output', async () => {
    const dir = await scratch({ after })
    const redis = await startRedis({ dir })
    await makeState(join(dir, 'one'))
    const one = await configOf(dir, 'one', `lmdb:${dir}/one`)
    const other = await configOf(dir, 'other', `${redis.url}/3`)
    const file = join(dir, 'export.jsonl')
    assert.deepEqual(await runGreymx(['export', file, '-c', one]), { status: 0, stdout: '', stderr: '' })
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.ok(!(await readdir(dir)).includes('export.jsonl.part'))
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
    assert.equal(lines.length, 7)
    assert.match(lines[0] ?? '', /^\{"greymx":"export","format":1,"version":"\d.*","at":"\d.*Z"\}$/)
    assert.equal(lines.at(-1), '{"end":5}')

    const imported = await runGreymx(['import', 'greymx', file, '-c', other, '--sample', '1'])
    assert.equal(imported.status, 0, imported.stderr)
    assert.match(
      imported.stdout,
      /^network:192\.0\.2\.0\/24 from a@example\.org to b@example\.com: passed, forgotten in 35d 23h|36d/m,
    )
    assert.match(imported.stdout, /^network:192\.0\.2\.0\/24 from waits@\S+ to b@\S+: has waited 1h/m)
    assert.match(imported.stdout, /^network:192\.0\.2\.0\/24: in the auto-whitelist, forgotten in 3/m)
    assert.ok(
      imported.stdout.endsWith(
        `Taken over into ${redis.url}/3: 1 passed, 1 waiting, 1 in the auto-whitelist, 1 other, 1 of rules and recipients.\n` +
          'Left out: 0 expired, 0 that greymx cannot know, 0 broken. Records read: 5.\n',
      ),
      imported.stdout,
    )
    const back = await runGreymx(['export', '-c', other])
    assert.equal(back.status, 0)
    const withoutTimes = (text: string) =>
      text
        .replace(/"(at|left)":("[^"]*"|\d+)/g, '"$1":0')
        .trimEnd()
        .split('\n')
        .sort()
    assert.deepEqual(withoutTimes(back.stdout), withoutTimes(lines.join('\n')))

    const json = await runGreymx(['import', 'greymx', file, '-c', other, '--json', '--dry-run'])
    assert.deepEqual(JSON.parse(json.stdout), {
      peer: 'greymx',
      source: file,
      store: `${redis.url}/3`,
      dryRun: true,
      complete: true,
      read: 5,
      taken: { passed: 1, waiting: 1, listed: 1, other: 1, rules: 1 },
      expired: 0,
      unknowable: 0,
      broken: 0,
    })
  })

  test('beside a daemon with LMDB, from a pipe: the daemon knows at once what was taken over', async () => {
    const dir = await scratch({ after })
    const greymx = await startGreymx({ dir, settings: `store: "lmdb:${dir}/state"\nlog: { level: debug }` })
    const probe = (sender: string) =>
      runGreymx([
        'probe',
        ...['--socket', `inet:${greymx.port}@127.0.0.1`, '--client', '192.0.2.9'],
        ...['--from', sender, '--to', 'b@example.com'],
      ])
    assert.equal((await probe('stranger@example.org')).status, 75)
    const child = spawn(process.execPath, [PROGRAM, 'import', 'greymx', '-', '-c', greymx.configFile], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    child.stdin.end(
      `${HEADER}\n{"key":"${TRIPLET}","passed":true,"ttl":${36 * DAY},"left":${DAY}}\n{"end":1}\n`,
    )
    const [status] = await once(child, 'close')
    assert.equal(status, 0)
    assert.equal((await probe('a@example.org')).status, 0)
    assert.equal((await probe('another@example.org')).status, 75)
    assert.ok(!greymx.log().some((line) => line.startsWith('level=error')), greymx.log().join('\n'))
  })

  test('a dry run changes nothing at all, and asks no store', async () => {
    const dir = await scratch({ after })
    await makeEmptyState(join(dir, 'state'))
    const file = join(dir, 'export.jsonl')
    await writeFile(
      file,
      `${HEADER}\n{"key":"${TRIPLET}","passed":true,"ttl":${DAY},"left":${DAY}}\n{"end":1}\n`,
    )
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const before = await Promise.all(
      ['data.mdb', 'lock.mdb'].map((name) => readFile(join(dir, 'state', name))),
    )
    const done = await runGreymx(['import', 'greymx', file, '-c', config, '--dry-run', '--sample', '3'])
    assert.equal(done.status, 0, done.stderr)
    assert.match(done.stdout, /^network:192\.0\.2\.0\/24 from a@example\.org to b@example\.com: passed, /)
    assert.match(done.stdout, /Would be taken over into \S+: 1 passed.*\nLeft out.*\nNothing was changed/)
    const then = await Promise.all(['data.mdb', 'lock.mdb'].map((name) => readFile(join(dir, 'state', name))))
    assert.deepEqual(then, before)
    const away = await configOf(dir, 'away', 'redis://127.0.0.1:1')
    assert.equal((await runGreymx(['import', 'greymx', file, '-c', away, '--dry-run'])).status, 0)
  })

  test('broken lines are named, and are too many by --max-errors; the others are taken over', async () => {
    const dir = await scratch({ after })
    await makeEmptyState(join(dir, 'state'))
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const file = join(dir, 'export.jsonl')
    const good = `{"key":"${TRIPLET}","passed":true,"ttl":${DAY},"left":${DAY}}`
    const bad = '{"key":"t:\\u001b[31m","count":1,"left":1}'
    await writeFile(file, `${HEADER}\n${good}\nx\n${bad}\n{"end":3}\n`)
    const done = await runGreymx(['import', 'greymx', file, '-c', config])
    assert.equal(done.status, 65)
    assert.deepEqual(done.stderr.split('\n'), [
      `${file}:3: expected JSON, found "x"`,
      `${file}:4: the key "t:\\u001b[31m" is none that greymx has`,
      'Broken records: 2: expected 0 at most (--max-errors)',
      '',
    ])
    assert.match(done.stdout, /^Taken over into lmdb:\S+state: 1 passed/)
    await writeFile(file, `${HEADER}\n${'x\n'.repeat(30)}{"end":30}\n`)
    const many = await runGreymx(['import', 'greymx', file, '-c', config, '--max-errors', '30'])
    assert.equal(many.status, 0)
    assert.equal(many.stderr.match(/expected JSON/g)?.length, 20)
    assert.match(many.stderr, /further records of this kind are counted, and not shown\n$/)
  })

  test('what is no export, no file or no number ends with a message, and takes nothing over', async () => {
    const dir = await scratch({ after })
    await makeEmptyState(join(dir, 'state'))
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const file = join(dir, 'random')
    await writeFile(file, Buffer.from('\u0000\u0001{"greymx"\n\xff', 'latin1'))
    const cases = [
      [[file], 65, /^Cannot read \S+random: it is no export of greymx: line 1: expected JSON/],
      [[join(dir, 'absent')], 64, /^Cannot read \S+absent: no such file\n/],
      [[file, '--sample', 'x'], 64, /Cannot read --sample "x": expected a whole number from 0 on/],
    ] as const
    for (const [args, status, problem] of cases) {
      const done = await runGreymx(['import', 'greymx', ...args, '-c', config])
      assert.equal(done.status, status, `${args}: ${done.stderr}`)
      assert.match(done.stderr, problem)
      if (status === 65) assert.equal(done.stdout, 'Nothing was taken over.\n')
    }
  })

  test('a store that no command can reach is named, with what was expected', async () => {
    const dir = await scratch({ after })
    await mkdir(join(dir, 'other'))
    const cases = [
      ['memory:', /what store: memory has ends with the daemon.*expected lmdb:DIR or redis:/],
      [`lmdb:${dir}/other`, /other\/data\.mdb: no such file: expected the directory that the daemon uses/],
      ['redis://127.0.0.1:1', /ECONNREFUSED/],
    ] as const
    for (const [store, problem] of cases) {
      const config = await configOf(dir, 'milter', store)
      const command =
        store === 'memory:' ? ['import', 'greymx', '/dev/null'] : ['export', join(dir, 'export')]
      const done = await runGreymx([...command, '-c', config])
      assert.equal(done.status, 69, `${store}: ${done.stderr}`)
      assert.match(done.stderr, problem)
    }
    assert.deepEqual((await readdir(dir)).sort(), ['milter.yaml', 'other'])
    assert.deepEqual(await readdir(join(dir, 'other')), [])
  })

  test('root leaves the files of LMDB to the user that they belong to', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can be mistaken for the owner')
    const dir = await scratch({ after })
    await makeState(join(dir, 'state'))
    const owner = 65_534
    for (const path of ['', 'data.mdb', 'lock.mdb']) await chown(join(dir, 'state', path), owner, owner)
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const processes = spawn('setpriv', ['--reuid=65534', process.execPath, PROGRAM, '--version'])
    if ((await once(processes, 'close'))[0] !== 0) return t.skip('other users cannot read the program')
    await rm(join(dir, 'state', 'lock.mdb'))
    const file = join(dir, 'export.jsonl')
    const done = await runGreymx(['export', file, '-c', config])
    assert.equal(done.status, 0, done.stderr)
    assert.equal((await stat(join(dir, 'state', 'lock.mdb'))).uid, owner)
    // What root makes below a folder belongs to whom that belongs to.
    await mkdir(join(dir, 'owned'))
    await chown(join(dir, 'owned'), owner, owner)
    const into = await configOf(dir, 'into', `lmdb:${dir}/owned/new/state`)
    assert.equal((await runGreymx(['import', 'greymx', file, '-c', into])).status, 0)
    for (const path of ['new', 'new/state', 'new/state/data.mdb'])
      assert.equal((await stat(join(dir, 'owned', path))).uid, owner, path)
  })

  test('an import that is interrupted says what it has done, and one without a reader ends', async () => {
    const dir = await scratch({ after })
    await makeEmptyState(join(dir, 'state'))
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const child = spawn(process.execPath, [PROGRAM, 'import', 'greymx', '-', '-c', config], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    endWith(dir, async () => void child.kill('SIGKILL'))
    const output = ['stdout', 'stderr'].map((name) =>
      child[name as 'stdout' | 'stderr'].setEncoding('utf8').toArray(),
    )
    child.stdin.write(`${HEADER}\n`)
    const line = (index: number) => `{"key":"t:${index}|a","passed":true,"ttl":${DAY},"left":${DAY}}\n`
    child.stdin.write(Array.from({ length: 1000 }, (_, index) => line(index)).join(''))
    // It waits for the rest of the file.
    const store = await openLmdbStore(join(dir, 'state'), Date.now, { onMovedAside: assert.fail })
    const { signal } = new AbortController()
    for (let count = 0; count < 500; ) count = (await store.countKeys(signal)).get('t') ?? 0
    await store.close()
    child.kill('SIGINT')
    const [status] = await once(child, 'close')
    const [stdout, stderr] = await Promise.all(output)
    assert.equal(status, 69)
    assert.match(stderr?.join('') ?? '', /^The import was interrupted\n/)
    assert.match(
      stdout?.join('') ?? '',
      /^Taken over into \S+: \d+ .*\n.*\nThis is not all\. What was taken over stays/,
    )
  })

  test('an import that waits for a pipe on which nobody writes ends at a signal, and an export leaves no part', async () => {
    const dir = await scratch({ after })
    await makeState(join(dir, 'state'))
    const config = await configOf(dir, 'milter', `lmdb:${dir}/state`)
    const started = async (args: readonly string[], isBegun: () => Promise<boolean>) => {
      const child = spawn(process.execPath, [PROGRAM, ...args, '-c', config], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      endWith(dir, async () => void child.kill('SIGKILL'))
      const complaint = child.stderr.setEncoding('utf8').toArray()
      while (!(await isBegun())) await sleep(20)
      return { child, complaint }
    }
    const pipe = join(dir, 'pipe')
    execFileSync('mkfifo', [pipe])
    const hasFile = (name: string) => async () => (await readdir(dir)).includes(name)
    // The writer's end opens once the import has opened the other one.
    const silent = await started(['import', 'spamdb', pipe], async () => {
      const writer = await open(pipe, 'w')
      endWith(dir, () => writer.close())
      return true
    })
    silent.child.kill('SIGTERM')
    assert.deepEqual(await once(silent.child, 'close'), [null, 'SIGTERM'])
    assert.equal((await silent.complaint).join(''), 'The import was interrupted\n')

    const store = await openLmdbStore(join(dir, 'state'), Date.now, { onMovedAside: assert.fail })
    await Promise.all(
      Array.from({ length: 20_000 }, (_, index) => store.pass(`t:network:192.0.2.0/24|${index}`, DAY)),
    )
    await store.close()
    const exporting = await started(['export', join(dir, 'whole')], hasFile('whole.part'))
    exporting.child.kill('SIGTERM')
    const [status] = await once(exporting.child, 'close')
    // It may have been done by then.
    const isWhole = await hasFile('whole')()
    assert.equal(status, isWhole ? 0 : 69, (await exporting.complaint).join(''))
    assert.equal(await hasFile('whole.part')(), false)
  })
})
