// greymx simulate, as the operator runs it: figures that repeat themselves, variants beside each other, and what is said of
// options that cannot be used.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'

const dir = await scratch({ after })
const config = join(dir, 'milter.yaml')
await writeFile(config, 'greylist: {delay: 3m}\n')

const SMALL = ['--recipients', '12', '--days', '3']

function simulate(...args: readonly string[]) {
  return runGreymx(['simulate', '--config', config, ...args])
}

test('the same seed prints the same figures to the digit, and another seed others', async () => {
  const one = await simulate(...SMALL, '--by-class')
  assert.deepEqual([one.status, one.stderr], [0, ''])
  assert.match(
    one.stdout,
    /^12 recipients, 3 days, seed 1: \d+ wanted messages of \d+ organisations, \d+ spams\n/,
  )
  assert.match(one.stdout, /\nfirst message of each organisation\n {2}deferred +\d/)
  assert.match(one.stdout, /\n {2}memory of Redis +\d+ KiB\n/)
  assert.match(one.stdout, /\n {2}tenants-microsoft +\d+ /)
  assert.equal((await simulate(...SMALL, '--by-class')).stdout, one.stdout)
  assert.notEqual((await simulate(...SMALL, '--by-class', '--seed', '2')).stdout, one.stdout)
})

test('each --set is a variant in a column of its own, and has the figures of a file that says the same', async () => {
  const { status, stdout } = await simulate(
    ...[...SMALL, '--json', '--set', 'greylist.delay=1h'],
    ...['--set', 'greylist.client.spf_domain=false,exempt.senders=[gmail.com, outlook.com]'],
  )
  assert.equal(status, 0)
  const { seed, recipients, variants } = JSON.parse(stdout)
  assert.deepEqual([seed, recipients], [1, 12])
  assert.deepEqual(
    variants.map(({ name }: { name: string }) => name),
    [config, 'delay=1h', 'client.spf_domain=false,exempt.senders=[gmail.com, outlook.com]'],
  )
  const [own, hour, wide] = variants.map(({ figures }: { figures: unknown }) => figures)
  assert.ok(hour.wanted.mean > own.wanted.mean)
  assert.ok(hour.stoppable.passed < own.stoppable.passed)
  assert.deepEqual(hour.spam.messages, own.spam.messages)
  // A delay without end is null.
  const programs = own.senders.find(({ name }: { name: string }) => name === 'programs-without-queue')
  assert.ok(programs.wanted.lost > 0)
  assert.equal(programs.wanted.p99, null)
  const file = join(dir, 'wide.yaml')
  await writeFile(
    file,
    'greylist: {client: {spf_domain: false}}\nexempt: {senders: [gmail.com, outlook.com]}\n',
  )
  const other = await runGreymx(['simulate', '--config', file, ...SMALL, '--json'])
  assert.deepEqual(JSON.parse(other.stdout).variants[0].figures, wide)
})

test('other greylisters stand beside the settings, in the same world', async () => {
  const { status, stdout } = await simulate('--recipients', '5', '--days', '1', '--json', '--peers')
  assert.equal(status, 0)
  const { variants } = JSON.parse(stdout)
  assert.deepEqual(
    variants.map(({ name }: { name: string }) => name),
    [
      ...[config, 'Postgrey', 'Postgrey without its list', 'sqlgrey', 'rspamd', 'milter-greylist'],
      ...['OpenBSD spamd', 'Rudd 2005'],
    ],
  )
  const messages = variants.map(
    (variant: { figures: { spam: { messages: number } } }) => variant.figures.spam,
  )
  assert.equal(new Set(messages.map((spam: { messages: number }) => spam.messages)).size, 1)
})

test('logs take the place of a world, also packed, and say what differs for a variant', async () => {
  const log = join(dir, 'greymx.log')
  const line = (time: string, is: string) =>
    `2026-11-26T${time}Z ${is} client=192.0.2.7 sender=a@example.org recipient=u@example.com waited=0s retry_in=0s\n`
  const text = line('00:00:00', 'verdict=tempfail reason=new') + line('00:05:00', 'verdict=pass reason=retry')
  await writeFile(log, text)
  await writeFile(`${log}.1.gz`, gzipSync(text.replaceAll('11-26', '11-25')))
  const args = ['--set', 'greylist.delay=1h', '--json', '--replay', `${log}.1.gz`, log]
  const { status, stdout } = await simulate(...args)
  assert.equal(status, 0)
  const { judges } = JSON.parse(stdout)
  assert.deepEqual(
    judges.map(({ name, attempts, deferred }: Record<string, unknown>) => [name, attempts, deferred]),
    [
      [config, 4, 1],
      ['delay=1h', 4, 4],
    ],
  )
  const missing = await simulate('--replay', join(dir, 'none.log'))
  assert.deepEqual([missing.status, missing.stdout], [64, ''])
  assert.match(
    missing.stderr,
    /^greymx: Cannot read the log .*none\.log: ENOENT.*\. Try 'greymx simulate --help'\n$/,
  )
  const stray = await simulate(log)
  assert.equal(stray.status, 64)
  assert.match(
    stray.stderr,
    /^greymx: unexpected argument ".*": logs follow --replay\. Try 'greymx simulate --help'\n$/,
  )
})

test('a world of one’s own and the picture', async () => {
  const world = join(dir, 'world.yaml')
  await writeFile(world, 'base: default\nspam: 0\ndays: 2\nrecipients: 9\n')
  const picture = join(dir, 'plot.svg')
  const { status, stdout } = await simulate('--world', world, '--plot', picture)
  assert.equal(status, 0)
  assert.match(stdout, /^9 recipients, 2 days, seed 1: .* 0 spams\n/)
  assert.match(stdout, /\n {4}never +–\n/)
  assert.match(await readFile(picture, 'utf8'), /^<svg .*<\/svg>\n$/s)
})

test('a shipped world is found by its name, from any folder', async () => {
  const { status, stdout } = await simulate(...SMALL, '--world', 'knowing-bots', '--json')
  assert.equal(status, 0)
  const names = JSON.parse(stdout).variants[0].figures.bots.map(({ name }: { name: string }) => name)
  assert.ok(names.includes('credit-seekers') && names.includes('never'), names)
  const other = await simulate(...SMALL, '--world', 'default')
  assert.equal(other.stdout, (await simulate(...SMALL)).stdout)
})

test('what the simulated world does not have is said', async () => {
  const file = join(dir, 'lists.yaml')
  await writeFile(file, 'dnswl: [list.dnswl.org]\ngreylist: {mode: observe}\n')
  const { status, stderr } = await runGreymx(['simulate', '--config', file, ...SMALL])
  assert.equal(status, 0)
  assert.match(
    stderr,
    /^dnswl and only_if_listed are left out: .*\ngreylist\.mode: observe defers nothing: .*\n$/,
  )
})

test('an option that cannot be used is told with its value and what is expected', async () => {
  const missing = join(dir, 'missing.yaml')
  const wrong = join(dir, 'wrong.yaml')
  await writeFile(wrong, 'base: default\nspam: much\n')
  const vast = join(dir, 'vast.yaml')
  await writeFile(vast, 'base: default\nbots: {never: {servers: {networks: 1000000}}}\n')
  const cases: Array<[args: readonly string[], status: number, stderr: RegExp]> = [
    [
      ['--seed', 'x'],
      64,
      /^greymx: Cannot read --seed "x": expected a whole number from 0 to 4294967295\. Try 'greymx simulate --help'\n$/,
    ],
    [
      ['--days', '0'],
      64,
      /^greymx: Cannot read --days "0": expected a whole number from 1 to 366\. Try 'greymx simulate --help'\n$/,
    ],
    [['--recipients', '1.5'], 64, /^greymx: Cannot read --recipients "1.5"/],
    [
      ['--scale', '0'],
      64,
      /^greymx: Cannot read --scale "0": expected a number above 0, up to 100\. Try 'greymx simulate --help'\n$/,
    ],
    [['--set', 'greylist.delay'], 64, /^greymx: Cannot read --set "greylist.delay": expected SETTING=VALUE/],
    [
      ['--set', 'greylist.dely=1m'],
      64,
      /found greylist.dely \(did you mean greylist.delay\?\)\. Try 'greymx simulate --help'\n$/,
    ],
    [
      ['--set', 'greylist.delay=5x'],
      78,
      /^--set greylist.delay=5x: .*: Cannot read greylist.delay "5x": expected/,
    ],
    [
      ['--set', 'greylist.delay=3d'],
      78,
      /^--set greylist.delay=3d: .*greylist.delay 3d is not below greylist.retry_window/,
    ],
    [
      ['--world', missing],
      64,
      /^greymx: Cannot read --world .*missing.yaml: ENOENT.*; expected a file, or one of default, knowing-bots, /,
    ],
    [
      ['--world', vast, '--recipients', '400', '--days', '1'],
      64,
      /^greymx: Cannot make the world: no room for \d+ more networks, expected a smaller world\. Try 'greymx simulate --help'\n$/,
    ],
    [['--world', wrong], 78, /wrong.yaml:2:7: Cannot read spam "much": expected a number from 0 to 10000\n$/],
    [
      [...SMALL, '--plot', join(dir, 'none', 'plot.svg')],
      64,
      /^greymx: Cannot write --plot .*plot.svg: ENOENT/,
    ],
    [
      ['--client', '192.0.2.7'],
      64,
      /^greymx: unknown option "--client": expected --set, --peers, .*\. Try 'greymx simulate --help'\n$/,
    ],
    [['--wrold', 'x'], 64, /^greymx: unknown option "--wrold" \(did you mean --world\?\)\. Try /],
  ]
  for (const [args, status, stderr] of cases) {
    const ended = await simulate(...args)
    assert.match(ended.stderr, stderr, args.join(' '))
    assert.equal(ended.status, status, args.join(' '))
    assert.equal(ended.stdout, '')
  }
})
