// Who lives in a world: carriers with their servers, organisations, recipients, and the DNS records of all of them. What
// they send is the business of mail.ts and spam.ts.

import { type Address, parseAddress } from '../../address.ts'
import { DAY } from '../calendar.ts'
import { below, logNormal, pick, type Random, randomOf, roundedBy, seedOf, weighted } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import { Addresses, type Allotment } from './addresses.ts'
import type { CarrierData, SenderData, ServersData, WorldData } from './data.ts'
import { Pool, type Source } from './pool.ts'
import { fillPlain, type Template } from './template.ts'
import { personOf, wordOf } from './words.ts'
import { Zone } from './zone.ts'

/** How large a world is made; each defaults to what the world's file says. */
export interface Size {
  readonly seed: number
  readonly recipients: number
  readonly days: number
  /** A factor for organisations, machines and spam. */
  readonly scale: number
}

/** An organisation that sends wanted mail. */
export interface Organisation {
  /** Index among all organisations. */
  readonly id: number
  /** The class in the world's file. */
  readonly className: string
  readonly domain: string
  /** Its number at the carrier. */
  readonly account: string
  readonly source: Source
  readonly from: Template
  /** Messages in a week. */
  readonly weekly: number
  /** The terms of its SPF record; none if it has no record. */
  readonly spfTerms: readonly string[]
}

interface Carrier {
  readonly pool: Pool
  readonly schedules: readonly Schedule[]
  /** The name of the record that customers include. */
  readonly spf: string | undefined
}

export class Population {
  readonly size: Size
  readonly zone = new Zone()
  readonly recipients: readonly Address[]
  readonly organisations: readonly Organisation[]
  /** Draws the index of a recipient; some get much more mail than others. */
  readonly drawRecipient: (random: Random) => number
  /** The factor by which there are more organisations than the world's file says. */
  readonly growth: number
  /** The factor by which each organisation writes more. */
  readonly eagerness: number
  readonly #addresses = new Addresses()
  readonly #carriers: ReadonlyMap<string, readonly Carrier[]>
  /** The terms of each record that customers include. */
  readonly #carrierTerms = new Map<string, readonly string[]>()
  #words = 0

  constructor(data: WorldData, size: Size) {
    this.size = size
    const people = size.recipients / data.recipients
    this.growth = people ** data.growth * size.scale
    this.eagerness = people / people ** data.growth
    this.recipients = Array.from({ length: size.recipients }, (_, index) =>
      parseAddress(`${personOf(index)}@${data.domain}`),
    )
    const random = this.random('recipients')
    this.drawRecipient = weighted(this.recipients.map(() => logNormal(random, 1, RECIPIENT_SPREAD)))
    this.#carriers = new Map(
      [...data.carriers].map(([name, carrier]) => [name, this.#makeCarriers(name, carrier)]),
    )
    const organisations: Organisation[] = []
    for (const [className, sender] of data.senders)
      organisations.push(...this.#makeOrganisations(className, sender, data, organisations.length))
    this.organisations = organisations
  }

  /** The stream of chance of one part of the world, which no other part disturbs. */
  random(...part: ReadonlyArray<string | number>): Random {
    return randomOf(this.seed(...part))
  }

  seed(...part: ReadonlyArray<string | number>): number {
    return seedOf(this.size.seed, ...part)
  }

  /** A number of organisations or machines in this world; one at least if there is any in the world's file. */
  grown(count: number): number {
    return count === 0 ? 0 : Math.max(1, Math.round(count * this.growth))
  }

  /** A word that nobody else in this world has. */
  newWord(): string {
    this.#words += 1
    return wordOf(this.#words)
  }

  /** Servers of one owner. */
  makePool(data: ServersData, domain: string, copy: number, allotment: Allotment, seed: number): Pool {
    const random = randomOf(seed)
    const name = pick(random, data.names)
    const helo = data.helos.length > 0 ? pick(random, data.helos) : undefined
    return new Pool(data, allotment, { name, helo, domain, copy: String(copy) }, seed)
  }

  /** Networks for servers of one owner. */
  allot(data: ServersData, random: Random): Allotment {
    if (data.blocks.length > 0) return this.#addresses.inBlocks(data.networks, data.blocks, random)
    return this.#addresses.scattered(data.networks, random)
  }

  carriers(name: string): readonly Carrier[] {
    return this.#carriers.get(name) ?? []
  }

  #makeCarriers(name: string, data: CarrierData): Carrier[] {
    const copies = data.copies === 1 ? 1 : this.grown(data.copies)
    return Array.from({ length: copies }, (_, index) => {
      const copy = String(index + 1)
      const random = this.random('carrier', name, index)
      const { servers } = data
      const allotment =
        servers.blocks.length > 0
          ? this.#addresses.inBlocks(servers.networks, servers.blocks, random)
          : this.#addresses.inOneBlock(servers.networks)
      const domain = fillPlain(data.domain, { copy })
      const pool = this.makePool(servers, domain, index + 1, allotment, this.seed('pool', name, index))
      const spf = data.spf && fillPlain(data.spf, { copy, domain })
      if (spf !== undefined) this.#publishCarrier(spf, domain, pool)
      return { pool, schedules: servers.schedules, spf }
    })
  }

  /** Adds a pool to the record that customers include, which several pools may share. */
  #publishCarrier(spf: string, domain: string, pool: Pool): void {
    const terms = new Set([...(this.#carrierTerms.get(spf) ?? []), ...pool.spfTerms()])
    this.#carrierTerms.set(spf, [...terms])
    this.zone.setSpf(spf, [...terms])
    // Senders below the carrier's own domain.
    if (spf !== domain) this.zone.setSpf(domain, [`include:${spf}`])
    this.zone.setSpf(`*.${domain}`, [`include:${spf}`])
  }

  #makeOrganisations(className: string, data: SenderData, world: WorldData, start: number): Organisation[] {
    const count = data.domains.length > 0 ? data.domains.length : this.grown(data.organisations)
    return Array.from({ length: count }, (_, index) => {
      const random = this.random('organisation', className, index)
      const domain = data.domains[index] ?? `${this.newWord()}.example`
      const { pool, machine, schedules, spf } = this.#sourceOf(className, index, data, domain, random)
      const schedule = pick(random, data.schedules.length > 0 ? data.schedules : schedules)
      // With fewer records, a world is the same in all else.
      const spfRandom = this.random('spf', className, index)
      const hasSpf = spfRandom() < data.spf * world.spf
      const terms = spf === undefined ? this.#ownTerms(domain, pool, machine, random) : [`include:${spf}`]
      const spfTerms = hasSpf ? [...terms, ...this.#furtherIncludes(data.includes, spfRandom)] : []
      // Where there are no more organisations in a larger world, each of them is larger.
      const size = data.domains.length > 0 ? this.growth : 1
      const organisation: Organisation = {
        id: start + index,
        className,
        domain,
        account: String(100_000 + below(random, 900_000)),
        source: { pool, machine, schedule, phase: below(random, DAY) },
        from: pick(random, data.from),
        weekly: logNormal(random, size * data.weekly, data.spread),
        spfTerms,
      }
      this.#publish(organisation, data, random)
      return organisation
    })
  }

  #sourceOf(className: string, index: number, data: SenderData, domain: string, random: Random) {
    const { sending } = data
    if (sending.kind === 'own') {
      const allotment = this.allot(sending.servers, random)
      const seed = this.seed('servers', className, index)
      const pool = this.makePool(sending.servers, domain, index + 1, allotment, seed)
      const machine = pool.size === 1 ? 0 : undefined
      return { pool, machine, schedules: sending.servers.schedules, spf: undefined }
    }
    const { pool, schedules, spf } = pick(random, this.carriers(sending.carrier))
    const machine = sending.kind === 'machine' ? pool.takeMachine() : undefined
    return { pool, machine, schedules, spf }
  }

  /** The terms for an organisation's own servers: their addresses, or for a few servers `mx` or `a`. */
  #ownTerms(domain: string, pool: Pool, machine: number | undefined, random: Random): readonly string[] {
    const form = pool.size <= MAX_EXCHANGES ? pick(random, RECORD_FORMS) : 'ip'
    if (form === 'ip') return pool.spfTerms(machine)
    const { machines } = pool
    for (const { name, ipv4, ipv6 } of machines) {
      this.zone.set(name, 'A', [ipv4])
      if (ipv6 !== undefined) this.zone.set(name, 'AAAA', [ipv6])
    }
    if (form === 'a') return machines.map(({ name }) => `a:${name}`)
    this.zone.set(
      domain,
      'MX',
      machines.map(({ name }) => ({ priority: 10, exchange: name })),
    )
    return [`mx:${domain}`]
  }

  #furtherIncludes(mean: number, random: Random): string[] {
    const names = [...this.#carriers.values()].flat().flatMap(({ spf }) => (spf === undefined ? [] : [spf]))
    if (names.length === 0) return []
    const drawn = Array.from({ length: roundedBy(random, mean) }, () => pick(random, names))
    return [...new Set(drawn)].map((name) => `include:${name}`)
  }

  #publish({ domain, spfTerms, source }: Organisation, data: SenderData, random: Random): void {
    if (spfTerms.length > 0) this.zone.setSpf(domain, spfTerms)
    if (random() < data.heloSpf) this.zone.setSpf(`*.${domain}`, source.pool.spfTerms(source.machine))
  }
}

/** Forms of the records of small sites, as often as they are in this list. */
const RECORD_FORMS = ['ip', 'ip', 'mx', 'a'] as const
/** Most servers that a small site names one by one. */
const MAX_EXCHANGES = 4

/** The standard deviation of the logarithm of what recipients get. */
const RECIPIENT_SPREAD = 0.8
