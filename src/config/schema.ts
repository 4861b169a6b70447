// Defines every setting: its name, default and bounds. Its meaning to the operator is in milter.yaml, which a test
// holds to these defaults; how a value is found and faults are shown is left to reader.ts.

import { readFileSync } from 'node:fs'
import { isIP, isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import type { AdminAddress, AdminSettings, PageBase } from '../admin/settings.ts'
import { readTokens } from '../admin/tokens.ts'
import type { DnsSettings } from '../dns.ts'
import type { MilterSettings } from '../doors/milter.ts'
import { parseReplyTemplate, type ReplyTemplate } from '../doors/reply.ts'
import { explained, fileProblemOf } from '../errors.ts'
import { type AddressRule, parseAddressRule } from '../exempt/addresses.ts'
import { type ClientRule, parseClientRule } from '../exempt/clients.ts'
import { type DnsList, parseDnsList } from '../exempt/dnsfilter.ts'
import type { ExemptSettings, GreylistedRecipients } from '../exempt/exempt.ts'
import type { ListFiles } from '../exempt/lists.ts'
import { parseTlsClientRule, type TlsClientRule } from '../exempt/tlsclients.ts'
import type { AutoWhitelistSettings } from '../greylist/auto-whitelist.ts'
import type { Times } from '../greylist/decide.ts'
import type { CreditSettings } from '../greylist/first-mail.ts'
import type { GreylistSettings } from '../greylist/greylister.ts'
import type { InvestigateSettings } from '../greylist/investigate.ts'
import { MAX_KEYS, MIN_KEY, type PrivacyKey } from '../greylist/privacy.ts'
import type { IdentitySettings } from '../identity/identity.ts'
import { ADDRESS_BITS, bareHost, type Network, parseNetwork } from '../ip.ts'
import { LOG_LEVELS, type LogSettings } from '../log/log.ts'
import type { SessionLimits } from '../milter/limits.ts'
import { NAT64_PREFIXES } from '../ranges.ts'
import type { ConnectionLimits } from '../sockets/limits.ts'
import { formatSocketSpec, parseSocketSpec, SOCKET_SPEC_FORMS, type SocketSpec } from '../sockets/spec.ts'
import {
  formatStoreSpec,
  LOCAL_STORE_FORMS,
  type LocalStoreSpec,
  parseLocalStoreSpec,
  parseStoreSpec,
  STORE_FORMS,
  type StoreSpec,
} from '../store/open.ts'
import { DURATION_FORM, formatDuration, parseDuration } from './duration.ts'
import type { ConfigReader } from './reader.ts'
import { readRedisSettings } from './redis.ts'
import { formatSize, parseSize, SIZE_FORM } from './size.ts'

/** The text of a setting, or of each item of a list, by its name. */
export type SettingTexts = ReadonlyMap<string, string | readonly string[]>

/** All settings, each group in the form in which the part that needs it states it. */
export interface Config extends AdminSettings {
  readonly listen: readonly SocketSpec[]
  /** Sockets for Postfix's policy protocol; none by default. */
  readonly listenPolicy: readonly SocketSpec[]
  /** Sockets for Exim; none by default. */
  readonly listenExim: readonly SocketSpec[]
  readonly socketMode: number
  readonly store: StoreSpec
  /** Longest time for one operation of the store, in milliseconds. */
  readonly storeTimeout: number
  /** The local store, which decides while the store is away, with `on_store_error: local`. */
  readonly local: LocalSettings
  readonly mode: 'enforce' | 'observe'
  readonly greylist: GreylistSettings
  readonly identity: IdentitySettings
  readonly exempt: ExemptSettings
  readonly listFiles: ListFiles
  readonly investigate: InvestigateSettings
  readonly dns: DnsSettings
  /** DNS lists of clients that are trusted. */
  readonly dnswl: readonly DnsList[]
  /** If not empty, only clients on one of these DNS lists are greylisted. */
  readonly onlyIfListed: readonly DnsList[]
  readonly milter: MilterSettings
  /** The text of a deferral. */
  readonly reply: ReplyTemplate
  readonly limits: ConnectionLimits & SessionLimits
  readonly log: LogSettings
  /** All settings by name in their text, without passwords, so that those of two hosts can be compared. */
  readonly texts: SettingTexts
}

export interface LocalSettings {
  readonly store: LocalStoreSpec
  /** Largest number of entries. */
  readonly entries: number
}

const KIB = 1024
const MIB = 1024 * KIB
const DAY = 86_400_000
const YEAR = 366 * 86_400_000

/** Returns all settings that `reader` has. When the reader has faults afterwards, the result must not be used. */
export function readConfig(reader: ConfigReader): Config {
  const listen = reader.list(
    'listen',
    ['inet:10891@127.0.0.1'],
    expecting(parseSocketSpec, SOCKET_SPEC_FORMS),
  )
  if (listen.length === 0) {
    reader.conflict(['listen'], `Cannot read listen: expected at least one of ${SOCKET_SPEC_FORMS}`)
  }
  const listenPolicy = reader.list('listen_policy', [], expecting(parseSocketSpec, SOCKET_SPEC_FORMS))
  const listenExim = reader.list('listen_exim', [], expecting(parseSocketSpec, SOCKET_SPEC_FORMS))
  const socketMode = reader.text('socket_mode', '0660', expectMode)
  const store = readRedisSettings(
    reader,
    reader.text('store', 'lmdb:./state', expecting(parseStoreSpec, STORE_FORMS)),
  )
  const storeTimeout = duration(reader, 'store_timeout', '250ms', 1, 60_000)
  const onStoreError = reader.choice('on_store_error', 'accept', ['accept', 'tempfail', 'local'])
  const onStoreFull = reader.choice('on_store_full', 'local', ['accept', 'tempfail', 'local'])
  const local = {
    store: reader.text('local_store', 'memory:', expecting(parseLocalStoreSpec, LOCAL_STORE_FORMS)),
    entries: reader.integer('local_entries', 100_000, 1000, 10_000_000),
  }
  if (
    onStoreError === 'local' &&
    formatStoreSpec(local.store) === formatStoreSpec(store) &&
    store.kind === 'lmdb'
  ) {
    reader.conflict(
      ['local_store', 'store'],
      'local_store and store are the same directory: expected a directory of its own for each',
    )
  }
  const privacy = readPrivacy(reader)
  const mode = reader.choice('greylist.mode', 'enforce', ['enforce', 'observe'])
  const times = readTimes(reader)
  const keyParts = reader.list('greylist.key', ['client', 'sender', 'recipient'], expectKeyPart)
  const judgeAt = keyParts.includes('recipient') ? 'rcpt' : 'mail'
  if (keyParts.join() !== 'client,sender,recipient' && keyParts.join() !== 'client,sender') {
    reader.conflict(
      ['greylist.key'],
      'Cannot read greylist.key: expected [client, sender, recipient] or [client, sender]',
    )
  }
  const client = {
    spfDomain: reader.boolean('greylist.client.spf_domain', true),
    hostDomain: reader.boolean('greylist.client.host_domain', true),
    ipv4Prefix: reader.integer('greylist.client.ipv4_prefix', 24, 1, ADDRESS_BITS.ipv4),
    ipv6Prefix: reader.integer('greylist.client.ipv6_prefix', 64, 1, ADDRESS_BITS.ipv6),
  }
  const nat64Prefixes = reader.list('greylist.client.nat64_prefixes', ['64:ff9b::/96'], expectNat64Prefix)
  const normalizeSender = reader.boolean('greylist.normalize_sender', true)
  const nullSenderAt = reader.choice('greylist.null_sender_at', 'data', ['rcpt', 'data'])
  const probeSenders = reader.list<AddressRule>(
    'greylist.probe_senders',
    ['double-bounce@', 'postmaster@'],
    parseAddressRule,
  )
  const autoWhitelist = readAutoWhitelist(reader)
  const maxDeferrals = reader.integer('greylist.max_deferrals', 4, 0, 1_000_000)
  const maxPending = reader.integer('greylist.max_pending', 10_000, 10, 1_000_000)
  const credit = readCredit(reader)
  const learnReplies = readLearnReplies(reader)
  const exempt = {
    authenticated: reader.boolean('exempt.authenticated', true),
    tlsClients: reader.list<TlsClientRule>('exempt.tls_clients', [], parseTlsClientRule),
    clients: reader.list<ClientRule>('exempt.clients', ['127.0.0.0/8', '::1/128'], parseClientRule),
    senders: reader.list<AddressRule>('exempt.senders', [], parseAddressRule),
    recipients: reader.list<AddressRule>('exempt.recipients', ['postmaster@', 'abuse@'], parseAddressRule),
    trustedRelays: reader.list<ClientRule>('trusted_relays', [], parseClientRule),
    greylisted: readGreylisted(reader),
  }
  const listFiles = {
    clients: reader.list('exempt.client_files', [], expectPath),
    senders: reader.list('exempt.sender_files', [], expectPath),
    recipients: reader.list('exempt.recipient_files', [], expectPath),
  }
  const exemptSpf = reader.boolean('exempt.spf', false)
  const dnswl = reader.list('dnswl', [], (text) => parseDnsList(text, 'trusted'))
  const onlyIfListed = reader.list('only_if_listed', [], (text) => parseDnsList(text, 'blocked'))
  const onlyIf = reader.choice('only_if', 'all', ['all', 'suspicious'])
  const servers = reader.list('dns_servers', [], expectDnsServer)
  const reply = reader.text(
    'reply',
    '451 4.7.1 Greylisted, please try again later ({ref})',
    parseReplyTemplate,
  )
  const header = reader.boolean('header', true)
  const limits = readLimits(reader)
  const log = {
    level: reader.choice('log.level', 'info', LOG_LEVELS),
    format: reader.choice('log.format', 'text', ['text', 'json']),
  }
  const admin = reader.text('admin', '127.0.0.1:10892', expectAdmin)
  const adminSocket = readAdminSocket(reader)
  expectDistinctSockets(reader, adminSocket, {
    listen,
    listen_policy: listenPolicy,
    listen_exim: listenExim,
  })
  const adminTokens = reader.text('admin_tokens', '', expectTokens)
  const adminPage = reader.choice('admin_page', 'loopback', ['loopback', 'token', 'false'])
  const adminBase = reader.text('admin_base', '/', expectBase)
  reader.unknownKeys()
  const asksSpf = client.spfDomain || exemptSpf || onlyIf === 'suspicious'
  return {
    listen,
    listenPolicy,
    listenExim,
    socketMode,
    store,
    storeTimeout,
    local,
    mode,
    greylist: {
      times,
      widensBySpf: client.spfDomain,
      prefixes: { ipv4: client.ipv4Prefix, ipv6: client.ipv6Prefix },
      normalizeSender,
      ...(privacy ? { privacy } : {}),
      ...(autoWhitelist ? { autoWhitelist } : {}),
      maxDeferrals,
      maxPending,
      ...(credit ? { credit } : {}),
      ...(learnReplies === undefined ? {} : { learnReplies }),
      onStoreError,
      onStoreFull,
    },
    identity: { ...client, asksSpf },
    exempt,
    listFiles,
    investigate: { exemptSpf, onlyIf },
    dns: { servers },
    dnswl,
    onlyIfListed,
    milter: {
      judgeAt,
      nullSenderAt,
      probeSenders,
      nat64Prefixes,
      needsHelo: asksSpf,
      needsCertificate: exempt.tlsClients.length > 0,
      header: header && mode === 'enforce',
    },
    reply,
    limits,
    log,
    ...(admin ? { admin } : {}),
    ...(adminPage === 'false' ? {} : { adminPage: { readers: adminPage, base: adminBase } }),
    texts: new Map(
      reader.settings.map(({ name, value }) => [name, name === 'store' ? formatStoreSpec(store) : value]),
    ),
    ...(adminSocket === undefined ? {} : { adminSocket }),
    ...(adminTokens === undefined ? {} : { adminTokens }),
  }
}

/** Returns the path of the socket for commands; `undefined` if there is none. */
export function readAdminSocket(reader: ConfigReader): string | undefined {
  return reader.text('admin_socket', './admin.sock', expectAdminSocket)
}

/** Reports settings that have the same socket. Port 0 is any free port, so that it may be there twice. */
function expectDistinctSockets(
  reader: ConfigReader,
  adminSocket: string | undefined,
  doors: Readonly<Record<string, readonly SocketSpec[]>>,
): void {
  const holders = new Map<string, string>()
  if (adminSocket !== undefined) holders.set(`unix:${resolve(adminSocket)}`, 'admin_socket')
  for (const [name, sockets] of Object.entries(doors)) {
    const texts = sockets.filter((spec) => spec.kind === 'unix' || spec.port !== 0).map(formatSocketSpec)
    const holder = texts.map((text) => holders.get(text)).find((found) => found !== undefined)
    if (holder !== undefined) {
      const what = holder === 'admin_socket' ? 'path' : 'socket'
      const message = `${holder} and ${name} have the same ${what}: expected a ${what} of its own for each`
      reader.conflict([holder, name], message)
    }
    for (const text of texts) holders.set(text, name)
  }
}

/** The keys by which addresses are hashed in the store; `undefined` if they are stored as they are. */
function readPrivacy(reader: ConfigReader): readonly PrivacyKey[] | undefined {
  const privacy = reader.choice('privacy', 'none', ['none', 'hmac'])
  let isGiven = false
  const keys = reader.text('privacy_keys', '', (file) => {
    isGiven ||= file !== ''
    return expectPrivacyKeys(file)
  })
  if (privacy === 'hmac' && !isGiven)
    reader.conflict(['privacy'], 'privacy is hmac without keys: expected privacy_keys: FILE')
  return privacy === 'hmac' ? keys : undefined
}

function readGreylisted(reader: ConfigReader): GreylistedRecipients | 'store' {
  if (!reader.isGroup('recipients'))
    return reader.choice('recipients', 'all', ['all', 'store']) === 'store' ? 'store' : { except: [] }
  const except = reader.list<AddressRule>('recipients.except', [], parseAddressRule)
  const only = reader.list<AddressRule>('recipients.only', [], parseAddressRule)
  return only.length > 0 ? { only, except } : { except }
}

/** Reads the auto-whitelist, which is a group of settings, or false. */
function readAutoWhitelist(reader: ConfigReader): AutoWhitelistSettings | undefined {
  const isOn = reader.isGroup('greylist.auto_whitelist') || reader.isMissing('greylist.auto_whitelist')
  if (!isOn) {
    readFalse(reader, 'greylist.auto_whitelist')
    return undefined
  }
  return {
    after: reader.integer('greylist.auto_whitelist.after', 1, 1, 1_000_000),
    spacing: duration(reader, 'greylist.auto_whitelist.spacing', '1h', 1, YEAR),
    lifetime: duration(reader, 'greylist.auto_whitelist.lifetime', '36d', 1, 10 * YEAR),
  }
}

/** Reads a setting that is no group, and so has to be false. */
function readFalse(reader: ConfigReader, name: string): void {
  reader.text(name, 'false', (text) => {
    if (text !== 'false') throw new Error('expected settings below it, or false')
  })
}

/** Reads the credit, which is a group of settings, or false. */
function readCredit(reader: ConfigReader): CreditSettings | undefined {
  if (!reader.isGroup('greylist.credit')) {
    readFalse(reader, 'greylist.credit')
    return undefined
  }
  return {
    messages: reader.integer('greylist.credit.messages', 2, 1, 1000),
    perNetwork: reader.integer('greylist.credit.per_network', 2, 1, 1000),
  }
}

/** How long it is kept to whom users write, in milliseconds; `undefined` for false. */
function readLearnReplies(reader: ConfigReader): number | undefined {
  return reader.text('greylist.learn_replies', 'false', (text) => {
    if (text === 'false') return undefined
    const milliseconds = parseDuration(text)
    if (milliseconds === undefined || milliseconds < 1 || milliseconds > 10 * YEAR)
      throw new Error(`expected false, or ${DURATION_FORM}`)
    return milliseconds
  })
}

function readTimes(reader: ConfigReader): Times {
  const delay = duration(reader, 'greylist.delay', '3m', 1, YEAR)
  const retryWindow = duration(reader, 'greylist.retry_window', '20h', 1, YEAR)
  const lifetime = duration(reader, 'greylist.lifetime', '36d', 1, 10 * YEAR)
  if (delay >= retryWindow) {
    reader.conflict(
      ['greylist.delay', 'greylist.retry_window'],
      `greylist.delay ${formatDuration(delay)} is not below greylist.retry_window ${formatDuration(retryWindow)}: ` +
        'expected a retry window that is longer than the delay, as no retry would pass otherwise',
    )
  }
  return { delay, retryWindow, lifetime }
}

/**
 * Reads the limits. Their bounds keep each above what an MTA that behaves needs; `ConnectionLimits` and
 * `SessionLimits` have the reasons for the defaults.
 */
function readLimits(reader: ConfigReader): ConnectionLimits & SessionLimits {
  return {
    connections: reader.integer('limits.connections', 10_000, 10, 1_000_000),
    memory: size(reader, 'limits.memory', '64MiB', MIB, 1024 * 1024 * MIB),
    frame: size(reader, 'limits.frame', '1MiB', 64 * KIB, 64 * MIB),
    macros: reader.integer('limits.macros', 500, 50, 100_000),
    recipients: reader.integer('limits.recipients', 10_000, 100, 1_000_000),
    stall: duration(reader, 'limits.stall', '5m', 1000, DAY),
    idle: duration(reader, 'limits.idle', '2h', 1000, 30 * DAY),
    idleInTransaction: duration(reader, 'limits.idle_in_transaction', '12h', 1000, 30 * DAY),
  }
}

function size(reader: ConfigReader, name: string, fallback: string, min: number, max: number): number {
  return reader.text(name, fallback, (text) => {
    const bytes = expecting(parseSize, SIZE_FORM)(text)
    if (bytes < min || bytes > max) throw new Error(`expected ${formatSize(min)} to ${formatSize(max)}`)
    return bytes
  })
}

function duration(reader: ConfigReader, name: string, fallback: string, min: number, max: number): number {
  return reader.text(name, fallback, (text) => {
    const milliseconds = expecting(parseDuration, DURATION_FORM)(text)
    if (milliseconds < min || milliseconds > max) {
      throw new Error(`expected ${formatDuration(min)} to ${formatDuration(max)}`)
    }
    return milliseconds
  })
}

/** Returns `parse` as a function that throws an error with the expected `forms` instead of returning `undefined`. */
function expecting<T>(parse: (text: string) => T | undefined, forms: string): (text: string) => T {
  return (text) => {
    const value = parse(text)
    if (value === undefined) throw new Error(`expected ${forms}`)
    return value
  }
}

function expectKeyPart(text: string): string {
  if (!['client', 'sender', 'recipient'].includes(text))
    throw new Error('expected client, sender or recipient')
  return text
}

function expectPath(text: string): string {
  if (text === '') throw new Error('expected the path of a file')
  return text
}

function expectNat64Prefix(text: string): Network {
  const network = parseNetwork(text)
  if (network?.address.kind !== 'ipv6' || !NAT64_PREFIXES.includes(network.prefix)) {
    throw new Error(
      `expected an IPv6 network with a prefix of ${NAT64_PREFIXES.join(', ')} bits, like 64:ff9b::/96`,
    )
  }
  return network
}

/** Returns a server's address in the form that `setServers` of node:dns takes. */
function expectDnsServer(text: string): string {
  const [, host = '', port] =
    /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(isIPv6(text) ? `[${text}]` : text) ?? []
  if (isIP(bareHost(host)) === 0 || Number(port ?? 1) < 1 || Number(port ?? 1) > 65_535) {
    throw new Error('expected IP or IP:PORT, with [IP]:PORT for IPv6')
  }
  return text
}

function expectMode(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw new Error('expected octal permissions like "0660"')
  return Number.parseInt(text, 8)
}

function expectAdmin(text: string): AdminAddress | undefined {
  if (text === 'false') return undefined
  const [, host, digits] = /^(\[[^\]]+\]|[^:\s]+):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (host === undefined || port > 65535) throw new Error('expected HOST:PORT like 127.0.0.1:10892, or false')
  return { host: bareHost(host), port }
}

/** Where a reverse proxy offers the page: a path, or a whole URL. */
function expectBase(text: string): PageBase {
  const isUrl = /^https?:\/\//.test(text)
  const url = URL.canParse(text, 'http://localhost') ? new URL(text, 'http://localhost') : undefined
  const path = url?.pathname.replace(/\/+$/, '') ?? ''
  const isPlain = /^(\/[\w.~-]+)*$/.test(path) && url?.search === '' && url.hash === '' && url.username === ''
  if (!url || !isPlain || !(isUrl || /^\/(?!\/)/.test(text)))
    throw new Error('expected a path like /greymx, or a URL like https://mx.example.org/greymx')
  return { path, isHttps: isUrl && url.protocol === 'https:', ...(isUrl ? { host: url.host } : {}) }
}

/** Longest path of a unix socket, in bytes (unix(7), sun_path without its final NUL). */
const MAX_SOCKET_PATH = 107

function expectAdminSocket(text: string): string | undefined {
  if (text === 'false') return undefined
  const path = text.replace(/^unix:(?=\/)/, '')
  if (path === '' || path.endsWith('/') || /^\w+:/.test(path))
    throw new Error('expected the path of a unix socket like ./admin.sock or unix:/PATH, or false')
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new Error(`expected a path of ${MAX_SOCKET_PATH} bytes at most, as the kernel takes no longer one`)
  return path
}

/** Returns the keys in the file, a line each. */
function expectPrivacyKeys(file: string): PrivacyKey[] {
  if (file === '') return []
  return explained('expected a file of one key, or of two where the second is the former one or none', () => {
    const lines = textOf(file).split('\n')
    const keys = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
    const [current, former] = keys
    if (current === undefined) throw new Error('there is no key in it')
    if (keys.length > MAX_KEYS) throw new Error(`there are ${keys.length} keys in it`)
    if (current === 'none') throw new Error('the first key is none')
    for (const [index, key] of keys.entries())
      if (key.length < MIN_KEY && key !== 'none')
        throw new Error(
          `key ${index + 1} has ${key.length} characters: expected ${MIN_KEY} or more, as of openssl rand -hex 32`,
        )
    if (current === former) throw new Error('both keys are the same')
    return keys
  })
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(fileProblemOf(error), { cause: error })
  }
}

/** Returns the path of a file of tokens that can be read, or `undefined` without one. */
function expectTokens(text: string): string | undefined {
  if (text === '') return undefined
  explained('expected a file of lines NAME TOKEN', () => readTokens(text))
  return resolve(text)
}
