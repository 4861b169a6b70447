// The spam of a world. A machine of a bot sends some spams in one go, or one to the same recipient each day.

import type { Address } from '../../address.ts'
import { DAY, type DrawInstant, HOUR, instantsOf } from '../calendar.ts'
import { below, pick, type Random, randomOf, seedOf } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import type { Allotment } from './addresses.ts'
import type { BotData, ServersData } from './data.ts'
import type { AddMail } from './mail.ts'
import type { Pool, Source } from './pool.ts'
import type { Organisation, Population } from './population.ts'
import type { Template } from './template.ts'
import { personOf } from './words.ts'

/** Longest time between two spams of one go, in milliseconds. */
const BURST_GAP = 20_000
/** How far the hour of daily spam moves, in milliseconds. */
const DAILY_SHIFT = HOUR

/** Adds so many spams of one class of bots. */
export function addSpam(
  className: string,
  data: BotData,
  count: number,
  population: Population,
  add: AddMail,
): void {
  if (count > 0) new Bots(className, data, population, add).send(count)
}

/** A spammer's servers, with the domains that are in use one after another. */
interface Spammer {
  readonly allotment: Allotment
  readonly pools: Map<number, { readonly pool: Pool; readonly domain: string }>
  /** The domain of the record that its domains include, if they do. */
  readonly home: string
  readonly seed: number
}

/** An envelope sender, but for its domain: the same style with the same domain is the same sender. */
interface Style {
  readonly template: Template
  readonly person: string
  readonly seed: number
}

/** Who sends some spams: the source at an instant, and the domain of their senders. */
interface Origin {
  at(instant: number): { readonly source: Source; readonly domain: string }
}

class Bots {
  readonly #className: string
  readonly #data: BotData
  readonly #population: Population
  readonly #drawInstant: DrawInstant
  readonly #random: Random
  readonly #add: AddMail
  readonly #drawOrigin: () => Origin

  constructor(className: string, data: BotData, population: Population, add: AddMail) {
    this.#className = className
    this.#data = data
    this.#population = population
    this.#drawInstant = instantsOf(data.calendar, population.size.days)
    this.#random = population.random('bots', className)
    this.#add = add
    this.#drawOrigin = this.#origins()
  }

  send(count: number): void {
    if (this.#data.isDaily) this.#sendDaily(count)
    else this.#sendBursts(count)
  }

  #sendBursts(count: number): void {
    const random = this.#random
    for (let left = count; left > 0; ) {
      const origin = this.#drawOrigin()
      let at = this.#drawInstant(random)
      let style = this.#newStyle()
      // A geometric distribution: each spam is followed by another one with the same chance.
      do {
        this.#write(origin, at, style, this.#anyRecipient())
        left -= 1
        at += below(random, BURST_GAP)
        if (this.#data.changesSender !== 'never') style = this.#newStyle()
      } while (left > 0 && random() < 1 - 1 / this.#data.burst)
    }
  }

  #sendDaily(count: number): void {
    const random = this.#random
    const { days } = this.#population.size
    for (let left = count; left > 0; ) {
      const origin = this.#drawOrigin()
      const recipient = this.#anyRecipient()
      const hour = this.#drawInstant(random) % DAY
      let style = this.#newStyle()
      for (let day = 0; day < days && left > 0; day += 1, left -= 1) {
        this.#write(origin, day * DAY + hour + below(random, DAILY_SHIFT), style, recipient)
        if (this.#data.changesSender !== 'never') style = this.#newStyle()
      }
    }
  }

  #write(origin: Origin, at: number, style: Style, recipient: Address): void {
    const { source, domain } = origin.at(at)
    const { template, person, seed } = style
    const sender = template({ person, domain, local: recipient.local }, randomOf(seed))
    this.#add({ at, organisation: -1, source, sender, recipient })
  }

  #newStyle(): Style {
    const random = this.#random
    const person = personOf(below(random, PEOPLE))
    return { template: pick(random, this.#data.from), person, seed: below(random, 2 ** 32) }
  }

  #anyRecipient(): Address {
    return pick(this.#random, this.#population.recipients)
  }

  /** A function that draws who sends the next spams. */
  #origins(): () => Origin {
    const { sending } = this.#data
    switch (sending.kind) {
      case 'hacked': {
        const { classes, organisations } = sending
        const all = this.#population.organisations.filter(({ className }) => classes.includes(className))
        const victims = Array.from({ length: this.#population.grown(organisations) }, () =>
          pick(this.#random, all),
        )
        return () => this.#victim(pick(this.#random, victims))
      }
      case 'machine': {
        const carriers = this.#population.carriers(sending.carrier)
        const machines = Array.from({ length: this.#population.grown(sending.machines) }, (): Source => {
          const { pool, schedules } = pick(this.#random, carriers)
          return this.#source(pool, pool.takeMachine(), schedules)
        })
        return () => this.#strangers(pick(this.#random, machines))
      }
      case 'own':
        return this.#ownServers(sending.servers, sending.copies)
    }
  }

  #victim({ source, domain }: Organisation): Origin {
    const { schedules } = this.#data
    const schedule = schedules.length > 0 ? pick(this.#random, schedules) : source.schedule
    return { at: () => ({ source: { ...source, schedule }, domain }) }
  }

  #ownServers(servers: ServersData, copies: number): () => Origin {
    // Bots on many lines are one pool, and there are more lines where there are more of them.
    const count = copies === 1 ? 1 : this.#population.grown(copies)
    const grown = copies === 1 ? { ...servers, networks: this.#population.grown(servers.networks) } : servers
    const spammers = Array.from({ length: count }, (_, copy): Spammer => {
      const seed = this.#population.seed('spammer', this.#className, copy)
      const home = `${this.#population.newWord()}.example`
      return { allotment: this.#population.allot(grown, randomOf(seed)), pools: new Map(), home, seed }
    })
    return () => {
      const copy = below(this.#random, count)
      const spammer = spammers[copy] as Spammer // an index of the list
      const { pool } = this.#poolAt(spammer, grown, copy, 0)
      const machine = grown.retryFrom === 'pool' ? undefined : below(this.#random, pool.size)
      if (this.#data.domain !== 'own') return this.#strangers(this.#source(pool, machine, grown.schedules))
      const phase = below(this.#random, DAY)
      const schedules = this.#data.schedules.length > 0 ? this.#data.schedules : grown.schedules
      const schedule = pick(this.#random, schedules)
      return {
        at: (instant) => {
          const current = this.#poolAt(spammer, grown, copy, instant)
          return { source: { pool: current.pool, machine, schedule, phase }, domain: current.domain }
        },
      }
    }
  }

  /** The spammer's servers under the domain that is in use at an instant. */
  #poolAt(spammer: Spammer, servers: ServersData, copy: number, instant: number) {
    const { domainLife } = this.#data
    const period = domainLife === undefined ? 0 : Math.floor(instant / domainLife)
    const known = spammer.pools.get(period)
    if (known) return known
    const domain = `${this.#population.newWord()}.example`
    const seed = seedOf(spammer.seed, period)
    const pool = this.#population.makePool(servers, domain, copy + 1, spammer.allotment, seed)
    if (this.#data.domain === 'own') this.#publish(domain, spammer.home, pool)
    const made = { pool, domain }
    spammer.pools.set(period, made)
    return made
  }

  #publish(domain: string, home: string, pool: Pool): void {
    const { zone } = this.#population
    if (this.#data.record === 'include') {
      zone.setSpf(home, pool.spfTerms())
      zone.setSpf(domain, [`include:${home}`])
    } else zone.setSpf(domain, pool.spfTerms())
  }

  /** An origin whose senders' domain is not its own. */
  #strangers(source: Source): Origin {
    const domain =
      this.#data.domain === 'forged'
        ? pick(this.#random, this.#population.organisations).domain
        : `${this.#population.newWord()}.example`
    return { at: () => ({ source, domain }) }
  }

  #source(pool: Pool, machine: number | undefined, schedules: readonly Schedule[]): Source {
    const own = this.#data.schedules
    const schedule = pick(this.#random, own.length > 0 ? own : schedules)
    return { pool, machine, schedule, phase: below(this.#random, DAY) }
  }
}

/** Local parts that bots make up. */
const PEOPLE = 20_000
