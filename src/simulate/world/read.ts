// Reads a world's file, YAML or JSON, and says what is wrong with it, with line and column. A file with `base: default`
// needs to have only what differs from the world that is shipped. What a world consists of is in data.ts.

import { DURATION_FORM, parseDuration } from '../../config/duration.ts'
import { ConfigReader } from '../../config/reader.ts'
import { isHostName } from '../../identity/host.ts'
import { type Network, parseNetwork } from '../../ip.ts'
import { type Calendar, DAYS_OF_WEEK, HOURS_OF_DAY } from '../calendar.ts'
import type { EximRule, Schedule } from '../schedule.ts'
import {
  BOT_DOMAINS,
  BOT_RECORDS,
  type BotData,
  type BotSending,
  type CarrierData,
  MAIL_KINDS,
  RETRY_FROM,
  SENDER_CHANGES,
  type SenderData,
  type Sending,
  type ServersData,
  type WorldData,
} from './data.ts'
import { parseTemplate, type Template } from './template.ts'

/** A file with its name as messages show it. */
export interface WorldFile {
  readonly fileName: string
  readonly text: string
}

export type LoadedWorld =
  | { readonly kind: 'world'; readonly data: WorldData }
  /** All faults, each as `world.yaml:12:3: what, with which value, what is expected`. */
  | { readonly kind: 'faults'; readonly faults: readonly string[] }

/** The world in `file`, above the world `shipped` if the file says so. */
export function parseWorld(file: WorldFile, shipped?: WorldFile): LoadedWorld {
  const own = new ConfigReader(file.fileName, file.text)
  const base = own.choice('base', 'none', ['none', 'default'])
  const below = base === 'default' && shipped ? new ConfigReader(shipped.fileName, shipped.text) : undefined
  const data = new WorldReader(own, below).read()
  const faults = [...own.faults, ...(below?.faults ?? [])]
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'world', data }
}

type Parse<T> = (text: string) => T

/** How much the numbers of a group can be trusted. */
const SURENESS = /^(measured|documented|secondary|guess)\b/

const MAX_COUNT = 1_000_000
/** Hosts of one network; each has an address of its own in an IPv4 /24. */
const MAX_HOSTS = 240
const MAX_MESSAGES = 1_000_000

class WorldReader {
  readonly #own: ConfigReader
  /** The world below, which has what `#own` leaves out. */
  readonly #below: ConfigReader | undefined
  #schedules: ReadonlyMap<string, Schedule> = new Map()
  #calendars: ReadonlyMap<string, Calendar> = new Map()
  #carriers: ReadonlyMap<string, CarrierData> = new Map()
  #senders: ReadonlyMap<string, SenderData> = new Map()

  constructor(own: ConfigReader, below: ConfigReader | undefined) {
    this.#own = own
    this.#below = below
  }

  read(): WorldData {
    this.#text('about', '', String)
    const world = {
      recipients: this.#count('recipients', 300, 1),
      days: this.#count('days', 14, 1, 366),
      domain: this.#text('domain', 'example.com', domainIn),
      growth: this.#number('growth', 0.7, 0, 1),
      spam: this.#number('spam', 18, 0, 10_000),
      spf: this.#share('spf', 1),
    }
    this.#calendars = this.#group('calendars', (name) => this.#calendar(name))
    this.#schedules = this.#group('schedules', (name) => this.#schedule(name))
    this.#carriers = this.#group('carriers', (name) => this.#carrier(name))
    this.#senders = this.#group('senders', (name) => this.#sender(name))
    const bots = this.#group('bots', (name) => this.#bot(name))
    this.#own.unknownKeys()
    this.#below?.unknownKeys()
    return { ...world, carriers: this.#carriers, senders: this.#senders, bots }
  }

  #calendar(name: string): Calendar {
    const weight = (text: string) => numberIn(text, 0, MAX_MESSAGES)
    const hours = this.#list(
      `${name}.hours`,
      Array.from({ length: HOURS_OF_DAY }, () => '1'),
      weight,
    )
    const days = this.#list(
      `${name}.days`,
      Array.from({ length: DAYS_OF_WEEK }, () => '1'),
      weight,
    )
    this.#expect(hours.length === HOURS_OF_DAY, `${name}.hours`, `${HOURS_OF_DAY} weights, from 0 h on`)
    this.#expect(days.length === DAYS_OF_WEEK, `${name}.days`, `${DAYS_OF_WEEK} weights, from Monday on`)
    for (const weights of [`hours`, `days`] as const) {
      const values = weights === 'hours' ? hours : days
      this.#expect(
        values.some((value) => value > 0),
        `${name}.${weights}`,
        'a weight above 0',
      )
    }
    return { hours, days }
  }

  #schedule(name: string): Schedule {
    this.#text(`${name}.source`, '', String)
    const kind = this.#required(
      `${name}.kind`,
      'list',
      choiceOf(['postfix', 'exim', 'run', 'qmail', 'list'] as const),
    )
    const until = this.#required(`${name}.until`, '5d', durationIn)
    switch (kind) {
      case 'postfix': {
        const min = this.#required(`${name}.min`, '300s', durationIn)
        const max = this.#required(`${name}.max`, '4000s', durationIn)
        return { kind, min, max, run: this.#interval(`${name}.run`, '300s'), until }
      }
      case 'exim': {
        const rules = this.#list(`${name}.rules`, [], eximRuleIn)
        this.#expect(rules.length > 0, `${name}.rules`, 'rules like F,2h,15m')
        return { kind, rules, run: this.#interval(`${name}.run`, '30m'), until }
      }
      case 'run':
        return { kind, every: this.#interval(`${name}.every`, '15m'), until }
      case 'qmail':
        return { kind, until }
      case 'list': {
        const at = this.#list(`${name}.at`, ['0s'], durationIn)
        const isAscending =
          at[0] === 0 && at.every((time, index) => index === 0 || time > (at[index - 1] ?? 0))
        this.#expect(isAscending, `${name}.at`, 'ascending times that begin with 0s')
        const every = this.#text(`${name}.then`, '0s', durationIn)
        const jitter = this.#share(`${name}.jitter`, 0)
        return { kind, at, every, jitter, until }
      }
    }
  }

  #carrier(name: string): CarrierData {
    const servers = this.#servers(name)
    this.#expect(servers.schedules.length > 0, `${name}.schedule`, 'one at least')
    const copies = this.#count(`${name}.copies`, 1, 1)
    const spf = this.#text(`${name}.spf`, '', (text) => (text === '' ? undefined : parseTemplate(text)))
    const domain = this.#required(`${name}.domain`, 'carrier.example', parseTemplate)
    return { servers, copies, spf, domain }
  }

  #servers(name: string): ServersData {
    const networks = this.#count(`${name}.networks`, 1, 1)
    const blocks = this.#list(`${name}.blocks`, [], blockIn)
    const room = blocks.reduce((sum, { prefix }) => sum + 2 ** (24 - prefix), 0)
    this.#expect(
      blocks.length === 0 || room >= networks,
      `${name}.blocks`,
      `blocks with room for ${networks} networks`,
    )
    return {
      networks,
      hosts: this.#count(`${name}.hosts`, 1, 1, MAX_HOSTS),
      blocks,
      ipv6: this.#share(`${name}.ipv6`, 0),
      names: this.#templates(`${name}.names`, 'mail.{domain}'),
      helos: this.#list(`${name}.helo`, [], parseTemplate),
      named: this.#share(`${name}.named`, 1),
      retryFrom: this.#text(`${name}.retry_from`, 'host', choiceOf(RETRY_FROM)),
      schedules: this.#schedulesOf(`${name}.schedule`),
    }
  }

  #sender(name: string): SenderData {
    const mail = this.#required(`${name}.mail`, 'people', choiceOf(MAIL_KINDS))
    const deadline = this.#text(`${name}.deadline`, 'none', (text) =>
      text === 'none' ? undefined : durationIn(text),
    )
    this.#expect(
      (mail === 'codes') === (deadline !== undefined),
      `${name}.deadline`,
      'one where mail is codes',
    )
    const sending = this.#sending(name)
    const schedules = this.#schedulesFor(name, sending)
    const domains = this.#list(`${name}.domains`, [], domainIn)
    const organisations = Math.max(this.#count(`${name}.organisations`, 0), domains.length)
    return {
      organisations,
      domains,
      mail,
      deadline,
      weekly: this.#required(`${name}.weekly`, '1', (text) => numberIn(text, 0, MAX_MESSAGES)),
      spread: this.#number(`${name}.spread`, 1, 0, 5),
      readers: this.#number(`${name}.readers`, 10, 1, MAX_MESSAGES),
      repeats: this.#share(`${name}.repeats`, 0.6),
      sending,
      schedules,
      spf: this.#share(`${name}.spf`, 0),
      includes: this.#number(`${name}.includes`, 0, 0, 5),
      heloSpf: this.#share(`${name}.helo_spf`, 0),
      from: this.#templates(`${name}.from`, '{person}@{domain}'),
      calendar: this.#calendarOf(`${name}.calendar`),
    }
  }

  #sending(name: string): Sending {
    const servers = this.#servers(`${name}.servers`)
    const machineAt = this.#text(`${name}.machine_at`, '', (text) => this.#carrierIn(text))
    const via = this.#text(`${name}.via`, '', (text) => this.#carrierIn(text))
    const said = this.#firstSaid([`${name}.via`, `${name}.machine_at`, `${name}.servers`])
    if (said === `${name}.via`) return { kind: 'carrier', carrier: via }
    if (said === `${name}.machine_at`) return { kind: 'machine', carrier: machineAt }
    this.#expect(said !== undefined, name, 'who sends: via, machine_at or servers')
    return { kind: 'own', servers }
  }

  #bot(name: string): BotData {
    const life = this.#text(`${name}.domain_life`, 'none', (text) =>
      text === 'none' ? undefined : durationIn(text),
    )
    const domain = this.#required(`${name}.domain`, 'made-up', choiceOf(BOT_DOMAINS))
    const sending = this.#botSending(name)
    this.#expect(
      (domain === 'victim') === (sending.kind === 'hacked'),
      `${name}.domain`,
      'victim where organisations are hacked, and only there',
    )
    this.#expect(
      domain !== 'own' || sending.kind === 'own',
      `${name}.domain`,
      'own only where the spammer has servers',
    )
    this.#expect(
      domain !== 'forged' || this.#hasOrganisations([...this.#senders.keys()]),
      `${name}.domain`,
      'forged only where there are organisations',
    )
    return {
      share: this.#required(`${name}.share`, '1', (text) => numberIn(text, 0, MAX_MESSAGES)),
      isStoppable: this.#required(`${name}.stoppable`, 'true', choiceOf(['true', 'false'])) === 'true',
      sending,
      domain,
      domainLife: life,
      record: this.#text(`${name}.record`, 'addresses', choiceOf(BOT_RECORDS)),
      from: this.#templates(`${name}.from`, '{person}@{domain}'),
      burst: this.#number(`${name}.burst`, 1, 1, MAX_MESSAGES),
      isDaily: this.#text(`${name}.daily`, 'false', choiceOf(['true', 'false'])) === 'true',
      changesSender: this.#text(`${name}.changes_sender`, 'spam', choiceOf(SENDER_CHANGES)),
      schedules: this.#schedulesFor(name, sending),
      calendar: this.#calendarOf(`${name}.calendar`),
    }
  }

  #botSending(name: string): BotSending {
    const servers = this.#servers(`${name}.servers`)
    const copies = this.#count(`${name}.copies`, 1, 1)
    const carrier = this.#text(`${name}.machines_at`, '', (text) => this.#carrierIn(text))
    const machines = this.#count(`${name}.machines`, 100, 1)
    const classes = this.#list(`${name}.hacked`, [], choiceOf([...this.#senders.keys()]))
    const organisations = this.#count(`${name}.organisations`, 10, 1)
    const said = this.#firstSaid([`${name}.hacked`, `${name}.machines_at`, `${name}.servers`])
    if (said === `${name}.hacked`) {
      this.#expect(this.#hasOrganisations(classes), `${name}.hacked`, 'classes of senders with organisations')
      return { kind: 'hacked', classes, organisations }
    }
    if (said === `${name}.machines_at`) return { kind: 'machine', carrier, machines }
    this.#expect(said !== undefined, name, 'who sends: servers, machines_at or hacked')
    return { kind: 'own', servers, copies }
  }

  #hasOrganisations(classes: readonly string[]): boolean {
    return classes.some((name) => (this.#senders.get(name)?.organisations ?? 0) > 0)
  }

  /** Reads each member of a group, which has to say how sure its numbers are. */
  #group<T>(group: string, read: (name: string) => T): Map<string, T> {
    const members = new Map<string, T>()
    for (const key of this.#keys(group)) {
      const name = `${group}.${key}`
      this.#text(`${name}.about`, '', String)
      this.#required(`${name}.sure`, 'guess', (text) => {
        if (!SURENESS.test(text)) throw new Error('expected measured, documented, secondary or guess')
        return text
      })
      members.set(key, read(name))
    }
    return members
  }

  #keys(group: string): string[] {
    return [...new Set([...(this.#below?.keys(group) ?? []), ...this.#own.keys(group)])]
  }

  #carrierIn(text: string): string {
    if (text !== '' && !this.#carriers.has(text))
      throw new Error(`expected a carrier: ${[...this.#carriers.keys()].join(', ')}`)
    return text
  }

  #schedulesOf(name: string): Schedule[] {
    return this.#list(name, [], memberOf(this.#schedules))
  }

  /** The schedules of a class, which may have none if its servers have some. */
  #schedulesFor(name: string, sending: Sending | BotSending): Schedule[] {
    const schedules = this.#schedulesOf(`${name}.schedule`)
    const isEnough = schedules.length > 0 || sending.kind !== 'own' || sending.servers.schedules.length > 0
    this.#expect(isEnough, `${name}.schedule`, 'one, here or for its servers')
    return schedules
  }

  #calendarOf(name: string): Calendar {
    const flat = {
      hours: Array.from({ length: HOURS_OF_DAY }, () => 1),
      days: Array.from({ length: DAYS_OF_WEEK }, () => 1),
    }
    return this.#text(name, '', (text) => (text === '' ? flat : memberOf(this.#calendars)(text)))
  }

  #templates(name: string, fallback: string): Template[] {
    const templates = this.#list(name, [fallback], parseTemplate)
    this.#expect(templates.length > 0, name, 'one at least')
    return templates
  }

  #count(name: string, fallback: number, min = 0, max = MAX_COUNT): number {
    return this.#text(name, String(fallback), (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
      if (!(value >= min && value <= max)) throw new Error(`expected a whole number from ${min} to ${max}`)
      return value
    })
  }

  #share(name: string, fallback: number): number {
    return this.#number(name, fallback, 0, 1)
  }

  #number(name: string, fallback: number, min: number, max: number): number {
    return this.#text(name, String(fallback), (text) => numberIn(text, min, max))
  }

  #interval(name: string, example: string): number {
    const interval = this.#required(name, example, durationIn)
    this.#expect(interval > 0, name, 'more than 0s')
    return interval
  }

  /** A value that the file has to have; `example` is one. */
  #required<T>(name: string, example: string, parse: Parse<T>): T {
    const isMissing = this.#own.isMissing(name) && (this.#below?.isMissing(name) ?? true)
    if (isMissing)
      this.#own.conflict(
        [name.slice(0, name.lastIndexOf('.'))],
        `${name} is missing: expected one like ${example}`,
      )
    return this.#text(name, example, parse)
  }

  #text<T>(name: string, fallback: string, parse: Parse<T>): T {
    const own = this.#own.text(name, fallback, parse)
    const below = this.#below?.text(name, fallback, parse)
    return this.#own.isMissing(name) && below !== undefined ? below : own
  }

  #list<T>(name: string, fallback: readonly string[], parse: Parse<T>): T[] {
    const own = this.#own.list(name, fallback, parse)
    const below = this.#below?.list(name, fallback, parse)
    return this.#own.isMissing(name) && below ? below : own
  }

  /** The first of settings or groups that the file has, else the first that the world below has. */
  #firstSaid(names: readonly string[]): string | undefined {
    const own = names.find((name) => !this.#own.isMissing(name))
    return own ?? names.find((name) => this.#below && !this.#below.isMissing(name))
  }

  #expect(isRight: boolean, name: string, expected: string): void {
    if (isRight) return
    const group = name.slice(0, name.lastIndexOf('.'))
    this.#own.conflict([name, group], `Cannot use ${name}: expected ${expected}`)
  }
}

function numberIn(text: string, min: number, max: number): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new Error(`expected a number from ${min} to ${max}`)
  return value
}

function domainIn(text: string): string {
  if (!isHostName(text)) throw new Error('expected a domain like example.org, in lower case')
  return text
}

function durationIn(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new Error(`expected ${DURATION_FORM}`)
  return milliseconds
}

/** `F,2h,15m` and `G,16h,1h,1.5`, as Exim writes them. */
function eximRuleIn(text: string): EximRule {
  const [, kind, until = '', interval = '', , factor] =
    /^([FG]),\s*(\w+),\s*(\w+)(,\s*(\d+(?:\.\d+)?))?$/.exec(text) ?? []
  if ((kind !== 'F' && kind !== 'G') || (kind === 'G') !== (factor !== undefined))
    throw new Error('expected a rule like F,2h,15m or G,16h,1h,1.5')
  return { kind, until: durationIn(until), interval: durationIn(interval), factor: Number(factor ?? 1) }
}

function blockIn(text: string): Network {
  const network = parseNetwork(text)
  if (network?.address.kind !== 'ipv4' || network.prefix > 24)
    throw new Error('expected an IPv4 network of 24 bits or less, like 198.51.0.0/16')
  return network
}

function choiceOf<T extends string>(choices: readonly T[]): Parse<T> {
  return (text) => {
    const found = choices.find((choice) => choice === text)
    if (found === undefined) throw new Error(`expected ${choices.join(' or ')}`)
    return found
  }
}

function memberOf<T>(members: ReadonlyMap<string, T>): Parse<T> {
  return (text) => {
    const found = members.get(text)
    if (found === undefined) throw new Error(`expected one of ${[...members.keys()].join(', ')}`)
    return found
  }
}
