// Attempts for a model and the program that it models to decide on: a small world in which clients, senders and
// recipients come up again and again, at times around all the bounds that these programs have.

import { parseAddress } from '../../../src/address.ts'
import type { Attempt, Client } from '../../../src/attempt.ts'
import { parseIp } from '../../../src/ip.ts'
import { below, mulberry32, type Random } from '../../bench/random.ts'

export interface TimedAttempt {
  readonly attempt: Attempt
  /** Whole seconds, in milliseconds. */
  readonly at: number
}

/** A client at an entry of a peer's list, or next to one. */
export type ListedClient = readonly [address: string, name?: string]

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.UTC(2024, 0, 15, 12)
const SPAN = 150 * DAY
/** What may lie between an attempt and the next of the same story; half of these are a second off. */
const GAPS = [
  ...[0, 10 * SECOND, MINUTE, 4 * MINUTE, 5 * MINUTE, 6 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE],
  ...[HOUR, 2 * HOUR, 4 * HOUR, 23 * HOUR, DAY, DAY + 5 * MINUTE, 2 * DAY, 3 * DAY, 10 * DAY],
  ...[35 * DAY, 36 * DAY, 37 * DAY, 60 * DAY, 61 * DAY],
]
const MAX_STORY = 6
const MAX_CAMPAIGN = 8
/** Networks for so many attempts, so that as much meets again in a long run as in a short one. */
const ATTEMPTS_A_NETWORK = 50

/** `count` attempts in order of time, the same for the same seed. */
export function randomAttempts(count: number, seed: number, listed: readonly ListedClient[]): TimedAttempt[] {
  const random = mulberry32(seed)
  const networks = Math.ceil(count / ATTEMPTS_A_NETWORK)
  const client = (network: number) =>
    chance(random, 0.04) ? clientAt(...one(random, listed)) : clientOf(random, network)
  const attempts: TimedAttempt[] = []
  while (attempts.length < count) {
    const network = below(random, networks)
    const start = START + below(random, SPAN / SECOND) * SECOND
    const next = () => client(network)
    attempts.push(...(chance(random, 0.7) ? story(random, next, start) : campaign(random, next(), start)))
  }
  return attempts.sort((a, b) => a.at - b.at).slice(0, count)
}

/** Attempts of one sender, mostly from one client to one recipient, and now and then from or to another one. */
function story(random: Random, client: () => Client, start: number): TimedAttempt[] {
  const sender = randomSender(random)
  let [from, to, chosen] = [client(), one(random, RECIPIENTS), random()]
  let at = start
  const attempts: TimedAttempt[] = []
  for (let left = 1 + below(random, MAX_STORY); left > 0; left -= 1) {
    if (chance(random, 0.15)) from = client()
    if (chance(random, 0.2)) to = one(random, RECIPIENTS)
    if (chance(random, 0.4)) chosen = random()
    attempts.push({ attempt: attemptOf(random, from, sender(to, chosen), to), at })
    at += one(random, GAPS) + offBySome(random)
  }
  return attempts
}

/** Mails of one client that come back one after the other, about an hour or a few minutes apart. */
function campaign(random: Random, client: Client, start: number): TimedAttempt[] {
  const [spacing, domain] = [one(random, [HOUR, MINUTE]), below(random, DOMAINS.length)]
  const only = randomSender(random, domain)
  const senders: readonly (() => Sender)[] = [
    () => only,
    () => randomSender(random, domain),
    () => senderOf('', one(random, LOOKALIKES), domain),
  ]
  const next = one(random, senders)
  let retryAt = start
  return Array.from({ length: 2 + below(random, MAX_CAMPAIGN) }).flatMap(() => {
    const to = one(random, RECIPIENTS)
    const sender = next()(to, random())
    const firstAt = retryAt - one(random, [6 * MINUTE, HOUR, 3 * HOUR])
    const attempts = [firstAt, retryAt].map((at) => ({ attempt: attemptOf(random, client, sender, to), at }))
    retryAt += spacing + offBySome(random)
    return attempts
  })
}

/** A second more or less, or none. */
function offBySome(random: Random): number {
  return chance(random, 0.5) ? (below(random, 3) - 1) * SECOND : 0
}

function attemptOf(random: Random, client: Client, sender: string, recipient: string): Attempt {
  const inAnyCase = (text: string) => parseAddress(`<${chance(random, 0.05) ? text.toUpperCase() : text}>`)
  return { client, authenticated: false, sender: inAnyCase(sender), recipient: inAnyCase(recipient) }
}

const RECIPIENTS = [
  ...['anna@example.com', 'anna+lists@example.com', 'j.doe@example.com', 'j_doe@mail.example.org'],
  ...[
    'sales-dept@example.net',
    'a.b.c@example.net',
    'postmaster@example.com',
    'abuse+report@example.org',
    'abuse',
  ],
]

const USERS = ['anna', 'bounce', 'bo', 'list-bounces', 'j_doe', 'j.doe', 'j-doe', 'deadbeef']
const DOMAINS = ['example.org', 'news.example.net', 'example.com']

/**
 * Forms of a sender's local part. `user` stays for all messages; `local` and `host` are the recipient's; the others are
 * made up for each message.
 */
const FORMS = [
  ...[
    '{user}',
    '{user}',
    '{user}',
    '{user}',
    '{user}-{number}',
    '{user}_{number}',
    '{user}{number}',
    '{number}.{user}',
  ],
  ...[
    '{user}+{hex}',
    '{user}-{hex}',
    '{hex}-{user}',
    '{hex}-x',
    '{digit}-{user}',
    '{user}-{hex}/{number}',
    '{hex}',
  ],
  ...[
    '{user}-{local}={host}',
    '{user}-{local}.{host}',
    '{user}-{host}={local}',
    '{local}={host}-{user}',
    '{user}={local}',
  ],
  ...[
    '{user}-{dashed}~{host}',
    '{user}-{local}',
    '{local}-{user}',
    '{user}+{local}={host}',
    '{local}',
    'x{local}',
  ],
  ...['bounce-{number}-{name}', 'bo_{name}', 'notice-reply-{name}', 'notice-return.{name}', 'robo-{name}'],
  ...['prvs={tag}={user}', 'prvs={user}={tag}', 'prvs={user}={number}', 'prvs={user}', 'prvs={tag}={tag}'],
  ...['prvs={user}={tag}={tag}', 'btv1=={tag}=={user}', 'srs0={name}={tag}=host.example={user}'],
  ...[
    'srs1={name}=relay.example=={name}={tag}=host.example={user}',
    `${'long'.repeat(15)}abc{digit}{number}`,
  ],
]

/** Local parts, in the manner of `FORMS`, of which one is another when an SQL pattern is made of it. */
const LOOKALIKES = ['j_doe', 'j.doe', 'j-doe', '{hex}-x', 'no-x', 'list-{local}', 'list-rcpt', 'l_st-rcpt']

/** The address that a sender uses to a recipient; what is made up for a message follows from a number below 1. */
type Sender = (recipient: string, chosen: number) => string

function randomSender(random: Random, domain = below(random, DOMAINS.length)): Sender {
  if (chance(random, 0.05)) return () => ''
  const user = one(random, USERS)
  return chance(random, 0.02) ? () => user : senderOf(user, one(random, FORMS), domain)
}

function senderOf(user: string, form: string, domain: number): Sender {
  return (recipient, chosen) => {
    const [local = '', host = ''] = recipient.split('@')
    const made = mulberry32(chosen * 2 ** 32)
    const parts: Readonly<Record<string, () => string>> = {
      user: () => user,
      local: () => local,
      dashed: () => local.replaceAll('.', '-'),
      host: () => host,
      number: () => `${below(made, 1000)}`,
      digit: () => `${below(made, 10)}`,
      hex: () => below(made, 0x10000).toString(16),
      name: () => below(made, 36 ** 5).toString(36),
      tag: () =>
        below(made, 36 ** 5)
          .toString(36)
          .padStart(10, '0'),
    }
    return `${form.replace(/\{(\w+)\}/g, (_, name: string) => parts[name]?.() ?? '')}@${DOMAINS[domain]}`
  }
}

/** Names that hosts of a network have, with its number and the host's own. */
const HOST_NAMES: readonly ((network: number, host: number) => string | undefined)[] = [
  () => undefined,
  (network) => `mail.org${network}.example`,
  (network, host) => `smtp${host}.org${network}.example`,
  (network, host) => `mx-${host}.org${network}.example`,
  (network, host) => `h-${host}-198-18.lines${network}.example`,
  (network, host) => `host${host}.dsl.isp${network}.example`,
  (network) => `x.dialin.isp${network}.example`,
  (network) => `web.lists.org${network}.example`,
  (network) => `rack7.org${network}.example`,
  (network) => `cust-2.smtp-out.isp${network}.example`,
]

/** Most hosts of a network have an IPv4 address, and lie in either half of it. */
const IPV4_HOSTS = [1, 1, 1, 2, 130, 131]

/** A host of a network, each with a name of its own but for a few. */
function clientOf(random: Random, network: number): Client {
  const host = one(random, IPV4_HOSTS)
  const ipv6 = `2001:db8:${network.toString(16)}`
  const address = one(random, [
    ...IPV4_HOSTS.map(() => `198.${18 + (network >> 8)}.${network & 255}.${host}`),
    ...[`${ipv6}:1::${host}`, `${ipv6}:1:8000::${host}`, `${ipv6}:2::${host}`],
    ...[`${ipv6}:1:0211:22ff:fe33:${host}`, `${ipv6}:1:0211:22ff:fe33:4444`],
    ...[`fd00:db8:${network.toString(16)}:1:0211:22ff:fe33:${host}`],
  ])
  const usual = HOST_NAMES[(network + host) % HOST_NAMES.length]
  const name = chance(random, 0.9) ? usual : one(random, HOST_NAMES)
  return clientAt(address, name?.(network, host))
}

function clientAt(...[address, name]: ListedClient): Client {
  const ip = parseIp(address)
  if (!ip) throw new Error(`Cannot read ${address} as an IP address`)
  return { address: ip, name }
}

function chance(random: Random, share: number): boolean {
  return random() < share
}

function one<T>(random: Random, items: readonly T[]): T {
  const item = items[below(random, items.length)]
  if (item === undefined) throw new Error('Cannot choose one of no items')
  return item
}
