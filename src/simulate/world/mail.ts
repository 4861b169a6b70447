// What a world sends, as a list in the order of time: wanted mail of organisations, callouts, and spam. A message says
// who makes its attempts, and the engine makes them until one passes.

import { type Address, parseAddress } from '../../address.ts'
import { DAY, type DrawInstant, instantsOf } from '../calendar.ts'
import { below, logNormal, pick, type Random, roundedBy } from '../random.ts'
import type { SenderData } from './data.ts'
import type { Source } from './pool.ts'
import type { Organisation, Population } from './population.ts'
import { personOf } from './words.ts'

/** One message to one recipient, or a callout. */
export interface Mail {
  /** Instant of the first attempt, in milliseconds since the simulation began. */
  readonly at: number
  /** Index of its class in `World.classes`. */
  readonly classIndex: number
  /** Index of the organisation; -1 for spam. */
  readonly organisation: number
  readonly source: Source
  /** Decides on all that is drawn for its attempts; 32 bits. */
  readonly seed: number
  /** Envelope sender without brackets, `''` for the null sender. */
  readonly sender: string
  readonly recipient: Address
}

/** Adds messages to a world. */
export type AddMail = (mail: Omit<Mail, 'classIndex' | 'seed'>) => void

const WEEK = 7 * DAY
/** A campaign or a post goes out to all recipients within this time, in milliseconds. */
const CAMPAIGN_TIME = 1_800_000
const POST_TIME = 60_000

/** The chances with which somebody new takes part in a conversation. */
const NEW_PERSON = 0.4
const NEW_RECIPIENT = 0.5

/** Adds what one class of organisations sends. */
export function addWanted(className: string, data: SenderData, population: Population, add: AddMail): void {
  const { days } = population.size
  const drawInstant = instantsOf(data.calendar, days)
  for (const organisation of population.organisations) {
    if (organisation.className !== className) continue
    const random = population.random('mail', className, organisation.id)
    new Sender(organisation, data, population, drawInstant, random, add).send()
  }
}

interface Pair {
  readonly person: string
  readonly recipient: Address
}

class Sender {
  readonly #organisation: Organisation
  readonly #data: SenderData
  readonly #population: Population
  readonly #drawInstant: DrawInstant
  readonly #random: Random
  readonly #add: AddMail

  constructor(
    organisation: Organisation,
    data: SenderData,
    population: Population,
    drawInstant: DrawInstant,
    random: Random,
    add: AddMail,
  ) {
    this.#organisation = organisation
    this.#data = data
    this.#population = population
    this.#drawInstant = drawInstant
    this.#random = random
    this.#add = add
  }

  send(): void {
    switch (this.#data.mail) {
      case 'people':
        this.#converse()
        break
      case 'forwards':
        this.#forward()
        break
      case 'campaigns':
        this.#publish(CAMPAIGN_TIME)
        break
      case 'posts':
        this.#publish(POST_TIME)
        break
      case 'notices':
      case 'codes':
      case 'bounces':
      case 'callouts':
        this.#notify()
        break
    }
  }

  /** Single messages of programs, to anybody. */
  #notify(): void {
    for (const at of this.#instants(this.#population.eagerness))
      this.#write(at, this.#anyRecipient(), { person: personOf(below(this.#random, PROGRAMS)) })
  }

  /** Letters of people; some go on with what was written before. */
  #converse(): void {
    const pairs: Pair[] = []
    const random = this.#random
    for (const at of this.#instants(this.#population.eagerness)) {
      const repeated = pairs.length > 0 && random() < this.#data.repeats
      const pair = repeated ? pick(random, pairs) : this.#newPair(pairs)
      if (!repeated) pairs.push(pair)
      this.#write(at, pair.recipient, { person: pair.person })
    }
  }

  #newPair(pairs: readonly Pair[]): Pair {
    const random = this.#random
    const isNewPerson = pairs.length === 0 || random() < NEW_PERSON
    const person = isNewPerson ? personOf(below(random, PEOPLE)) : pick(random, pairs).person
    const isNewRecipient = pairs.length === 0 || random() < NEW_RECIPIENT
    return { person, recipient: isNewRecipient ? this.#anyRecipient() : pick(random, pairs).recipient }
  }

  /** Mail of people of other organisations, to those who have it forwarded. */
  #forward(): void {
    const random = this.#random
    const count = Math.max(1, roundedBy(random, this.#data.readers))
    const readers = Array.from({ length: count }, () => this.#anyRecipient())
    const authors: Array<{ original: string; originaldomain: string }> = []
    for (const at of this.#instants(this.#population.eagerness)) {
      const isKnown = authors.length > 0 && random() < this.#data.repeats
      const author = isKnown
        ? pick(random, authors)
        : {
            original: personOf(below(random, PEOPLE)),
            originaldomain: pick(random, this.#population.organisations).domain,
          }
      if (!isKnown) authors.push(author)
      this.#write(at, pick(random, readers), author)
    }
  }

  /** Campaigns and posts, to the same recipients each time. */
  #publish(time: number): void {
    const { recipients, eagerness } = this.#population
    const random = this.#random
    const count = Math.max(1, Math.round(logNormal(random, this.#data.readers * eagerness, READERS_SPREAD)))
    const readers = new Set<Address>()
    while (readers.size < Math.min(count, recipients.length)) readers.add(this.#anyRecipient())
    const person = personOf(below(random, PROGRAMS))
    for (const at of this.#instants(1))
      for (const reader of readers) this.#write(at + below(random, time), reader, { person })
  }

  /** The instants at which the organisation writes, in order. */
  #instants(eagerness: number): number[] {
    const weeks = (this.#population.size.days * DAY) / WEEK
    const count = roundedBy(this.#random, this.#organisation.weekly * weeks * eagerness)
    return Array.from({ length: count }, () => this.#drawInstant(this.#random)).sort((a, b) => a - b)
  }

  #anyRecipient(): Address {
    const { recipients, drawRecipient } = this.#population
    return recipients[drawRecipient(this.#random)] as Address // an index of the list
  }

  #write(at: number, recipient: Address, values: Record<string, string>): void {
    const { id, domain, account, source, from } = this.#organisation
    const hostName = () => this.#hostName()
    const filled = from(
      {
        ...values,
        domain,
        account,
        day: String(Math.floor(at / DAY) % 1000).padStart(3, '0'),
        get host() {
          return hostName()
        },
        local: recipient.local,
        rcpt: `${recipient.local}=${recipient.domain}`,
      },
      this.#random,
    )
    const sender = filled === '<>' ? '' : filled
    this.#publishSender(parseAddress(sender).domain)
    this.#add({ at, organisation: id, source, sender, recipient })
  }

  /** The name of some host, for carriers that write it into senders. */
  #hostName(): string {
    const { pool, machine } = this.#organisation.source
    return pool.clientAt(below(this.#random, 2 ** 31), 0, machine).name ?? ''
  }

  /** Sets the SPF record of a sender's domain that is made up for the message. */
  #publishSender(senderDomain: string): void {
    const { domain, spfTerms } = this.#organisation
    const { zone } = this.#population
    if (spfTerms.length === 0 || !senderDomain.endsWith(`.${domain}`) || zone.has(senderDomain, 'TXT')) return
    zone.setSpf(senderDomain, spfTerms)
  }
}

/** Most people of an organisation, and most of its programs. */
const PEOPLE = 2000
const PROGRAMS = 40
/** The standard deviation of the logarithm of the number of a campaign's recipients. */
const READERS_SPREAD = 0.8
