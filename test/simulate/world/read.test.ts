// Worlds as files: the shipped one, worlds above it, and what is said of mistakes.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { command } from '../../../src/cli/commands/simulate.ts'
import type { WorldData } from '../../../src/simulate/world/data.ts'
import { parseWorld, type WorldFile } from '../../../src/simulate/world/read.ts'
import { SHIPPED_WORLDS } from '../../../src/simulate/world/shipped.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const SHIPPED: WorldFile = {
  fileName: 'default.yaml',
  text: readFileSync('src/simulate/world/default.yaml', 'utf8'),
}

function read(text: string): WorldData {
  const loaded = parseWorld({ fileName: 'world.yaml', text }, SHIPPED)
  assert.ok(loaded.kind === 'world', loaded.kind === 'faults' ? loaded.faults.join('\n') : '')
  return loaded.data
}

function faultsOf(text: string): readonly string[] {
  const loaded = parseWorld({ fileName: 'world.yaml', text }, SHIPPED)
  return loaded.kind === 'faults' ? loaded.faults : []
}

/** A world of one organisation and one bot. */
const SMALL = `
calendars:
  office: {sure: guess}
schedules:
  postfix: {kind: postfix, min: 300s, max: 4000s, run: 300s, until: 5d, sure: documented}
  once: {kind: list, at: [0s], until: 0s, sure: documented}
carriers:
  farm: {networks: 2, hosts: 3, schedule: postfix, spf: "spf.{domain}", domain: farm.example, sure: guess}
senders:
  tenants: {organisations: 1, mail: people, weekly: 2, via: farm, spf: 0.5, calendar: office, sure: guess}
bots:
  never: {share: 1, stoppable: true, domain: made-up, servers: {networks: 9, schedule: once}, sure: guess}
`

/** What writes to a site and has to be in a judgement, with the classes of the shipped world that stand for it. */
const WANTED: Readonly<Record<string, readonly string[]>> = {
  'tenants of Microsoft 365 and Google': ['tenants-microsoft', 'tenants-google'],
  'consumer mail': ['people-google', 'people-microsoft', 'people-yahoo', 'people-mailboxes'],
  'shared hosting': ['hosted'],
  'own mail servers': [
    ...['own-postfix', 'own-exim', 'own-exchange', 'own-sendmail', 'own-qmail', 'own-courier'],
    ...['own-stalwart', 'own-pairs', 'four-then-three'],
  ],
  'small servers without SPF or without a name': ['small-without-spf', 'small-without-name'],
  'rented servers': ['rented-machines'],
  'farms without SPF or names': ['farms'],
  'retries after 4 to 12 hours': ['slow'],
  newsletters: [
    ...['newsletters-ses', 'newsletters-sendgrid', 'newsletters-mailchimp', 'newsletters-sparkpost'],
    ...['newsletters-salesforce', 'newsletters-hubspot', 'newsletters-emarsys', 'newsletters-mailjet'],
    ...['newsletters-own', 'newsletters-without-queue'],
  ],
  'lists, by VERP and Mailman': ['lists-verp', 'lists-mailman'],
  'forwarders, by SRS and plain': ['forwarders-srs', 'forwarders-plain'],
  bounces: ['bounces', 'bounces-microsoft'],
  callouts: ['callouts'],
  'applications, without a queue and with a carrier': [
    ...['programs-without-queue', 'notices-ses', 'notices-sendgrid'],
  ],
  'one-time codes': [
    ...['codes-ses', 'codes-sendgrid', 'codes-mailgun', 'codes-sparkpost', 'codes-mailchimp'],
    ...['codes-salesforce', 'codes-hubspot', 'codes-emarsys', 'codes-mailjet', 'codes-microsoft'],
    ...['codes-google', 'codes-hosted', 'codes-rented', 'codes-own'],
  ],
  'codes that are given up after 5 minutes': ['codes-given-up'],
}
const BOTS: Readonly<Record<string, readonly string[]>> = {
  'never retry': ['never', 'line-neighbours', 'forged'],
  'retry at once, after 5 and after 20 minutes': ['at-once', 'after-5m', 'after-20m'],
  'with another sender, and again next day': ['other-sender', 'next-day'],
  'new sender each day': ['new-sender-daily'],
  'eleven in ten seconds': ['eleven'],
  'on rented servers': ['rented-bots'],
  'snowshoe, with an MTA, daily without, and with fresh domains': [
    ...['snowshoe-mta', 'snowshoe-daily', 'snowshoe-fresh'],
  ],
  'hacked servers and accounts': ['hacked-servers', 'hacked-accounts'],
}

function namesIn(classes: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.values(classes).flat().sort()
}

test('the shipped world has no faults, and every class of senders and bots that a judgement needs', () => {
  const { senders, bots } = read(SHIPPED.text)
  assert.deepEqual([...senders.keys()].sort(), namesIn(WANTED))
  assert.deepEqual([...bots.keys()].sort(), namesIn(BOTS))
  for (const [name, { organisations }] of senders) assert.ok(organisations > 0, name)
  for (const [name, { share }] of bots) assert.ok(share > 0, name)
  const unstoppable = [...bots].filter(([, { isStoppable }]) => !isStoppable).map(([name]) => name)
  assert.deepEqual(unstoppable, ['snowshoe-mta', 'hacked-servers', 'hacked-accounts'])
})

test('one-time codes come through each carrier that programs send by', () => {
  const { carriers, senders } = read(SHIPPED.text)
  const people = ['yahoo', 'mailboxes', 'lines']
  const codes = [...senders.values()].flatMap(({ mail, sending }) =>
    mail === 'codes' && sending.kind !== 'own' ? [sending.carrier] : [],
  )
  const expected = [...carriers.keys()].filter((name) => !people.includes(name))
  assert.deepEqual([...new Set(codes)].sort(), expected.sort())
})

test('the three kinds of Exchange, queue runs of Sendmail after 15, 30 and 60 minutes, and slow retries are there', () => {
  const { senders } = read(SHIPPED.text)
  const schedulesOf = (name: string) => {
    const sending = senders.get(name)?.sending
    return sending?.kind === 'own' ? sending.servers.schedules : []
  }
  assert.equal(new Set(schedulesOf('own-exchange')).size, 3)
  assert.deepEqual(
    schedulesOf('own-sendmail').map((schedule) => schedule.kind === 'run' && schedule.every / MINUTE),
    [15, 30, 60],
  )
  const firstRetries = schedulesOf('slow').map(
    (schedule) => schedule.kind === 'list' && schedule.every / HOUR,
  )
  assert.deepEqual(
    firstRetries.map((hours) => hours !== false && hours >= 4 && hours <= 12),
    [true, true, true, true],
  )
})

test('each shipped world has no faults and is named in the help and in the README of simulations', () => {
  const files = readdirSync('src/simulate/world').filter((file) => file.endsWith('.yaml'))
  assert.deepEqual(files.sort(), SHIPPED_WORLDS.map((name) => `${name}.yaml`).sort())
  const readme = readFileSync('src/simulate/README.md', 'utf8')
  for (const name of SHIPPED_WORLDS) {
    assert.ok(readme.includes(`\`${name}\``), name)
    assert.ok(name === 'default' || command.options.world?.meaning.includes(name), name)
  }
  const shipped = read(SHIPPED.text)
  const [knowing, lessSpf, moreSpam] = ['knowing-bots', 'less-spf', 'more-spam'].map((name) =>
    read(readFileSync(`src/simulate/world/${name}.yaml`, 'utf8')),
  )
  assert.deepEqual(
    [...(knowing?.bots.keys() ?? [])],
    [
      ...shipped.bots.keys(),
      ...['credit-seekers', 'carrier-poisoners', 'rented-poisoners', 'crowd-poisoners', 'pool-retriers'],
      'probers',
    ],
  )
  assert.equal(lessSpf?.spf, 0.6 * shipped.spf)
  assert.equal(moreSpam?.spam, 4 * shipped.spam)
})

test('JSON is read as YAML is', () => {
  const text = `{"schedules": {"once": {"kind": "list", "at": ["0s"], "until": "0s", "sure": "guess"}},
    "bots": {"b": {"share": 2, "stoppable": false, "domain": "made-up", "sure": "guess",
                   "servers": {"schedule": "once"}}}}`
  assert.equal(read(text).bots.get('b')?.share, 2)
})

test('a world above the shipped one has what it says, and all else of the shipped one', () => {
  const shipped = read(SHIPPED.text)
  const world = read(`base: default
spam: 40
senders:
  codes-ses: {weekly: 30}
  mine: {organisations: 3, mail: codes, deadline: 5m, weekly: 1, via: ses, calendar: flat, sure: guess}
bots: {never: {share: 0}}`)
  assert.equal(world.spam, 40)
  assert.equal(world.recipients, shipped.recipients)
  assert.deepEqual([...world.senders.keys()], [...shipped.senders.keys(), 'mine'])
  const codes = shipped.senders.get('codes-ses')
  assert.equal(world.senders.get('codes-ses')?.weekly, 30)
  assert.equal(world.senders.get('codes-ses')?.organisations, codes?.organisations)
  assert.equal(world.senders.get('codes-ses')?.deadline, codes?.deadline)
  assert.deepEqual(world.senders.get('mine')?.sending, { kind: 'carrier', carrier: 'ses' })
  assert.equal(world.bots.get('never')?.share, 0)
  assert.equal(world.bots.size, shipped.bots.size)
})

test('a class above the shipped one can get servers of its own in the place of a carrier', () => {
  const world = read(`base: default
senders: {tenants-google: {servers: {networks: 3, schedule: postfix}}}`)
  const sending = world.senders.get('tenants-google')?.sending
  assert.equal(sending?.kind, 'own')
})

test('a mistake is told with its line, its value and what is expected', () => {
  assert.deepEqual(faultsOf(SMALL), [])
  const cases: Array<[from: string, to: string, fault: RegExp]> = [
    [
      'weekly: 2',
      'weekly: many',
      /^world.yaml:9:53: Cannot read senders.tenants.weekly "many": expected a number/,
    ],
    ['weekly: 2, ', '', /senders.tenants.weekly is missing: expected one like 1$/],
    ['via: farm', 'via: barn', /Cannot read senders.tenants.via "barn": expected a carrier: farm$/],
    ['via: farm, ', '', /Cannot use senders.tenants: expected who sends: via, machine_at or servers/],
    ['calendar: office', 'calendar: night', /expected one of office$/],
    [
      'schedule: postfix',
      'schedule: [sendfix]',
      /carriers.farm.schedule "sendfix": expected one of postfix, once$/,
    ],
    ['spf: 0.5', 'spf: 5', /senders.tenants.spf "5": expected a number from 0 to 1$/],
    ['max: 4000s', 'max: 4000', /schedules.postfix.max "4000": expected a number and ms, s, m, h, d or w$/],
    ['at: [0s]', 'at: [1s]', /Cannot use schedules.once.at: expected ascending times that begin with 0s$/],
    ['at: [0s]', 'at: [0s, 5m, 5m]', /expected ascending times/],
    ['stoppable: true', 'stoppable: maybe', /expected true or false$/],
    ['domain: made-up', 'domain: victim', /expected victim where organisations are hacked, and only there$/],
    [
      'servers: {networks: 9',
      'servers: {nets: 9',
      /unknown setting bots.never.servers.nets: expected networks, blocks/,
    ],
    ['spf.{domain}', 'spf.{name}', /expected a text with placeholders: .*; found \{name\}$/],
    ['office: {sure: guess}', 'office: {}', /calendars.office.sure is missing: expected one like guess$/],
    [
      'sure: documented}\n  once',
      'sure: certain}\n  once',
      /expected measured, documented, secondary or guess$/,
    ],
    ['kind: postfix', 'kind: fixpost', /expected postfix or exim or run or qmail or list$/],
    [
      'office: {sure: guess}',
      'office: {sure: guess, hours: [1, 2]}',
      /calendars.office.hours: expected 24 weights/,
    ],
    ['mail: people', 'mail: codes', /senders.tenants.deadline: expected one where mail is codes$/],
    [
      'domain: made-up, servers: {networks: 9, schedule: once}',
      'domain: victim, hacked: [tenants, strangers]',
      /Cannot read bots.never.hacked "strangers": expected tenants$/,
    ],
    [', schedule: postfix', '', /Cannot use carriers.farm.schedule: expected one at least$/],
    [', schedule: once', '', /Cannot use bots.never.schedule: expected one, here or for its servers$/],
    ['schedules:', 'schedules: [', /^world.yaml:\d+:\d+: /],
  ]
  for (const [from, to, fault] of cases) {
    assert.ok(SMALL.includes(from), from)
    const faults = faultsOf(SMALL.replace(from, to).trimStart())
    assert.match(faults[0] ?? '', fault, `${to}: ${faults.join(' | ')}`)
    assert.match(faults[0] ?? '', /^world\.yaml:\d+:\d+: /)
  }
})

test('Exim’s rules are read as Exim writes them', () => {
  const world = (rules: string) =>
    `${SMALL.replace(/postfix: \{kind: [^}]*\}/, `postfix: {kind: exim, rules: ${rules}, run: 30m, until: 4d, sure: documented}`)}`
  const carrier = read(world('["F,2h,15m", "G,16h,1h,1.5"]')).carriers.get('farm')
  assert.deepEqual(carrier?.servers.schedules, [
    {
      kind: 'exim',
      rules: [
        { kind: 'F', until: 7_200_000, interval: 900_000, factor: 1 },
        { kind: 'G', until: 57_600_000, interval: 3_600_000, factor: 1.5 },
      ],
      run: 1_800_000,
      until: 345_600_000,
    },
  ])
  for (const rules of ['["F,2h"]', '["G,16h,1h"]', '["F,2h,15m,2"]', '[]'])
    assert.match(faultsOf(world(rules))[0] ?? '', /F,2h,15m/, rules)
})
