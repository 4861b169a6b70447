// The decisions of rspamd's greylist module in virtual time, with its defaults: 5 minutes, 1 day from the last pass, and
// the client's /19 or /64.
// Source: rspamd 4.1.5, src/plugins/lua/greylist.lua, conf/modules.d/greylist.conf, and local_addrs of conf/options.inc.
// Left out: the score. rspamd greylists only mail whose content scores 4 points or more, and an attempt has no content, so
// that all mail waits here. A second message of one sender to one recipient counts as the same body for the same reason;
// rspamd knows a retry by it from whatever network it comes. rspamd judges each message at its end, with all recipients
// together.

import type { Attempt } from '../../attempt.ts'
import { type IpAddress, isInNetwork, networkOf, parseNetwork } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'

// rspamd keeps whole seconds, and compares them with the exact time.
const TIMEOUT = 300
const EXPIRE = 86_400
const PREFIX = { ipv4: 19, ipv6: 64 } as const
const LOCAL_NETWORKS = [
  ...['192.168.0.0/16', '10.0.0.0/8', '172.16.0.0/12', '169.254.0.0/16', '127.0.0.0/8'],
  ...['fd00::/8', 'fe80::/10', '::1/128'],
].flatMap((text) => parseNetwork(text) ?? [])

/** A key in Redis: the time of the first attempt, and when Redis drops it. */
interface Entry {
  readonly first: number
  readonly expiresAt: number
}

export class Rspamd implements Judge {
  readonly name = 'rspamd'
  readonly #entries = new Map<string, Entry>()

  judgesAtData(): boolean {
    return true
  }

  async judge({ client, authenticated, sender, recipient }: Attempt, at: number): Promise<Verdict> {
    const { address } = client
    if (authenticated || !address || isLocal(address)) return 'pass'
    const envelope = `${sender.text}\n${recipient?.text ?? ''}`
    const { kind } = address
    const network = networkOf(address, PREFIX[kind]).address.text
    return this.#decide([`body ${envelope}`, `meta ${envelope}\n${network}`], at / 1000)
  }

  #decide(keys: readonly [body: string, meta: string], now: number): Verdict {
    const [body, meta] = keys.map((key) => this.#find(key, now))
    // A young body is deferred whatever is known of the envelope.
    const isEarly = isYoung(body ?? meta, now)
    if (isEarly) return 'tempfail'
    if (body || meta) {
      for (const key of keys) this.#extend(key, now)
      return 'pass'
    }
    for (const key of keys) this.#entries.set(key, { first: Math.floor(now), expiresAt: now + EXPIRE })
    return 'tempfail'
  }

  #find(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key)
    if (!entry || entry.expiresAt > now) return entry
    this.#entries.delete(key)
    return undefined
  }

  /** As EXPIRE of Redis: a key that is not there stays away. */
  #extend(key: string, now: number): void {
    const entry = this.#entries.get(key)
    if (entry) this.#entries.set(key, { ...entry, expiresAt: now + EXPIRE })
  }
}

function isYoung(entry: Entry | undefined, now: number): boolean {
  return entry !== undefined && now - entry.first < TIMEOUT
}

function isLocal(address: IpAddress): boolean {
  return LOCAL_NETWORKS.some((network) => isInNetwork(address, network))
}
