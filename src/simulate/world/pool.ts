// A pool of machines that send mail together, and which of them makes an attempt. Each machine has its address, its host
// name and its HELO for good.

import type { Client } from '../../attempt.ts'
import { randomOf, seedOf, unitAt } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import { type Allotment, addressIn, ipv6AddressIn, ipv6Term } from './addresses.ts'
import type { ServersData } from './data.ts'
import type { Template, Values } from './template.ts'
import { wordOf } from './words.ts'

/** Who makes attempts, and when it tries again. */
export interface Source {
  readonly pool: Pool
  /** The machine that makes them; absent where each message has another one. */
  readonly machine: number | undefined
  readonly schedule: Schedule
  /** An instant at which the queue runs. */
  readonly phase: number
}

/** How the machines of a pool are called. */
export interface Naming {
  readonly name: Template
  /** Absent if machines say their names in HELO. */
  readonly helo: Template | undefined
  readonly domain: string
  readonly copy: string
}

/** The last byte of the first host's address in a network. */
const FIRST_HOST = 5

/** Places of what is drawn for one attempt. */
const MACHINE = 0
const HOST = 1
const FAMILY = 2
const DRAWS = 3

export class Pool {
  readonly #data: ServersData
  readonly #allotment: Allotment
  readonly #naming: Naming
  readonly #seed: number
  readonly #clients = new Map<number, Client>()
  #machinesTaken = 0

  /** `seed` decides on all that is drawn. */
  constructor(data: ServersData, allotment: Allotment, naming: Naming, seed: number) {
    this.#data = data
    this.#allotment = allotment
    this.#naming = naming
    this.#seed = seed
  }

  get size(): number {
    return this.#allotment.networks.length * this.#data.hosts
  }

  /** The terms of an SPF record that names one machine, or all if none is given. */
  spfTerms(machine?: number): readonly string[] {
    if (machine !== undefined) {
      const clients = this.#data.ipv6 > 0 ? [false, true] : [false]
      return clients.map((isIpv6) => {
        const { address } = this.#client(machine, isIpv6)
        return `${isIpv6 ? 'ip6' : 'ip4'}:${address?.text}`
      })
    }
    const { terms, ipv6 } = this.#allotment
    return this.#data.ipv6 > 0 ? [...terms, ipv6Term(ipv6)] : terms
  }

  /** The machines by name, for the host records of a small site; IPv6 addresses are there if the pool uses any. */
  get machines(): ReadonlyArray<{ readonly name: string; readonly ipv4: string; readonly ipv6?: string }> {
    return Array.from({ length: this.size }, (_, machine) => {
      const { address, helo = '' } = this.#client(machine, false)
      const ipv4 = { name: helo, ipv4: address?.text ?? '' }
      return this.#data.ipv6 > 0 ? { ...ipv4, ipv6: this.#client(machine, true).address?.text ?? '' } : ipv4
    })
  }

  /** A machine that nobody has taken, as long as there are any; those taken one after another lie far apart. */
  takeMachine(): number {
    const stride = strideFor(this.size)
    const machine = (this.#machinesTaken * stride + Math.floor(unitAt(this.#seed, 0) * this.size)) % this.size
    this.#machinesTaken += 1
    return machine
  }

  /** The client that makes an attempt, 0 for the first, of the message with this seed. */
  clientAt(seed: number, attempt: number, machine: number | undefined): Client {
    const { hosts, retryFrom, ipv6 } = this.#data
    const first = machine ?? Math.floor(unitAt(seed, MACHINE) * this.size)
    const isIpv6 = ipv6 > 0 && unitAt(seed, DRAWS * attempt + FAMILY) < ipv6
    if (attempt === 0 || retryFrom === 'host') return this.#client(first, isIpv6)
    if (retryFrom === 'pool')
      return this.#client(Math.floor(unitAt(seed, DRAWS * attempt + MACHINE) * this.size), isIpv6)
    const network = Math.floor(first / hosts)
    return this.#client(network * hosts + Math.floor(unitAt(seed, DRAWS * attempt + HOST) * hosts), isIpv6)
  }

  #client(machine: number, isIpv6: boolean): Client {
    const key = 2 * machine + (isIpv6 ? 1 : 0)
    const known = this.#clients.get(key)
    if (known) return known
    const client = this.#makeClient(machine, isIpv6)
    this.#clients.set(key, client)
    return client
  }

  #makeClient(machine: number, isIpv6: boolean): Client {
    const { hosts, named } = this.#data
    const [network, host] = [Math.floor(machine / hosts), machine % hosts]
    const ipv4 = this.#ipv4(network, host)
    const seed = seedOf(this.#seed, machine)
    const random = randomOf(seed)
    const { name: template, helo: heloTemplate, domain, copy } = this.#naming
    const ip = ipv4.text.replaceAll('.', '-')
    const values: Values = { domain, copy, ip, n: String(machine + 1), word: wordOf(seed) }
    const name = template(values, random)
    const helo = heloTemplate ? heloTemplate(values, random) : name
    const address = isIpv6 ? ipv6AddressIn(this.#allotment.ipv6, network, FIRST_HOST + host) : ipv4
    return unitAt(seed, 0) < named ? { address, name, helo } : { address, helo }
  }

  #ipv4(network: number, host: number) {
    return addressIn(this.#allotment.networks[network] ?? 0, FIRST_HOST + host)
  }
}

/** A stride of about the golden section of `size` that reaches each machine once. */
function strideFor(size: number): number {
  let stride = Math.max(1, Math.round(size * 0.618))
  while (commonDivisor(stride, size) !== 1) stride += 1
  return stride
}

function commonDivisor(one: number, other: number): number {
  return other === 0 ? one : commonDivisor(other, one % other)
}
