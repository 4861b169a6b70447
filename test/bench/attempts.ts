// Makes attempts for the rules to judge, each with the attempts before it and the expected reason. The clients are
// hosts of farms: each farm has a domain in `.example` and hosts in a network of its own. Every attempt has a recipient
// of its own, so that no attempt changes what is right for another.

import { parseAddress } from '../../src/address.ts'
import type { Attempt, Client } from '../../src/attempt.ts'
import { type IpAddress, parseIp } from '../../src/ip.ts'
import type { Reason } from '../../src/outcome.ts'
import { anyKind, type Kind } from './model.ts'
import { below, type Random } from './random.ts'

export interface Planned {
  readonly attempt: Attempt
  readonly expected: Reason
  readonly before: readonly Earlier[]
}

export interface Earlier {
  readonly attempt: Attempt
  /** Time before the attempt, in milliseconds. */
  readonly ago: number
}

export type Maker = (random: Random, count: number) => Planned[]

const MINUTE = 60_000

/** The earlier attempts of each kind, in milliseconds before the attempt, for the default times. */
const TRIED: Readonly<Record<Kind, readonly number[]>> = {
  new: [],
  early: [MINUTE],
  retry: [5 * MINUTE],
  known: [60 * MINUTE, 30 * MINUTE],
}

const FARMS = 500
const HOSTS = ['mail', 'smtp', 'mx1', 'out2']
const PEOPLE = ['anna.schmidt', 'info', 'newsletter', 'j_doe', 'sales', 'no-reply']

/** The networks of all farms, for SPF records. */
export const FARM_NETWORKS = ['ip4:198.18.0.0/15', 'ip6:2001:db8::/32']

/** The mix of the load, from senders on which no rule has an effect. */
export const plain: Maker = (random, count) =>
  numbers(count).map((n) => story(anyKind(random), attemptOf(n, random)))

/** The mix, from senders that make up a part of their address for each message; a retry has the same address. */
export const madeUp: Maker = (random, count) =>
  numbers(count).map((n) => {
    const sender = madeUpSender(n, random)
    return story(anyKind(random), attemptOf(n, random, { sender }))
  })

/** Mail of senders that passed before with another made-up address. */
export const madeUpAnew: Maker = (random, count) =>
  numbers(count).map((n) => {
    const [sender, other] = [madeUpSender(n, random), madeUpSender(n, random)]
    const attempt = attemptOf(n, random, { sender })
    return story('known', attempt, { ...attempt, sender: parseAddress(other) })
  })

/** Retries from another network of the farm. */
export const sisters: Maker = (random, count) =>
  numbers(count).map((n) => {
    const attempt = attemptOf(n, random)
    return story('retry', attempt, { ...attempt, client: clientOf(n, random, n + FARMS / 2) })
  })

/** The mix, from farms that have completed two first passes, more than an hour apart. */
export const regulars: Maker = (random, count) =>
  plain(random, count).map(({ attempt, before }, n) => ({
    attempt,
    before:
      n < FARMS
        ? [...firstPass(attempt, `one${n}`, 180), ...firstPass(attempt, `two${n}`, 100), ...before]
        : before,
    expected: 'auto-whitelist',
  }))

/** Attempts after `times` deferrals, each from another network and more than a delay apart. */
export function deferred(times: number): Maker {
  return (random, count) =>
    numbers(count).map((n) => {
      const attempt = attemptOf(n, random)
      const before = numbers(times).map((index) => ({
        attempt: { ...attempt, client: clientOf(n, random, n + 1 + index) },
        ago: (times - index) * 5 * MINUTE,
      }))
      return { attempt, before, expected: 'max-deferrals' }
    })
}

/** First attempts with a change, which are expected to get the reason `expected`. */
export function changed(expected: Reason, change: (n: number) => Change): Maker {
  return (random, count) =>
    numbers(count).map((n) => ({ attempt: attemptOf(n, random, change(n)), before: [], expected }))
}

export interface Change {
  readonly address?: string
  readonly name?: string
  readonly sender?: string
  readonly recipient?: string
}

function attemptOf(n: number, random: Random, change: Change = {}): Attempt {
  const client = clientOf(n, random)
  const person = PEOPLE[below(random, PEOPLE.length)]
  return {
    client: {
      ...client,
      ...(change.address ? { address: ip(change.address) } : {}),
      ...(change.name ? { name: change.name } : {}),
    },
    authenticated: false,
    sender: parseAddress(change.sender ?? `${person}@${domainOf(n)}`),
    recipient: parseAddress(change.recipient ?? `user${n}@example.com`),
  }
}

/** A host of farm `n`, in the network of that farm or of another. */
function clientOf(n: number, random: Random, networkOf = n): Client {
  const host = below(random, HOSTS.length)
  const network = networkOf % FARMS
  const name = `${HOSTS[host]}.${domainOf(n)}`
  const isIpv6 = n % 5 === 4
  const address = isIpv6
    ? `2001:db8:${network.toString(16)}:${n % FARMS}::${host + 25}`
    : `198.${18 + (network >> 8)}.${network & 255}.${host + 25}`
  return { address: ip(address), name, helo: name }
}

/** The domain of farm `n`, without digits, as most domains have none. */
function domainOf(n: number): string {
  return `farm-${String(n % FARMS).replace(/\d/g, (digit) => 'abcdefghij'.charAt(Number(digit)))}.example`
}

function story(kind: Kind, attempt: Attempt, earlier = attempt): Planned {
  return { attempt, before: tries(earlier, TRIED[kind]), expected: kind }
}

function tries(attempt: Attempt, agos: readonly number[]): Earlier[] {
  return agos.map((ago) => ({ attempt, ago }))
}

/** A first pass of the sender at another recipient, `minutes` before the attempt. */
function firstPass(attempt: Attempt, recipient: string, minutes: number): Earlier[] {
  const other = { ...attempt, recipient: parseAddress(`${recipient}@example.com`) }
  return tries(other, [minutes * MINUTE, (minutes - 10) * MINUTE])
}

/** A made-up sender: in turn VERP in the forms of SendGrid and ezmlm, BATV and SRS. */
function madeUpSender(n: number, random: Random): string {
  const domain = domainOf(n)
  const id = 100_000 + below(random, 900_000)
  const hash = below(random, 0x10000000).toString(16).padStart(7, '0')
  switch (n % 4) {
    case 0:
      return `bounces+${id}-${hash}-user${n}=example.com@${domain}`
    case 1:
      return `announce-return-${id}-user${n}=example.com@${domain}`
    case 2:
      return `prvs=05${hash}c=anna.schmidt@${domain}`
    default:
      return `SRS0=${hash.slice(0, 4)}=T${'2345'.charAt(id % 4)}=example.net=anna.schmidt@${domain}`
  }
}

function ip(text: string): IpAddress {
  const address = parseIp(text)
  if (!address) throw new Error(`Cannot read ${text}`)
  return address
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n)
}
