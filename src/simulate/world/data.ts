// What a world consists of, as its file says it. read.ts reads the file, population.ts makes the world.

import type { Network } from '../../ip.ts'
import type { Calendar } from '../calendar.ts'
import type { Schedule } from '../schedule.ts'
import type { Template } from './template.ts'

/** A world. Numbers of organisations, machines and messages hold for the number of recipients that the file names. */
export interface WorldData {
  readonly recipients: number
  readonly days: number
  /** The recipients' domain. */
  readonly domain: string
  /** The power of the number of recipients with which the number of organisations and machines grows. */
  readonly growth: number
  /** Spams that each recipient gets in a day. */
  readonly spam: number
  /** A factor for every share of SPF records. */
  readonly spf: number
  readonly carriers: ReadonlyMap<string, CarrierData>
  readonly senders: ReadonlyMap<string, SenderData>
  readonly bots: ReadonlyMap<string, BotData>
}

/** From where a retry comes: the same machine, another one of its network, or any machine of the pool. */
export const RETRY_FROM = ['host', 'network', 'pool'] as const
export type RetryFrom = (typeof RETRY_FROM)[number]

/** Machines that send mail together. */
export interface ServersData {
  /** Number of networks (IPv4 /24, IPv6 /64). */
  readonly networks: number
  /** Number of hosts in each network. */
  readonly hosts: number
  /** Where the networks lie; none for anywhere. */
  readonly blocks: readonly Network[]
  /** Part of the attempts that come over IPv6. */
  readonly ipv6: number
  /** Host names; each pool draws one of them. */
  readonly names: readonly Template[]
  /** What hosts say in HELO; each pool draws one of them. None if they say their names. */
  readonly helos: readonly Template[]
  /** Part of the hosts whose name is confirmed. */
  readonly named: number
  readonly retryFrom: RetryFrom
  /** Each pool draws one of them. */
  readonly schedules: readonly Schedule[]
}

/** Servers that hand on mail of many organisations. */
export interface CarrierData {
  readonly servers: ServersData
  /** Number of carriers of this kind. */
  readonly copies: number
  /** The name of the SPF record that customers include; absent if there is none. */
  readonly spf: Template | undefined
  /** The domain of the carrier's own, for bounces that are made under it. */
  readonly domain: Template
}

/**
 * What an organisation sends:
 * - `people`: letters of people to people, with conversations;
 * - `notices`: single messages of a program;
 * - `codes`: the same, worth nothing after a deadline;
 * - `campaigns`: one message to many recipients;
 * - `posts`: the same, at all hours, by a list that recipients write to;
 * - `forwards`: mail of others;
 * - `bounces`: delivery reports;
 * - `callouts`: questions whether a recipient exists, which end after RCPT.
 */
export const MAIL_KINDS = [
  'people',
  'notices',
  'codes',
  'campaigns',
  'posts',
  'forwards',
  'bounces',
  'callouts',
] as const
export type MailKind = (typeof MAIL_KINDS)[number]

/** Who sends for an organisation: a carrier's servers, one machine of its own at a carrier, or servers of its own. */
export type Sending =
  | { readonly kind: 'carrier' | 'machine'; readonly carrier: string }
  | { readonly kind: 'own'; readonly servers: ServersData }

/** A class of organisations that send wanted mail. */
export interface SenderData {
  readonly organisations: number
  /** The domains of the organisations, in the place of made-up ones. */
  readonly domains: readonly string[]
  readonly mail: MailKind
  /** Messages, or campaigns, or posts, of an organisation in a week, on average. */
  readonly weekly: number
  /** The standard deviation of the logarithm of that among organisations. */
  readonly spread: number
  /** Recipients of a campaign or a post, on average. */
  readonly readers: number
  /** Part of the letters in a conversation that has begun before. */
  readonly repeats: number
  readonly sending: Sending
  /** In the place of those of the servers; each organisation draws one. */
  readonly schedules: readonly Schedule[]
  /** Part of the organisations whose SPF record names the servers. */
  readonly spf: number
  /** Other carriers that such a record includes, on average. */
  readonly includes: number
  /** Part of the organisations whose servers' host names have an SPF record, by which bounces are judged. */
  readonly heloSpf: number
  /** Envelope senders; each organisation draws one. */
  readonly from: readonly Template[]
  /** The age at which a message is worth nothing, in milliseconds; absent if there is none. */
  readonly deadline: number | undefined
  readonly calendar: Calendar
}

/** What the SPF record of a spammer's domain says: the addresses, or the name of a record that has them. */
export const BOT_RECORDS = ['addresses', 'include'] as const
export type BotRecord = (typeof BOT_RECORDS)[number]

/** Who sends a spam: machines of the bots, machines at a carrier, or the servers of organisations that were broken into. */
export type BotSending =
  | { readonly kind: 'machine'; readonly carrier: string; readonly machines: number }
  | { readonly kind: 'own'; readonly servers: ServersData; readonly copies: number }
  | { readonly kind: 'hacked'; readonly classes: readonly string[]; readonly organisations: number }

/**
 * The envelope sender's domain: nobody's, that of an organisation which did not send the mail, one of the spammer's own
 * whose SPF record names the machines, or the domain of the organisation that was broken into.
 */
export const BOT_DOMAINS = ['made-up', 'forged', 'own', 'victim'] as const
export type BotDomain = (typeof BOT_DOMAINS)[number]

/**
 * When a bot takes another sender: never in one burst, or never where it writes each day; with each spam; or with each
 * attempt.
 */
export const SENDER_CHANGES = ['never', 'spam', 'attempt'] as const
export type SenderChange = (typeof SENDER_CHANGES)[number]

/** A class of bots. */
export interface BotData {
  /** Part of all spam; the parts are weights. */
  readonly share: number
  /** Whether greylisting can stop it; false for what retries as a mail server does. */
  readonly isStoppable: boolean
  readonly sending: BotSending
  readonly domain: BotDomain
  /** How long an own domain is in use, in milliseconds; absent for ever. */
  readonly domainLife: number | undefined
  /** What the record of an own domain says. */
  readonly record: BotRecord
  readonly from: readonly Template[]
  /** Spams that a machine sends in one go, on average. */
  readonly burst: number
  /** Whether the same machine writes to the same recipient each day. */
  readonly isDaily: boolean
  readonly changesSender: SenderChange
  /** In the place of those of the servers or the organisation. */
  readonly schedules: readonly Schedule[]
  readonly calendar: Calendar
}
