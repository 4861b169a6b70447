// Replays of what real programs logged: a session of several hundred messages goes through greymx with a real Postfix
// and a real Sendmail, and their logs, greymx's own and the MTAs', tell the same mail and give the same verdicts again.
//
// Stamps of whole seconds tell a time by a second too early at most. The session keeps so far away from the delay that
// no verdict depends on it: retries come at once, or more than a second after the delay.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { parseIp } from '../../src/ip.ts'
import { LoggedIdentities } from '../../src/simulate/replay/identify.ts'
import type { LoggedAttempt } from '../../src/simulate/replay/logged.ts'
import { type ReplayFigures, replay } from '../../src/simulate/replay/replay.ts'
import { greylisterJudge } from '../simulate/replay/judge.ts'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { type JournalLogger, startJournald } from '../support/journald.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { sendmailUser, startSendmail } from '../support/sendmail.ts'
import { connect, type SmtpClient } from '../support/smtp.ts'

const DELAY = 3000
/** The delay, and more than a second beyond it. */
const RETRY_AFTER = DELAY + 1500

const RULES = `
greylist: { delay: ${DELAY}ms, max_deferrals: 0, auto_whitelist: { after: 1, spacing: 1h } }
exempt: { clients: [127.66.0.0/16, 198.51.100.66], senders: [exempt-sender.test] }
reply: |
  451 4.7.1 Greylisted <{recipient}>
  Retry in {seconds}s, reference {ref}
`
const ZONES = { test: 'farm TXT "v=spf1 ip4:192.0.2.0/24 ip4:203.0.113.0/24 -all"' }

const MESSAGE = 'Subject: test\r\n\r\nhello\r\n'

/** Opens a session after EHLO. */
type Open = () => Promise<SmtpClient>

interface Client {
  readonly name: string
  readonly open: Open
}

/** Sends a message to all recipients that pass. */
async function send(client: SmtpClient, sender: string, recipients: readonly string[]): Promise<void> {
  await client.command(`MAIL FROM:<${sender}>`)
  const replies: string[] = []
  for (const recipient of recipients) replies.push(await client.command(`RCPT TO:<${recipient}>`))
  if (replies.some((reply) => reply.startsWith('250'))) await client.data(MESSAGE)
  await client.command('RSET')
}

/** What each client does in its first and in its second session. */
const SENDERS = 6
async function firstSession({ name, open }: Client): Promise<void> {
  const client = await open()
  for (let count = 0; count < SENDERS; count += 1) {
    const sender = `news+${count}@s${count}.${name}.test`
    await send(client, sender, [`u${count}@example.com`])
    await send(client, sender, [`u${count}@example.com`, `v${count}@example.net`])
    await send(client, sender, [`u${count}@elsewhere.test`])
  }
  await send(client, `"quo ted"@${name}.test`, ['"a> to=<b"@example.com', 'postmaster@example.com'])
  await send(client, 'a@exempt-sender.test', ['u@example.com', 'w@example.net'])
  await send(client, '', [`bounce-${name}@example.com`])
  await client.quit()
}

async function secondSession({ name, open }: Client): Promise<void> {
  const client = await open()
  for (let count = 0; count < SENDERS; count += 1) {
    const sender = `news+${count + 1}@s${count}.${name}.test`
    // The MTAs do not log the order of recipients: no verdict of a message may depend on another one of it.
    await send(client, sender, [`u${count}@example.com`])
    await send(client, sender, [`u${count}@example.com`, `new${count}@example.com`, `v${count}@example.net`])
  }
  await send(client, '', [`bounce-${name}@example.com`])
  await send(client, `"quo ted"@${name}.test`, ['"a> to=<b"@example.com'])
  await client.quit()
}

async function playAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map(firstSession))
  await sleep(RETRY_AFTER)
  await Promise.all(clients.map(secondSession))
}

function postfixClients(mta: Mta): Client[] {
  const addresses: Array<[address: string, name?: string]> = [
    ...Array.from({ length: 8 }, (_, index): [string, string] => [
      `198.18.${index}.7`,
      `mail.p${index}.test`,
    ]),
    ['198.18.20.7'],
    ['IPV6:2001:db8::7'],
    ['IPV6:64:ff9b::c633:6407', 'mail.nat64.test'],
    ['198.51.100.66'],
  ]
  const clients = addresses.map(([ADDR, NAME], index) => ({
    name: `p${index}`,
    open: () => startSession(mta, { ADDR, ...(NAME === undefined ? {} : { NAME }) }),
  }))
  return [...clients, { name: 'login', open: () => startSession(mta, { ADDR: '198.18.30.7', LOGIN: 'joe' }) }]
}

/** A sender whose SPF record has two networks comes back from the other one. */
async function retryFromSister(mta: Mta): Promise<void> {
  for (const [ADDR, wait] of [
    ['192.0.2.7', RETRY_AFTER],
    ['203.0.113.7', 0],
  ] as const) {
    const client = await startSession(mta, { ADDR })
    await send(client, 'a@farm.test', ['farm@example.com'])
    await client.quit()
    await sleep(wait)
  }
}

const HOSTS = Object.fromEntries(
  Array.from({ length: 6 }, (_, index) => [`127.${index + 1}.0.7`, `mail.s${index}.test`]),
)

function sendmailClients(mta: Mta): Client[] {
  const open = async (localAddress: string) => {
    const client = await connect({ ...mta, localAddress })
    await client.ehlo('client.test')
    return client
  }
  const login = async () => {
    const client = await open('127.30.0.7')
    assert.match(await client.authCramMd5(sendmailUser.user, sendmailUser.password), /^235 /)
    return client
  }
  const addresses = [...Object.keys(HOSTS), '127.20.0.7', '127.66.0.7']
  const clients = addresses.map((address, index) => ({ name: `s${index}`, open: () => open(address) }))
  return [...clients, { name: 'login', open: login }]
}

interface Replayed {
  readonly figures: ReplayFigures
  readonly attempts: readonly LoggedAttempt[]
}

/** Replays logs for a greylister with the rules of the session. */
async function replayed(...files: readonly string[]): Promise<Replayed> {
  const identities = new LoggedIdentities()
  const attempts: LoggedAttempt[] = []
  const figures = await replay(files, [greylisterJudge('as it was', RULES, identities)], {
    nat64Prefixes: [NAT64],
    onAttempt: (logged) => {
      identities.note(logged)
      attempts.push(logged)
    },
  })
  return { figures, attempts }
}

const NAT64 = { address: parseIp('64:ff9b::') ?? assert.fail(), prefix: 96 }

/** Who wanted what and what came of it, whatever the order. */
function mail({ attempts }: Replayed): string[] {
  return attempts
    .map(({ attempt: { client, authenticated, sender, recipient }, logged }) =>
      [client.address?.text, client.name, authenticated, sender.text, recipient?.text, logged?.verdict].join(
        ' ',
      ),
    )
    .sort()
}

function agreementOf({ figures }: Replayed) {
  return figures.judges[0]?.agreement ?? assert.fail('no verdicts were logged')
}

function countOf({ figures }: Replayed, kind: string): number {
  return figures.notes.find((note) => note.kind === kind)?.count ?? 0
}

/** Hands the daemon's lines to the journal as they come, as systemd does it for a service. */
function follow(greymx: Greymx, logger: JournalLogger): () => Promise<void> {
  let handed = 0
  const handOn = () => {
    const lines = greymx.log()
    for (const line of lines.slice(handed)) logger.write(line)
    handed = lines.length
  }
  const timer = setInterval(handOn, 20)
  return async () => {
    clearInterval(timer)
    handOn()
    await logger.end()
  }
}

/** The outcomes, when none has been added for a while. */
async function allOutcomes(greymx: Greymx): Promise<readonly string[]> {
  for (let count = -1; ; ) {
    const outcomes = greymx.log().filter((line) => line.includes('verdict'))
    if (outcomes.length === count) return outcomes
    count = outcomes.length
    await sleep(500)
  }
}

async function fileOf(name: string, content: string | Buffer): Promise<string> {
  const path = join(dir, name)
  await writeFile(path, content)
  return path
}

/** The lines in `count` files of about the same length. */
function parted(log: string, count: number): string[] {
  const lines = log.split('\n')
  const length = Math.ceil(lines.length / count)
  return Array.from({ length: count }, (_, index) =>
    lines.slice(index * length, (index + 1) * length).join('\n'),
  )
}

const dir = await scratch({ after })
const dns = await startDns({ dir, zones: ZONES })
const journald = await startJournald(dir)
const settings = `store: "memory:"\ndns_servers: [${dns.server}]\n${RULES}`
const [atPostfix, atSendmail] = await Promise.all([
  startGreymx({ dir, name: 'at-postfix', settings }),
  startGreymx({ dir, name: 'at-sendmail', settings: `${settings}log: { format: json }` }),
])
const endFollowing = follow(atPostfix, journald.logger('greymx'))
const [postfix, sendmail] = await Promise.all([
  startPostfix({ dir, milter: `inet:127.0.0.1:${atPostfix.port}` }),
  startSendmail({ dir, milter: `S=unix:${atSendmail.socketPath}, T=C:5s;S:5s;R:5s;E:10s`, hosts: HOSTS }),
])
await Promise.all([
  playAll(postfixClients(postfix)),
  playAll(sendmailClients(sendmail)),
  retryFromSister(postfix),
])
const [postfixOutcomes, sendmailOutcomes] = await Promise.all([
  allOutcomes(atPostfix),
  allOutcomes(atSendmail),
])
await endFollowing()
// Deliveries are logged after the messages have been accepted.
await waitFor('the deliveries of Postfix', async () =>
  isDone(await postfix.log(), /: message-id=/g, /: removed$/gm),
)
await waitFor('the deliveries of Sendmail', async () =>
  isDone(await sendmail.log(), /: Milter accept: message$/gm, /: done; delay=/g),
)

/** Whether a log has told the end of everything that it began. */
function isDone(log: string, begun: RegExp, ended: RegExp): boolean {
  return log.match(begun)?.length === log.match(ended)?.length
}

const postfixLog = await fileOf('postfix.log', await postfix.log())
const sendmailLog = await fileOf('sendmail.log', await sendmail.log())
const jsonLog = await fileOf('greymx.log', sendmailOutcomes.map((line) => `${line}\n`).join(''))
const journal = await fileOf(
  'journal.json',
  await journald.journalctl('--identifier=greymx', '--output=json'),
)

test('greymx gives the verdicts that it logged, in each form that the journal has', async () => {
  const formats = [
    'short',
    'short-precise',
    'short-iso',
    'short-iso-precise',
    'short-full',
    'short-unix',
    'json',
    'export',
  ]
  for (const format of formats) {
    const log = await journald.journalctl('--identifier=greymx', `--output=${format}`)
    const read = await replayed(await fileOf(`journal-${format}`, log))
    const { compared, differences } = agreementOf(read)
    assert.deepEqual([format, compared, differences], [format, postfixOutcomes.length, []])
    assert.equal(countOf(read, 'malformed') + countOf(read, 'no-time'), 0, format)
  }
})

test('greymx gives the verdicts that it logged as JSON', async () => {
  const { compared, agreed } = agreementOf(await replayed(jsonLog))
  assert.deepEqual([compared, agreed], [sendmailOutcomes.length, sendmailOutcomes.length])
  assert.ok(compared > 200)
})

test("Postfix's log tells the mail that greymx's does, and the verdicts are those, but for SPF", async () => {
  const read = await replayed(postfixLog)
  assert.deepEqual(mail(read), mail(await replayed(journal)))
  const { compared, spared, caused, differences } = agreementOf(read)
  assert.deepEqual([compared, spared, caused], [postfixOutcomes.length, 0, 1])
  // The retry of a sister host: only SPF, which Postfix does not log, tells that it is one.
  const [, line = 0] = /:(\d+)$/.exec(differences[0]?.first ?? '') ?? []
  assert.match(
    (await postfix.log()).split('\n')[Number(line) - 1] ?? '',
    / client=unknown\[203\.0\.113\.7\]$/,
  )
  for (const kind of ['malformed', 'forged', 'no-recipients', 'dropped', 'late', 'no-time']) {
    assert.equal(countOf(read, kind), 0, kind)
  }
  assert.equal(countOf(read, 'whole-seconds'), postfixOutcomes.length)
})

test("Sendmail's log tells the mail that greymx's does, and the verdicts are those", async () => {
  const read = await replayed(sendmailLog)
  assert.deepEqual(mail(read), mail(await replayed(jsonLog)))
  const { compared, agreed } = agreementOf(read)
  assert.deepEqual([compared, agreed], [sendmailOutcomes.length, sendmailOutcomes.length])
  for (const kind of ['malformed', 'no-sender', 'no-recipients', 'late', 'no-time']) {
    assert.equal(countOf(read, kind), 0, kind)
  }
})

test('all logs together are those of greymx, and those of both MTAs are the mail of both', async () => {
  const greymx = [journal, jsonLog]
  const all = await replayed(sendmailLog, ...greymx, postfixLog)
  assert.deepEqual(all.figures.attemptsBySource, {
    greymx: postfixOutcomes.length + sendmailOutcomes.length,
    postfix: 0,
    sendmail: 0,
  })
  assert.deepEqual(mail(all), mail(await replayed(...greymx)))
  assert.deepEqual(mail(await replayed(postfixLog, sendmailLog)), mail(all))
})

test('rotated logs, compressed and in any order, are the whole log', async () => {
  for (const [name, log] of [
    ['postfix', postfixLog],
    ['sendmail', sendmailLog],
  ] as const) {
    const [newest = '', older = '', oldest = ''] = parted(await readFile(log, 'utf8'), 3).reverse()
    const files = await Promise.all([
      fileOf(`${name}.2.gz`, gzipSync(oldest)),
      fileOf(name, newest),
      fileOf(`${name}.1`, older),
    ])
    const [whole, rotated] = [await replayed(log), await replayed(...files)]
    assert.deepEqual(mail(rotated), mail(whole))
    assert.equal(agreementOf(rotated).agreed, agreementOf(whole).agreed)
  }
})
