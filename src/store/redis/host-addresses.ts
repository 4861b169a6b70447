// Resolves the hosts of Redis servers and Sentinels for new connections, with DNS and a cache as fallbacks. The system
// (getaddrinfo) knows /etc/hosts, search domains and all other configuration. But when a name server does not answer,
// it takes ten seconds and more, and two such calls of a process block all others. So there is one call for each host
// at a time, which all callers share. When that is late, DNS is asked directly too; when both are late, the addresses
// last found are used.

import { ADDRCONFIG, type LookupAddress } from 'node:dns'
import { lookup as getaddrinfo, Resolver } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

/** The addresses of `host`. Rejects when there are none, with the code ENOTFOUND when the host does not exist. */
export type FindAddresses = (host: string) => Promise<LookupAddress[]>

/** Time after which DNS is asked beside the system, in milliseconds. */
const DNS_FALLBACK_DELAY = 200

/** Time-out of a lookup, in milliseconds; shorter than that of the connection that needs it (`REPLY_TIMEOUT`). */
const LOOKUP_TIMEOUT = 600

/** Each DNS server is asked once, one after the other, with this time-out; c-ares waits for at least 250 ms. */
const DNS_QUERY_OPTIONS = { timeout: 300, tries: 1 }

/**
 * A function for the option `lookup` of net.connect and tls.connect, which call it for names and never for addresses.
 * It returns addresses of both families, whichever is asked for.
 *
 * It returns what comes first: the system's addresses, or those of DNS for the name as it stands, without search
 * domains. When DNS has none, the system's answer is awaited, as it may know more.
 *
 * It returns the addresses last found, however old, when there is no answer in time, or when the system fails for any
 * other reason than that the host does not exist, so that a working Redis is not lost for a name server. When Redis has
 * moved, the connection fails, as it would have failed anyway. Another server at that address is not used unless it is
 * a Redis that greymx can log in to; only TLS can tell that it is the right one.
 *
 * It fails, with a message that names the host, when no addresses were found before.
 */
export function createHostLookup(
  askSystem: FindAddresses = findBySystem,
  askDns: FindAddresses = findByDns,
): LookupFunction {
  const hosts = new Hosts(askSystem, askDns)
  return (host, { all }, callback) => {
    hosts.find(host).then(
      (found) => {
        const [{ address, family }] = found as [LookupAddress] // without an address, `find` rejects
        if (all) callback(null, found)
        else callback(null, address, family)
      },
      (error: Error) => callback(error, []),
    )
  }
}

/** A lookup that waits for the system. */
interface SystemLookup {
  readonly answer: Promise<LookupAddress[]>
  /** Resolves when the answer is late; never when it comes before. */
  readonly late: Promise<void>
}

/** The lookups that are under way, and the cache of the addresses last found. */
class Hosts {
  readonly #askSystem: FindAddresses
  readonly #askDns: FindAddresses
  readonly #underway = new Map<string, SystemLookup>()
  readonly #lastFound = new Map<string, LookupAddress[]>()

  constructor(askSystem: FindAddresses, askDns: FindAddresses) {
    this.#askSystem = askSystem
    this.#askDns = askDns
  }

  async find(host: string): Promise<LookupAddress[]> {
    const { answer, late } = this.#underway.get(host) ?? this.#ask(host)
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise((resolve, reject) => {
        answer.then(resolve, reject)
        late.then(() => this.#keep(host, this.#askDns(host))).then(resolve, () => undefined)
        timer = setTimeout(() => {
          reject(new Error(`cannot look up ${host}: no answer within ${LOOKUP_TIMEOUT}ms`))
        }, LOOKUP_TIMEOUT)
      })
    } catch (error) {
      const last = this.#lastFound.get(host)
      if (last === undefined || isUnknownHost(error)) throw error
      return last
    } finally {
      clearTimeout(timer)
    }
  }

  #ask(host: string): SystemLookup {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DNS_FALLBACK_DELAY)
    })
    const answer = this.#keep(host, this.#askSystem(host)).finally(() => {
      clearTimeout(timer)
      this.#underway.delete(host)
    })
    const lookup = { answer, late }
    this.#underway.set(host, lookup)
    return lookup
  }

  /** Caches the answer, even when it comes after the lookup's time-out. */
  async #keep(host: string, answer: Promise<LookupAddress[]>): Promise<LookupAddress[]> {
    const found = await answer
    this.#lastFound.set(host, found)
    return found
  }
}

/** Asks the system as net.connect does by default: only for families of which this machine has an address. */
function findBySystem(host: string): Promise<LookupAddress[]> {
  return getaddrinfo(host, { all: true, hints: ADDRCONFIG })
}

/** Asks DNS by a new resolver, which reads /etc/resolv.conf anew and has not marked any server as failed. */
async function findByDns(host: string): Promise<LookupAddress[]> {
  const resolver = new Resolver(DNS_QUERY_OPTIONS)
  const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const found = [...addressesIn(four, 4), ...addressesIn(six, 6)]
  if (found.length === 0) throw new Error(`DNS has no address of ${host}`)
  return found
}

function addressesIn(answer: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] {
  return answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family })) : []
}

function isUnknownHost(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOTFOUND'
}
