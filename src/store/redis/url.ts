// Reads and formats the URLs by which the setting `store` names a Redis. A URL says where Redis is and who logs in; the
// other settings, under `redis`, are read by config/redis.ts.

import { isIPv6 } from 'node:net'
import { bareHost, bracketedHost } from '../../ip.ts'
import type { RedisLogin, RedisServers, RedisSettings, ServerAddress } from './settings.ts'

/** The forms of the URL, for messages. */
export const REDIS_FORMS =
  'redis://HOST:PORT/DB, redis+unix:///PATH?db=0, redis+sentinel://HOST:PORT,…/NAME?db=0 or redis+cluster://HOST:PORT,…, ' +
  'with rediss for TLS and user:password@ where needed'

/** The prefix of keys where the operator has set none. */
export const DEFAULT_PREFIX = 'greymx:'

const REDIS_PORT = 6379
const SENTINEL_PORT = 26_379

const URL_PARTS =
  /^redis(?<tls>s?)(?:\+(?<kind>unix|sentinel|cluster))?:\/\/(?:(?<login>[^@/?]*)@)?(?<hosts>[^@/?]*)(?<path>\/[^?]*)?(?:\?db=(?<db>\d+))?$/

const MAX_DATABASE_DIGITS = 5
const HOST = /^[\w.-]+$/
/** The characters that Sentinel allows in the name of a master. */
const MASTER_NAME = /^[\w.-]+$/

/** The settings that `text` holds; `undefined` when it has none of `REDIS_FORMS`. */
export function parseRedisUrl(text: string): RedisSettings | undefined {
  const parts = URL_PARTS.exec(text)?.groups
  const login = parts && parseLogin(parts.login ?? '')
  const located = parts && locate(parts.kind, parts.hosts ?? '', parts.path ?? '/', parts.db)
  if (!parts || !login || !located || located.digits.length > MAX_DATABASE_DIGITS) return undefined
  if (parts.tls && parts.kind === 'unix') return undefined
  const { servers, digits } = located
  return {
    servers,
    database: Number(digits),
    prefix: DEFAULT_PREFIX,
    login,
    sentinelLogin: {},
    ...(parts.tls ? { tls: {} } : {}),
  }
}

/** The URL as it may be shown: without user name and password. */
export function formatRedisUrl({ servers, database, tls }: RedisSettings): string {
  const scheme = tls ? 'rediss' : 'redis'
  switch (servers.kind) {
    case 'tcp':
      return `${scheme}://${formatAddress(servers.address)}/${database}`
    case 'unix':
      return `redis+unix://${servers.path}?db=${database}`
    case 'sentinel':
      return `${scheme}+sentinel://${servers.sentinels.map(formatAddress).join()}/${servers.master}?db=${database}`
    case 'cluster':
      return `${scheme}+cluster://${servers.nodes.map(formatAddress).join()}`
  }
}

/** The servers, and the number of the database as it is written. */
function locate(
  kind: string | undefined,
  hosts: string,
  path: string,
  db: string | undefined,
): { servers: RedisServers; digits: string } | undefined {
  const name = path.slice(1)
  switch (kind) {
    case undefined: {
      const [address, ...more] = parseAddresses(hosts, REDIS_PORT) ?? []
      const isOne = address !== undefined && more.length === 0 && db === undefined
      return isOne && /^\d*$/.test(name)
        ? { servers: { kind: 'tcp', address }, digits: name || '0' }
        : undefined
    }
    case 'unix': {
      const decoded = decode(path)
      if (hosts !== '' || name === '' || decoded === undefined) return undefined
      return { servers: { kind: 'unix', path: decoded }, digits: db ?? '0' }
    }
    case 'sentinel': {
      const sentinels = parseAddresses(hosts, SENTINEL_PORT)
      if (!sentinels || !MASTER_NAME.test(name)) return undefined
      return { servers: { kind: 'sentinel', sentinels, master: name }, digits: db ?? '0' }
    }
    default: {
      const nodes = parseAddresses(hosts, REDIS_PORT)
      const hasOneDatabase = /^0?$/.test(name) && Number(db ?? 0) === 0
      return nodes && hasOneDatabase ? { servers: { kind: 'cluster', nodes }, digits: '0' } : undefined
    }
  }
}

function parseAddresses(text: string, defaultPort: number): ServerAddress[] | undefined {
  const addresses = text.split(',').flatMap((part) => {
    const [, host, digits = `${defaultPort}`] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(part) ?? []
    if (host === undefined || !(HOST.test(host) || (host.startsWith('[') && isIPv6(bareHost(host)))))
      return []
    const port = Number(digits)
    return port >= 1 && port <= 65_535 ? [{ host: bareHost(host), port }] : []
  })
  return addresses.length === text.split(',').length ? addresses : undefined
}

function parseLogin(text: string): RedisLogin | undefined {
  const colon = text.indexOf(':')
  const [name, word] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  const [username, password] = [decode(name), decode(word)]
  if (username === undefined || password === undefined) return undefined
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
}

function formatAddress({ host, port }: ServerAddress): string {
  return `${bracketedHost(host)}:${port}`
}

/** The percent-decoded text; `undefined` where the encoding is malformed. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
