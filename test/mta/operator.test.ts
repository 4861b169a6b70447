// Tests the operators' commands against running daemons, with mail through real Postfixes: two MXs with one Redis, one
// with each store of one host, and a stranger's first steps with greymx in the words of README.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { command, itemsOf, jsonOf, textOf } from '../support/commands.ts'
import { startDaemon } from '../support/daemon.ts'
import { PROGRAM, runGreymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { milterSession } from '../support/milter.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { startRedis } from '../support/redis.ts'
import { endWith, freePort, scratch, waitFor } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'
import { TOLERANCE } from './hosts.ts'
import { DELAY, deliveriesOf, MARGIN, rcptOnce, send } from './scenarios.ts'

const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 10m, lifetime: 10m, max_deferrals: 0 }`

/** How soon a command takes effect on every MX, in milliseconds: within a second, on a machine that may be busy. */
const EFFECTIVE_WITHIN = 1000 + TOLERANCE

/** Parts of regular expressions: an instant as commands print it, and in JSON; a short time. */
const AT = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d`
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const TIME = String.raw`(?:\d+[dhms] ?)+`

/**
 * Asserts that a text is what `expected` says, in which times stand as AT, TIME and PADDED. A single deferral under a
 * name is in the memory of the host that noted it, and only for a while: it stands as ONE and TALLY.
 */
function assertText(text: string, expected: string): void {
  const pattern = expected
    .replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
    .replace(/\bAT\b/g, AT)
    .replace(/\bTIME\b/g, TIME)
    .replaceAll('PADDED', `${TIME} *`)
    .replace(/\bONE\b/g, '[01]')
    .replaceAll('TALLY', String.raw`(?:\(0/1\))?`)
  assert.match(text, new RegExp(`^${pattern}$`))
}

function refIn(reply: string): string {
  return /^451 4\.7\.1 Greylisted, please try again later \((\w{8})\)$/.exec(reply)?.[1] ?? assert.fail(reply)
}

describe('two MXs with one Redis:', async () => {
  const dir = await scratch({ after })
  const redis = await startRedis({ dir })
  const settings = `store: ${redis.url}/0\n${TIMES}`
  const start = (hostName: string) => startGreymx({ dir, name: hostName, hostName, settings })
  const [first, second] = [await start('mx1'), await start('mx2')]
  const [postfix1, postfix2] = [
    await startPostfix({ dir, milter: `inet:127.0.0.1:${first.port}` }),
    await startPostfix({ dir, milter: `inet:127.0.0.1:${second.port}` }),
  ]
  const files = () => Promise.all([first, second].map(({ configFile }) => readFile(configFile, 'utf8')))

  /** The reply to a first message in an open session, a second after a command; and its sender. */
  async function replyAfterCommand(client: SmtpClient, to: string): Promise<[reply: string, sender: string]> {
    await sleep(EFFECTIVE_WITHIN)
    const sender = `first-${process.hrtime.bigint()}@a.test`
    return [await rcptOnce(client, sender, to), sender]
  }

  test('why a message is deferred at one is explained, shown and listed at both', async () => {
    const client = await startSession(postfix1, { ADDR: '192.0.2.7', NAME: 'mail.a.test' })
    const ref = refIn(await rcptOnce(client, 'ann@a.test', 'bob@example.com'))
    await client.quit()
    await waitFor('the ledger', async () => (await command(second, ['show', ref])).status === 0)
    await sleep(DELAY)

    const attempt = ['192.0.2.7', 'ann@a.test', 'bob@example.com', '--name', 'mail.a.test']
    const early = ['192.0.2.7', 'eve@a.test', 'bob@example.com']
    const [byRef, byAttempt, unknown, forUser, explained, shown, deferral] = await Promise.all([
      textOf(first, ['explain', ref]),
      textOf(second, ['explain', ...attempt]),
      textOf(first, ['explain', ...early, '--in', '5m'], 75),
      textOf(second, ['explain', ref, '--for-user']),
      jsonOf(second, ['explain', ref]),
      textOf(second, ['show', ref]),
      jsonOf(first, ['show', ref]),
    ])
    const story = `${ref}: ann@a.test to bob@example.com, from 192.0.2.7 (mail.a.test) as host:a.test, was deferred by mx1 at AT. It has not come back.\n`
    const inFull = (hello: string) => `Client:    192.0.2.7 (mail.a.test)${hello}
Sender:    ann@a.test
Recipient: bob@example.com
Reference: ${ref}

Now:       pass, retry: has waited TIME, evidence host:a.testTALLY
Times:     delay 2s, retry window 10m, lifetime 10m

  exempt.authenticated: does not exempt it
  exempt.tls_clients: does not exempt it
  exempt.clients: does not exempt it
  exempt.senders: does not exempt it
  exempt.recipients: does not exempt it
  recipients: does not exempt it
  rules made at run time: none applies
  exempt.spf, dnswl, only_if_listed, only_if: do not exempt it
  names of the client: host:a.test, network:192.0.2.0/24; SPF: unknown
  auto-whitelist: none of its names is listed
  crowd: few strangers wait beside it
> triplet: has waited TIME, under host:a.test

NAME                              DEFERRED  RETURNED  TRIPLET
host:a.test                       ONE         0         waiting, TIME
network:192.0.2.0/24              ONE         0         waiting, TIME
host:a.test+network:192.0.2.0/24  ONE         0         nothing

${story}`
    assertText(byRef, inFull(' HELO client.test'))
    assertText(byAttempt, inFull(''))
    assert.match(unknown, /^Now: {7}tempfail, new: passes in 2s\nIn 5m: {5}pass, retry: has waited 5m\b/m)
    assert.match(unknown, /^> triplet: is new$/m)
    assertText(
      forUser,
      `The first message from ann@a.test to bob@example.com reached us on AT, and we asked the server that sent it to try again, as we do with senders that are new to us. That server has not tried again by now; it decides when it does, usually within half an hour. Further messages from there are accepted at once.\n`,
    )
    const { attempt: asked, outcome, steps, names, times, history } = explained
    assert.deepEqual(asked, {
      client: '192.0.2.7',
      name: 'mail.a.test',
      helo: 'client.test',
      sender: 'ann@a.test',
      recipient: 'bob@example.com',
    })
    assert.deepEqual([explained.ref, outcome.verdict, outcome.reason], [ref, 'pass', 'retry'])
    assert.ok(outcome.waited >= DELAY)
    assert.deepEqual(
      steps.filter((step: { decides: boolean }) => step.decides).map((step: { rule: string }) => step.rule),
      ['triplet'],
    )
    assert.equal(names[0].key, 't:host:a.test|ann@a.test|bob@example.com')
    assert.deepEqual(times, { delay: DELAY, retryWindow: 600_000, lifetime: 600_000 })
    assertText(shown, story)
    assert.deepEqual(history, deferral.deferrals)
    assert.match(deferral.deferrals[0].at, ISO)

    const criteria = ['--recipient', 'bob@example.com', '--sort', 'client']
    const [listed, items, filtered, none] = await Promise.all([
      textOf(first, ['list', ...criteria]),
      itemsOf(second, ['list', ...criteria]),
      itemsOf(first, ['list', '--state', 'waiting', '--client', 'a.test', '--older', '1s', '--limit', '1']),
      textOf(second, ['list', '--state', 'passed']),
    ])
    assertText(
      listed,
      `STATE    AGE      REF       CLIENT, SENDER, RECIPIENT
waiting  PADDED${ref}  host:a.test  ann@a.test  bob@example.com
waiting  PADDED${ref}  network:192.0.2.0/24  ann@a.test  bob@example.com
`,
    )
    assert.deepEqual(
      items.map(({ state, client: name, sender, recipient, ref: itsRef }) => [
        ...[state, name, sender, recipient],
        itsRef,
      ]),
      ['host:a.test', 'network:192.0.2.0/24'].map((name) => [
        ...['waiting', name, 'ann@a.test', 'bob@example.com'],
        ref,
      ]),
    )
    assert.deepEqual(
      filtered.map(({ client: name }) => name),
      ['host:a.test'],
    )
    assert.equal(none, 'Nothing is kept that matches.\n')
  })

  test('what is switched off at one passes at the other at the next RCPT of an open session, until it is on', async () => {
    const client = await startSession(postfix2, { ADDR: '198.51.100.9' })
    const before = await files()
    assert.match(await rcptOnce(client, 'before@a.test', 'bob@example.com'), /^451/)
    const off = await textOf(first, ['off', '--why', 'ticket 4711'])
    const [reply, sender] = await replyAfterCommand(client, 'bob@example.com')
    assert.match(reply, /^250/)
    const [, id = ''] = /greymx on (\w{6})\n$/.exec(off) ?? []
    assertText(
      off,
      `Greylisting is off on every MX for all mail until it is ended.\nEnd it with: greymx on ${id}\n`,
    )
    assert.deepEqual(await waitForOutcomes(second, sender, 1), ['pass off'])
    assert.match(
      second.log().find((line) => line.includes(sender)) ?? '',
      new RegExp(` would=tempfail would_reason=new .* rule=off:${id} `),
    )
    const explained = await textOf(second, ['explain', '203.0.113.1', 'z@z.test', 'bob@example.com'])
    assert.match(
      explained,
      new RegExp(`^> rules made at run time: greylisting is off for it, by ${id}$`, 'm'),
    )

    assertText(
      await textOf(second, ['on']),
      'Ended: Greylisting is off on every MX for all mail until it is ended.\n',
    )
    assert.match((await replyAfterCommand(client, 'bob@example.com'))[0], /^451/)
    const again = await command(first, ['on'])
    assert.deepEqual(
      [again.status, again.stdout, again.stderr],
      [64, '', 'there is no such rule: there are none\n'],
    )

    const scoped = await jsonOf(second, ['off', '--to', 'carol@example.com', '--for', '2h'])
    assert.deepEqual(
      [scoped.kind, scoped.recipient, scoped.isOver, scoped.by],
      ['off', 'carol@example.com', false, 'uid 0 (root)'],
    )
    const seconds = (Date.parse(scoped.until) - Date.parse(scoped.madeAt)) / 1000
    assert.equal(Math.round(seconds), 2 * 3600)
    assert.match((await replyAfterCommand(client, 'Carol@example.com'))[0], /^250/)
    assert.match(await rcptOnce(client, 'scoped@a.test', 'bob@example.com'), /^451/)
    const { ended } = await jsonOf(first, ['on', '--to', 'carol@example.com'])
    assert.deepEqual(
      ended.map((rule: { id: string }) => rule.id),
      [scoped.id],
    )
    assert.match((await replyAfterCommand(client, 'carol@example.com'))[0], /^451/)
    await client.quit()
    assert.deepEqual(await files(), before, 'no file was changed')
    assert.match(
      first.log().find((line) => line.includes('call=off')) ?? '',
      /^level=info msg="an operator made a change" who="uid 0 \(root\)" call=off params=/,
    )
  })

  test('a reference that is allowed at one passes at the other at the next RCPT, and is told to have come back', async () => {
    const client = await startSession(postfix1, { ADDR: '203.0.113.9' })
    const ref = refIn(await rcptOnce(client, 'late@b.test', 'dora@example.com'))
    const other = await rcptOnce(client, 'other@b.test', 'dora@example.com')
    assert.match(other, /^451/)
    await waitFor('the ledger', async () => (await command(second, ['show', ref])).status === 0)
    const allowed = await textOf(second, ['allow', ref, '--why', 'contract'])
    const [, id = ''] = /greymx on (\w{6})\n$/.exec(allowed) ?? []
    assertText(
      allowed,
      `Mail from late@b.test to dora@example.com passes on every MX until AT.\nEnd it with: greymx on ${id}\n`,
    )
    await sleep(EFFECTIVE_WITHIN)
    assert.match(await send(client, 'late@b.test', ['dora@example.com']), /^250/)
    assert.match(await rcptOnce(client, 'stranger@b.test', 'dora@example.com'), /^451/)
    await client.quit()
    assert.equal((await deliveriesOf(postfix1, 'late@b.test', 1)).length, 1)
    assert.equal((await waitForOutcomes(first, 'late@b.test', 2)).at(-1), 'pass exempt-recipient')

    await waitFor('the return', async () => /It came back/.test(await textOf(second, ['show', ref])))
    assert.match(
      await textOf(first, ['explain', ref]),
      new RegExp(`^> rules made .*: allowed by ${id}$`, 'm'),
    )
    assertText(
      await textOf(first, ['explain', ref, '--for-user']),
      `The first message from late@b.test to dora@example.com reached us on AT, and we asked the server that sent it to try again, as we do with senders that are new to us. It did so on AT, and the message was accepted then. Further messages from there are accepted at once.\n`,
    )
    const rule = (await jsonOf(first, ['rules'])).rules.find((each: { id: string }) => each.id === id)
    assert.deepEqual(
      [rule.kind, rule.sender, rule.recipient, rule.by, rule.why, rule.isOver],
      ['allow', 'late@b.test', 'dora@example.com', 'uid 0 (root)', 'contract', false],
    )
    assertText(
      await textOf(second, ['rules']),
      `ID      RULE                            UNTIL             BY            WHY
${id}  allow from late@b.test to       AT  uid 0 (root)  contract
        dora@example.com
`,
    )
    await textOf(first, ['on', id])
    assert.equal(await textOf(first, ['rules']), 'No rules: mail is judged by the configuration alone.\n')
  })

  test('a client is allowed by its network or name, and mail that is expected passes', async () => {
    const client = await startSession(postfix2, { ADDR: '198.51.100.77', NAME: 'mail.c.test' })
    const allowed = await jsonOf(first, ['allow', '--client', '198.51.100.64/26', '--sender', 'c.test'])
    assert.deepEqual(
      [allowed.kind, allowed.client, allowed.sender, 'recipient' in allowed],
      ['allow', '198.51.100.64/26', 'c.test', false],
    )
    await sleep(EFFECTIVE_WITHIN)
    assert.match(await rcptOnce(client, 'x@sub.c.test', 'erin@example.com'), /^250/)
    assert.match(await rcptOnce(client, 'x@d.test', 'erin@example.com'), /^451/)
    await textOf(second, ['on', allowed.id])

    assertText(
      await textOf(second, ['expect', '--to', 'frank@example.com', '--for', '15m']),
      'First messages to frank@example.com from anybody who is no stranger pass until AT.\n',
    )
    assert.match(await rcptOnce(client, 'code@c.test', 'frank@example.com'), /^250/)
    assert.match(await rcptOnce(client, 'other@c.test', 'gina@example.com'), /^451/)
    assert.deepEqual(await waitForOutcomes(second, 'code@c.test', 1), ['pass expected'])
    const expecting = ['expect', '--to', 'frank@example.com', '--from', 'shop.c.test', '--for', '15m']
    const expected = await jsonOf(first, expecting)
    assert.deepEqual([expected.to, expected.from], ['frank@example.com', 'c.test'])
    assert.match(expected.until, ISO)
    await client.quit()
  })

  test('what came back is in stats and report at both, and status tells of both', async () => {
    const client = await startSession(postfix2, { ADDR: '203.0.113.200', NAME: 'out.e.test' })
    assert.match(await rcptOnce(client, 'returns@e.test', 'gina@example.com'), /^451/)
    await sleep(DELAY + MARGIN)
    assert.match(await send(client, 'returns@e.test', ['gina@example.com']), /^250/)
    await client.quit()
    // Each daemon writes what it has counted, and what it has noted, when it is asked.
    for (const asked of ['stats', 'report'])
      await Promise.all([first, second].map((daemon) => textOf(daemon, [asked])))
    const [stats, table, days, report, json, mail] = await Promise.all([
      jsonOf(first, ['stats', '--hours', '2']),
      textOf(second, ['stats']),
      jsonOf(second, ['stats', '--days', '2']),
      textOf(first, ['report', '--days', '1', '--lost']),
      jsonOf(second, ['report']),
      textOf(second, ['report', '--lost', '--mail']),
    ])
    const logged = [...first.outcomes(), ...second.outcomes()]
    const countOf = (outcome: string) => logged.filter((each) => each === outcome).length
    for (const { together } of [stats, days]) {
      assert.equal(together.attempts, logged.length)
      assert.deepEqual([together.deferred, together.returned], [countOf('tempfail new'), 1])
      for (const { verdict, reason, count } of together.verdicts)
        assert.equal(count, countOf(`${verdict} ${reason}`), reason)
    }
    assert.match(table, /^ +together +mx1 +mx2\nattempts +\d+ +\d+ +\d+\n/m)
    assert.match(table, /^returned +1 +0 +1$/m)
    assert.match(table, /^pass off +\d+ +0 +\d+$/m)

    assert.deepEqual([json.deferred, json.returned, json.neverReturned], [countOf('tempfail new'), 2, 0])
    const text = `From AT to AT, as far as it was noted:

${String(json.deferred).padStart(7)} first messages were deferred
      2 came back and passed
${String(json.waiting).padStart(7)} may still come back
      0 never came back, 0 % of all
${String(json.proven.deferred).padStart(7)} were of proven senders, of which ${Math.round((json.proven.returned / json.proven.deferred) * 100)} % came back

Half of those that came back had waited less than TIME, nine of ten less than TIME, the longest TIME.
      0 waited longer than an hour
`
    assertText(report, text)
    const [headers = '', ...body] = mail.split('\n\n')
    assertText(body.join('\n\n'), text)
    assert.match(headers, /^To: postmaster\nSubject: greymx on \S+: \d+ deferred, 0 never returned\n/)

    const [status, members] = await Promise.all([textOf(first, ['status'], 1), jsonOf(second, ['status'], 1)])
    assert.match(status, /^mx1 +\d+ +\S+ +up \d+ (?:s|min) +up \d+ (?:s|min) +silent +0 s$/m)
    assert.match(status, /^mx2 +\d+ +\S+ +up \d+ (?:s|min) +up \d+ (?:s|min) +silent +0 s$/m)
    assert.match(status, /^needs attention\n {2}mx1: DNS does not answer/m)
    assert.deepEqual(
      members.members.map(({ host, pid, state }: Record<string, unknown>) => [host, pid, state]),
      [
        ['mx1', first.pid, 'running'],
        ['mx2', second.pid, 'running'],
      ],
    )
  })

  test('what is forgotten at one is forgotten at both, by reference and by address', async () => {
    const client = await startSession(postfix1, { ADDR: '192.0.2.200' })
    const ref = refIn(await rcptOnce(client, 'one@f.test', 'hugo@example.com'))
    assert.match(await rcptOnce(client, 'two@f.test', 'hugo@example.com'), /^451/)
    assert.match(await rcptOnce(client, 'hugo@example.com', 'ida@example.com'), /^451/)
    assertText(
      await textOf(first, ['forget', ref]),
      `Forgotten: 1 keys, and 1 deferrals of the last week.
Log files, and what other programs have logged, are not touched.
`,
    )
    const gone = await command(second, ['show', ref])
    assert.equal(gone.status, 64)
    assert.match(gone.stderr, new RegExp(`^nothing is known of ${ref}: expected the reference of `))
    const address = ['forget', '--address', 'Hugo@Example.com']
    assert.deepEqual(await jsonOf(second, address), { forgotten: 2, deferrals: 2, unreadable: 0 })
    assert.deepEqual(await itemsOf(first, ['list', '--recipient', 'hugo@example.com']), [])
    assert.match(await rcptOnce(client, 'one@f.test', 'hugo@example.com'), /^451/)
    assert.equal((await waitForOutcomes(first, 'one@f.test', 2)).at(-1), 'tempfail new')
    await client.quit()
  })

  test('a daemon that starts obeys the rules from its first RCPT on', async () => {
    await textOf(first, ['off', '--to', 'example.net'])
    const third = await start('mx3')
    const client = await milterSession(third)
    await client.mail('<first@g.test>')
    assert.equal((await client.rcpt('<ivy@example.net>')).code, 'c')
    assert.equal((await client.rcpt('<ivy@example.com>')).code, 'y')
    client.quit()
    await third.stop()
    await textOf(second, ['on', '--to', 'example.net'])
  })
})

for (const store of ['memory:', 'lmdb:DIR']) {
  test(`one MX with ${store}: the commands do the same`, async (t) => {
    const dir = await scratch(t)
    const settings = `store: "${store.replace('DIR', `${dir}/state`)}"\n${TIMES}`
    const greymx = await startGreymx({ dir, settings, hostName: 'mx.example.com' })
    const postfix = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
    const client = await startSession(postfix, { ADDR: '192.0.2.7', NAME: 'mail.a.test' })
    const ref = refIn(await rcptOnce(client, 'ann@a.test', 'bob@example.com'))
    const [explained, shown, listed] = await Promise.all([
      jsonOf(greymx, ['explain', '192.0.2.7', 'new@a.test', 'bob@example.com'], 75),
      jsonOf(greymx, ['show', ref]),
      itemsOf(greymx, ['list', '--client', 'a.test']),
    ])
    assert.deepEqual([explained.outcome.verdict, explained.outcome.reason], ['tempfail', 'new'])
    assert.deepEqual(
      shown.deferrals.map(({ mx, sender }: Record<string, unknown>) => [mx, sender]),
      [['mx.example.com', 'ann@a.test']],
    )
    assert.deepEqual(
      listed.map(({ state, client: name, ref: itsRef }) => [state, name, itsRef]),
      [['waiting', 'host:a.test', ref]],
    )

    // The daemon that is asked knows of a change at once.
    await textOf(greymx, ['off', '--to', 'carol@example.com'])
    assert.match(await rcptOnce(client, 'off@a.test', 'carol@example.com'), /^250/)
    await textOf(greymx, ['on', '--to', 'carol@example.com'])
    assert.match(await rcptOnce(client, 'on@a.test', 'carol@example.com'), /^451/)
    const { id } = await jsonOf(greymx, ['allow', ref])
    assert.match(await send(client, 'ann@a.test', ['bob@example.com']), /^250/)
    await textOf(greymx, ['expect', '--to', 'dora@example.com', '--for', '15m'])
    assert.match(await rcptOnce(client, 'code@a.test', 'dora@example.com'), /^250/)
    await client.quit()

    const [back, rules, report, stats, status] = await Promise.all([
      textOf(greymx, ['show', ref]),
      jsonOf(greymx, ['rules']),
      jsonOf(greymx, ['report', '--lost']),
      jsonOf(greymx, ['stats']),
      command(greymx, ['status']),
    ])
    assert.match(back, /It came back and passed at /)
    assert.deepEqual(
      rules.rules.map((rule: { id: string; kind: string }) => [rule.id, rule.kind]),
      [[id, 'allow']],
    )
    assert.deepEqual([report.deferred, report.returned, report.lost], [2, 1, []])
    assert.deepEqual([stats.together.attempts, stats.together.deferred], [5, 2])
    assert.match(status.stdout, /^mx\.example\.com +\d+ /m)
    assert.deepEqual(
      (await jsonOf(greymx, ['on', id])).ended.map((rule: { id: string }) => rule.id),
      [id],
    )
    const forgotten = await jsonOf(greymx, ['forget', '--client', 'a.test'])
    assert.deepEqual([forgotten.forgotten > 0, forgotten.deferrals], [true, 2])
    assert.deepEqual(await itemsOf(greymx, ['list', '--client', 'a.test']), [])

    await textOf(greymx, ['off', '--from', 'b.test'])
    await greymx.stop()
    const away = await command(greymx, ['rules'])
    assert.deepEqual([away.status, away.stdout], [69, ''])
    assert.match(
      away.stderr,
      /^Cannot ask the daemon on unix:\S+: .*: expected greymx serve to run, and admin_socket to be the same in both\n$/,
    )
    const again = await startGreymx({ dir, settings, hostName: 'mx.example.com' })
    const milter = await milterSession(again)
    await milter.mail('<first@b.test>')
    assert.equal((await milter.rcpt('<u@example.com>')).code, store === 'memory:' ? 'y' : 'c')
    milter.quit()
    await again.stop()
  })
}

test('a stranger starts greymx as it is shipped, attaches Postfix by the line of README, sees why mail is late, and lets it through', async (t) => {
  const dir = await scratch(t)
  // As npm start does, from a clone: with the shipped settings, other sockets and folders, which README tells to set.
  const [readme, shipped] = await Promise.all(
    ['README.md', 'milter.yaml'].map((file) => readFile(file, 'utf8')),
  )
  const [, milter = ''] =
    /^ {4}smtpd_milters = (\{ unix:greymx\/greymx\.sock, .* \})$/m.exec(readme ?? '') ?? []
  const postfix = await startPostfix({ dir, milter })
  const folder = join(postfix.queueDirectory, 'greymx')
  await promisify(execFile)('install', ['-d', '-o', 'root', '-g', 'postfix', '-m', '2750', folder])
  const port = await freePort()
  const settings = (shipped ?? '')
    .replace(/^listen: .*$/m, `listen: unix:${folder}/greymx.sock`)
    .replace(/^admin: .*$/m, `admin: 127.0.0.1:${port}`)
    .replace(/^dns_servers: .*$/m, 'dns_servers: [127.0.0.1:1]')
  const configFile = join(dir, 'milter.yaml')
  await writeFile(configFile, settings)
  const daemon = await startDaemon({
    command: process.execPath,
    args: [PROGRAM, 'serve'],
    cwd: dir,
    ready: (output) => output.includes('smtpd_milters'),
  })
  endWith(dir, () => daemon.stop())
  const greymx = (...args: string[]) => runGreymx(args, dir, { COLUMNS: '80' })

  const client = await startSession(postfix, { ADDR: '198.51.100.7' })
  const reply = await send(client, 'a@example.org', ['b@example.com'])
  const ref = refIn(reply)
  const late = await greymx('explain', ref)
  assert.deepEqual([late.status, late.stderr], [75, ''])
  assert.match(
    late.stdout,
    new RegExp(
      `^Now: {7}tempfail, early: has waited ${TIME}, passes in ${TIME}\nIn ${TIME}: +pass, retry: has waited 3m`,
      'm',
    ),
  )
  assert.match(late.stdout, /^> triplet: has waited .*, under network:198\.51\.100\.0\/24$/m)
  const forUser = await greymx('explain', ref, '--for-user')
  assert.match(
    forUser.stdout,
    /^The first message from a@example\.org to b@example\.com reached us on .*please ask for it to be sent again in \dm(?: \d+s)?, or tell us and we let it through\.\n$/,
  )

  const allowed = await greymx('allow', ref)
  assert.deepEqual([allowed.status, allowed.stderr], [0, ''])
  assert.match(await send(client, 'a@example.org', ['b@example.com']), /^250/)
  await client.quit()
  assert.equal((await deliveriesOf(postfix, 'a@example.org', 1)).length, 1)

  const stats = await greymx('stats')
  assert.match(stats.stdout, /^attempts +2\nfirst attempts deferred +1\nreturned +0\n/m)
  assert.match(stats.stdout, /^pass exempt-recipient +1\ntempfail new +1\n/m)
  const report = await greymx('report')
  assert.match(report.stdout, /^ +1 first messages were deferred\n +1 came back and passed\n/m)
  const shown = await greymx('show', ref)
  assert.match(shown.stdout, /It came back and passed at /)
})
