// Where hosts are, for connections to them that begin. The system (getaddrinfo) knows /etc/hosts, search domains and all
// else that is configured; but where a name server does not answer, it takes ten seconds and more for that, and two such
// questions of a process hold up all others. So it has one question per host at a time, whoever waits for the answer.
// Where that is late, DNS is asked directly too, and where both are, what was found last has to do.

import { ADDRCONFIG, type LookupAddress } from 'node:dns'
import { lookup as getaddrinfo, Resolver } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

/** Rejects where there is no address; with the code ENOTFOUND where the host is known not to exist. */
export type FindAddresses = (host: string) => Promise<LookupAddress[]>

/** The system's answer is late from then on, in milliseconds. */
const PATIENCE = 200

/** The longest that an attempt takes, in milliseconds: shorter than a connection is waited for (`SILENCE`). */
const LONGEST = 600

/** Of one server after the other, each asked once; c-ares waits for none less than 250 ms. */
const QUERY = { timeout: 300, tries: 1 }

/**
 * What net.connect and tls.connect take for their option `lookup`: they call it for names, and never for addresses. It
 * gives addresses of both families, whichever is asked for.
 *
 * It gives what comes first: the system's addresses, or those that DNS has of the host's name as it stands, without
 * search domains. That DNS has none is no answer, as the system may know better.
 *
 * It gives the addresses last found, however old they are, when there is no answer in time, or when the system fails for
 * any other reason than that there is no such host: a Redis that lives is not to be missed for a name server. Where it
 * is not there any more, an attempt fails that would have failed anyway. Whatever else is there by then is not used if
 * it is no Redis that greymx can log in to; that it is the right one, only TLS can tell.
 *
 * It fails when none were found yet, with a message that names the host.
 */
export function createLookup(
  askSystem: FindAddresses = findBySystem,
  askDns: FindAddresses = findByDns,
): LookupFunction {
  const hosts = new Hosts(askSystem, askDns)
  return (host, { all }, callback) => {
    hosts.find(host).then(
      (found) => {
        const [{ address, family }] = found as [LookupAddress] // or it had been rejected
        if (all) callback(null, found)
        else callback(null, address, family)
      },
      (error: Error) => callback(error, []),
    )
  }
}

/** A question that the system owes the answer to. */
interface Question {
  readonly answer: Promise<LookupAddress[]>
  /** When the answer is late; never, where it is not. */
  readonly late: Promise<void>
}

class Hosts {
  readonly #askSystem: FindAddresses
  readonly #askDns: FindAddresses
  readonly #questions = new Map<string, Question>()
  readonly #lastFound = new Map<string, LookupAddress[]>()

  constructor(askSystem: FindAddresses, askDns: FindAddresses) {
    this.#askSystem = askSystem
    this.#askDns = askDns
  }

  async find(host: string): Promise<LookupAddress[]> {
    const { answer, late } = this.#questions.get(host) ?? this.#ask(host)
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise((resolve, reject) => {
        answer.then(resolve, reject)
        late.then(() => this.#keep(host, this.#askDns(host))).then(resolve, () => undefined)
        timer = setTimeout(() => {
          reject(new Error(`cannot look up ${host}: no answer within ${LONGEST}ms`))
        }, LONGEST)
      })
    } catch (error) {
      const last = this.#lastFound.get(host)
      if (last === undefined || isUnknownHost(error)) throw error
      return last
    } finally {
      clearTimeout(timer)
    }
  }

  #ask(host: string): Question {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE)
    })
    const answer = this.#keep(host, this.#askSystem(host)).finally(() => {
      clearTimeout(timer)
      this.#questions.delete(host)
    })
    const question = { answer, late }
    this.#questions.set(host, question)
    return question
  }

  /** Also what comes too late for whoever asked: it is the last that was found. */
  async #keep(host: string, answer: Promise<LookupAddress[]>): Promise<LookupAddress[]> {
    const found = await answer
    this.#lastFound.set(host, found)
    return found
  }
}

/** As net.connect itself asks: leaves out families of which this machine has no address. */
function findBySystem(host: string): Promise<LookupAddress[]> {
  return getaddrinfo(host, { all: true, hints: ADDRCONFIG })
}

/** By a resolver that is made for it: it reads /etc/resolv.conf as it is made, and holds nothing against a server. */
async function findByDns(host: string): Promise<LookupAddress[]> {
  const resolver = new Resolver(QUERY)
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
