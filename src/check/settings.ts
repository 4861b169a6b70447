// Checks the configuration for settings that are allowed, but delay or expose mail. Faults are left to config/; these
// functions are pure.

import { formatDuration } from '../config/duration.ts'
import type { Config } from '../config/schema.ts'
import type { DnsListFault } from '../exempt/dnsfilter.ts'
import { DECISION_TIMEOUT } from '../greylist/deadline.ts'
import { bareHost, isInNetwork, parseIp, parseNetwork } from '../ip.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'
import { formatStoreSpec } from '../store/open.ts'
import type { RedisServers } from '../store/redis/settings.ts'

/** A text for the operator: what is wrong, with which value, what is expected and why. It does not name the file. */
export type Warning = string

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/**
 * Shortest time after which senders first retry: Postfix (minimal_backoff_time) and Courier (retryalpha) after 5
 * minutes, qmail after 400 s (https://perl.plover.com/yak/qmail/samples/slide016.html), Exim after 15 minutes (its
 * default rule F,2h,15m), Exchange after 15 (MessageRetryInterval,
 * https://learn.microsoft.com/previous-versions/office/exchange-server-api/ff345508(v=exchg.150)), Sendmail with its
 * next queue run, Lyris after 30 (http://lunar.lyris.com/help/lm_help/5.0/Retry_Timing.html).
 */
const FIRST_SENDER_RETRY = 5 * MINUTE

/** Time after which Sendmail (Timeout.queuewarn) and Exchange tell their users that a message is late. */
const LATE_WARNING = 4 * HOUR

/**
 * Shortest retry window: the time of two retries of the slowest known server. Retries of Oracle Communications
 * Messaging Server for non-urgent mail are 120 minutes apart (https://msg.wikidoc.info, "Backoff …"). OpenBSD's spamd
 * waits as long (greyexp, spamd(8)).
 */
const MIN_RETRY_WINDOW = 4 * HOUR

/**
 * Shortest time in milliseconds that an MTA must wait for an answer: the longest decision, and a second for a busy
 * machine.
 */
export const MIN_ANSWER_TIMEOUT = DECISION_TIMEOUT + 1000

/** Returns the warnings on `config`, without looking at any file or server. */
export function checkSettings(config: Config): Warning[] {
  return [...checkTimes(config), ...checkSockets(config), ...checkStore(config), ...checkDnsLists(config)]
}

function checkTimes({ greylist, storeTimeout }: Config): Warning[] {
  const { delay, retryWindow, lifetime } = greylist.times
  const warnings: Warning[] = []
  if (delay > LATE_WARNING) {
    warnings.push(
      `greylist.delay ${formatDuration(delay)} is above 4h: expected less, as senders' servers tell them by then that ` +
        'their mail is late, and some give up',
    )
  } else if (delay >= FIRST_SENDER_RETRY) {
    warnings.push(
      `greylist.delay ${formatDuration(delay)} is not below 5m: expected less, such as 3m, as Postfix and Courier first ` +
        'retry after 5 minutes, and the next retry comes much later',
    )
  }
  if (retryWindow < MIN_RETRY_WINDOW) {
    warnings.push(
      `greylist.retry_window ${formatDuration(retryWindow)} is below 4h: expected more, as some servers retry every two ` +
        'hours only, and a farm of them may need several tries; a retry that comes too late has to wait anew',
    )
  }
  if (lifetime < retryWindow) {
    warnings.push(
      `greylist.lifetime ${formatDuration(lifetime)} is below greylist.retry_window ${formatDuration(retryWindow)}: expected ` +
        'more, as a pass would be forgotten before a first attempt is',
    )
  }
  if (storeTimeout >= DECISION_TIMEOUT) {
    warnings.push(
      `store_timeout ${formatDuration(storeTimeout)} is not below ${formatDuration(DECISION_TIMEOUT)}: expected less, such as ` +
        '250ms, as a decision takes no longer, and until a store that hangs counts as down, each decision takes that long',
    )
  }
  return warnings
}

function checkSockets({ listen, listenPolicy, listenExim, socketMode }: Config): Warning[] {
  return [
    ...checkPorts('listen', listen),
    ...checkPorts('listen_policy', listenPolicy),
    ...checkPorts('listen_exim', listenExim),
    ...checkSocketMode([...listen, ...listenPolicy, ...listenExim], socketMode),
  ]
}

function checkPorts(setting: string, sockets: readonly SocketSpec[]): Warning[] {
  return sockets
    .filter((spec) => spec.kind !== 'unix' && !isLoopback(spec.host))
    .map(
      (spec) =>
        `${setting} ${formatSocketSpec(spec)} can be reached from other machines: expected a unix socket, or a loopback address, ` +
        'as anybody who reaches it can act as an MTA there, and so have any mail passed',
    )
}

function checkSocketMode(listen: readonly SocketSpec[], socketMode: number): Warning[] {
  if ((socketMode & 0o002) === 0) return []
  const mode = `"0${socketMode.toString(8).padStart(3, '0')}"`
  return listen
    .filter((spec): spec is Extract<SocketSpec, { kind: 'unix' }> => spec.kind === 'unix')
    .map(
      ({ path }) =>
        `socket_mode ${mode} lets every user of this machine write to ${path}: expected "0660", and the MTA's user in the ` +
        "socket's group, as anybody who can write to it can have any mail passed",
    )
}

function checkStore({ store }: Config): Warning[] {
  if (store.kind !== 'redis') return []
  const isRemote = hostsOf(store.redis.servers).some((host) => !isLoopback(host))
  if (store.redis.tls || !isRemote) return []
  return [
    `store ${formatStoreSpec(store)} is on another machine and has no TLS: expected rediss in place of redis, as mail ` +
      'addresses and the password cross the network in clear',
  ]
}

function checkDnsLists({ dnswl, onlyIfListed }: Config): Warning[] {
  return [
    ...dnswl.flatMap(({ zone, fault }) => (fault ? [dnsListWarning('dnswl', zone, fault)] : [])),
    ...onlyIfListed.flatMap(({ zone, fault }) =>
      fault ? [dnsListWarning('only_if_listed', zone, fault)] : [],
    ),
  ]
}

function dnsListWarning(setting: 'dnswl' | 'only_if_listed', zone: string, fault: DnsListFault): Warning {
  switch (fault) {
    case 'domains':
      return `${setting} ${zone} is a list of domains: expected a list of addresses, as greymx asks for the client's address`
    case 'no default':
      return (
        `${setting} ${zone} has no effect, as it answers for good and bad clients: expected it with the answers that are ` +
        `to count, like "${zone}=127.0.4.[90..100]"`
      )
    case 'other use':
      return setting === 'dnswl'
        ? `dnswl ${zone} is a list of bad clients: expected it in only_if_listed, as its clients must not be exempt`
        : `only_if_listed ${zone} is a list of trustworthy clients: expected it in dnswl, as only clients on a list in ` +
            'only_if_listed are greylisted'
  }
}

function hostsOf(servers: RedisServers): string[] {
  switch (servers.kind) {
    case 'unix':
      return []
    case 'tcp':
      return [servers.address.host]
    case 'sentinel':
      return servers.sentinels.map(({ host }) => host)
    case 'cluster':
      return servers.nodes.map(({ host }) => host)
  }
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'].flatMap((text) => parseNetwork(text) ?? [])

/** Tells whether `host` is a loopback address, in any spelling, or a name that always stands for one. */
export function isLoopback(host: string): boolean {
  const address = parseIp(bareHost(host))
  if (address) return LOOPBACK.some((network) => isInNetwork(address, network))
  return /^(localhost|localhost\.localdomain|ip6-localhost|ip6-loopback)\.?$/i.test(host)
}
