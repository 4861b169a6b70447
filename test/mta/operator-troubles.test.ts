// Tests what the operators' commands do when something is amiss: the store is away or refuses rights, strangers send
// hostile addresses, the terminal is narrow, and whoever reads the output has gone.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { command, itemsOf, jsonOf, startCommand, textOf } from '../support/commands.ts'
import { type Greymx, PROGRAM, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { DELAY, MARGIN } from './scenarios.ts'

const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 10m, lifetime: 10m, max_deferrals: 0 }`

/** Command lines of all commands that cannot do without the store, and words that begin what they complain of. */
const NEEDING_STORE = [
  ['explain', '00000000'],
  ['explain', '192.0.2.7', 'a@a.test', 'b@example.com'],
  ['show', '00000000'],
  ['list'],
  ['list', '--follow'],
  ['allow', '--sender', 'a.test'],
  ['forget', '--address', 'b@example.com'],
  ['off'],
  ['on'],
  ['rules'],
  ['stats'],
  ['report', '--lost'],
]

test('while Redis is away, each command ends with what is wrong and with 69, and mail flows', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/0\n${TIMES}` })
  const before = await milterSession(greymx)
  assert.equal(await ask(before, 'before@a.test'), 'tempfail')
  before.quit()
  await redis.stop()
  const commands = [...NEEDING_STORE, ['expect', '--to', 'b@example.com', '--for', '15m']]
  const [, , ...ended] = await Promise.all([
    mailFlows(greymx, 'during1@a.test'),
    textOf(greymx, ['status'], 1).then((status) => assert.match(status, / the store is down: Redis: /)),
    ...commands.map((args) => command(greymx, args)),
  ])
  for (const [index, { status, stdout, stderr }] of ended.entries()) {
    const name = commands[index]?.join(' ')
    assert.deepEqual([status, stdout], [69, ''], name)
    assert.match(
      stderr,
      /^Cannot ask the daemon on unix:\S+: (?:Cannot read the statistics: )?Redis: .*\n$/,
      name,
    )
  }
  await mailFlows(greymx, 'during2@a.test')
})

test('without rights for records, mail is judged as ever, and each command says which right is missing', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const rights = ['get', 'mget', 'set', 'del', 'pttl', 'pexpire', 'incrby', 'select', 'info']
  const acl = ['on', '>secret', '~greymx:*', ...rights.map((right) => `+${right}`)]
  assert.equal(await redis.cli('acl', 'setuser', 'greymx', ...acl), 'OK')
  const store = `redis://greymx:secret@127.0.0.1:${redis.port}/0`
  const greymx = await startGreymx({ dir, settings: `store: ${store}\n${TIMES}` })
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'a@a.test'), 'tempfail')
  // What an attempt gets is in the entries of mail; only what was noted of it is in records.
  const commands = NEEDING_STORE.filter((args) => args[0] !== 'explain' || args.length === 2)
  const ended = await Promise.all(commands.map((args) => command(greymx, args)))
  for (const [index, { status, stdout, stderr }] of ended.entries()) {
    const name = commands[index]?.join(' ')
    assert.deepEqual([status, stdout], [69, ''], name)
    assert.match(
      stderr,
      /Redis: the user lacks a right that greymx needs \(NOPERM .*'\w+' command\)\n$/,
      name,
    )
  }
  await sleep(DELAY + MARGIN)
  const later = await milterSession(greymx)
  assert.equal(await ask(later, 'a@a.test'), 'pass')
  for (const session of [client, later]) session.quit()
  const warned = greymx.log().filter((line) => line.includes("rights that operators' commands need"))
  assert.equal(warned.length, 1)
  assert.match(warned[0] ?? '', / expected \+hset .*\+exec"$/)
})

test('list --follow shows a deferral and its return while they happen, also of mail that was deferred before, and ends on SIGINT', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "memory:"\n${TIMES}` })
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'before@a.test'), 'tempfail')
  await jsonOf(greymx, ['report']) // what was noted is in the ledger
  const following = startCommand(greymx, ['list', '--follow'], dir)
  const shows = (state: string, sender: string) =>
    following
      .output()
      .split('\n')
      .some((line) => line.startsWith(`${state} `) && line.includes(` ${sender} `))
  let count = 0
  await waitFor(
    'a deferral',
    async () => {
      if (shows('waiting', `during${count}@a.test`)) return true
      await sleep(MARGIN)
      if (count < 10) assert.equal(await ask(client, `during${count + 1}@a.test`), 'tempfail')
      count += 1
      await waitFor('it to be shown', () => shows('waiting', `during${count}@a.test`), 1500).catch(
        () => undefined,
      )
      return shows('waiting', `during${count}@a.test`)
    },
    20_000,
  )
  assert.ok(!shows('waiting', 'before@a.test'))
  await sleep(DELAY)
  const back = `during${count}@a.test`
  assert.equal(await ask(client, back), 'pass')
  assert.equal(await ask(client, 'before@a.test'), 'pass')
  client.quit()
  await waitFor('the returns', () => shows('passed', back) && shows('passed', 'before@a.test'))
  assert.match(following.output(), /^STATE +AGE +REF +CLIENT, SENDER, RECIPIENT\n/)
  following.interrupt()
  // A shell shows the status 130 for this, and ends a loop that the command is in.
  assert.deepEqual(await following.ended, [null, 'SIGINT'])
  assert.equal((await command(greymx, ['list'])).status, 0, 'the daemon goes on')
})

test('a command whose reader has gone ends quietly', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "memory:"\n${TIMES}` })
  const client = await milterSession(greymx)
  for (let index = 0; index < 10; index += 1)
    assert.equal(await ask(client, `s${index}-${'x'.repeat(40)}@a.test`), 'tempfail')
  client.quit()
  const script = '"$@" | head -1; echo "status $PIPESTATUS"'
  const line = [process.execPath, PROGRAM, 'list', '--config', greymx.configFile]
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script, 'bash', ...line])
  assert.deepEqual(
    [stdout, stderr],
    ['STATE    AGE      REF       CLIENT, SENDER, RECIPIENT\nstatus 0\n', ''],
  )
  // The reader of a stream that would never end has gone too.
  const following = promisify(execFile)('bash', ['-c', script, 'bash', ...line, '--follow'])
  const other = await milterSession(greymx)
  const timer = setInterval(() => void ask(other, `${process.hrtime.bigint()}@b.test`), 300)
  const followed = await following.finally(() => clearInterval(timer))
  other.quit()
  assert.deepEqual([followed.stdout, followed.stderr], [stdout, ''])
})

test('report --lost --mail is a message whose header a parser takes', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "memory:"\n${TIMES}` })
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'a@a.test'), 'tempfail')
  client.quit()
  const message = await textOf(greymx, ['report', '--lost', '--mail'])
  const read = promisify(execFile)('python3', ['-c', PARSER])
  read.child.stdin?.end(message)
  const [headers = '', defects, type, body = ''] = (await read).stdout.split('\n---\n')
  assert.match(headers, /^To=postmaster\nSubject=greymx on \S+: 1 deferred, 0 never returned$/m)
  assert.deepEqual([defects, type], ['[]', 'text/plain'])
  assert.match(body, /^From .* as far as it was noted:\n\n {6}1 first messages were deferred\n/)
})

/** Reads a message by the rules of RFC 5322 and MIME, and tells what is in it. */
const PARSER = `
import email, email.policy, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.strict)
headers = "\\n".join(f"{name}={value}" for name, value in message.items())
print(headers, message.defects, message.get_content_type(), message.get_content(), sep="\\n---\\n")
`

/** What strangers may write into an address to deceive whoever looks at a terminal. */
const HOSTILE = [
  '"\\\u001b]0;owned\\\u0007\\\u001b[31m"@esc.test',
  '"\u202eevil\u2066\u200f"@bidi.test',
  '"a\\\u0085\\\u009b31m\\\u2028b"@c1.test',
  `${'l'.repeat(280)}@long.test`,
  `${'m'.repeat(560)}@longer.test`,
  '\u{1f600}\u0301\u4e2d\u6587@wide.test',
]

for (const width of [60, 200])
  test(`in ${width} columns, tables fit, and nothing of a stranger reaches the terminal raw`, async (t) => {
    const dir = await scratch(t)
    const greymx = await startGreymx({ dir, settings: `store: "memory:"\n${TIMES}` })
    const client = await milterSession(greymx)
    for (const sender of HOSTILE) assert.equal(await ask(client, sender), 'tempfail')
    client.quit()
    const noted = await itemsOf(greymx, ['list', '--sort', 'sender'])
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await command(greymx, args, { COLUMNS: `${width}` })
      for (const text of [stdout, stderr]) assert.doesNotMatch(text, HARMFUL, args.join(' '))
      return stdout
    }
    const assertFits = (text: string) => {
      for (const line of text.split('\n')) assert.ok(line.length <= width, `${line.length}: ${line}`)
    }
    await run('off', '--from', 'esc.test', '--why', `\u001b[31m ${'why '.repeat(40)}`)
    await run('allow', '--sender', `${'d'.repeat(60)}.${'e'.repeat(60)}.test`, '--client', '192.0.2.0/24')
    for (const args of [['list'], ['list', '--sort', 'age'], ['rules'], ['stats'], ['status']])
      assertFits(await run(...args))
    for (const { ref } of noted)
      if (ref) {
        await run('explain', ref)
        await run('explain', ref, '--for-user')
        await run('show', ref)
        await run('allow', ref)
      }
    assertFits(await run('rules'))
    await run('report', '--lost', '--mail')
    await run('show', '\u001b[31m')
    await run('list', '--json')
  })

/** Characters that a terminal acts on, except for the ends of lines. */
const HARMFUL = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u

/** Asserts that a message is accepted at once, as it is while the store is down. */
async function mailFlows(greymx: Greymx, sender: string): Promise<void> {
  const client = await milterSession(greymx)
  assert.equal(await ask(client, sender), 'pass')
  client.quit()
}
