// Reads the settings under `redis`, which add to the store URL: prefix, logins and TLS. The files that they name are
// read here too, so that a missing or unusable file is a fault of the configuration like any other.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { explained } from '../errors.ts'
import { isDomain } from '../exempt/domains.ts'
import type { StoreSpec } from '../store/open.ts'
import { readPasswordFile } from '../store/redis/login.ts'
import type { RedisLogin, RedisTls } from '../store/redis/settings.ts'
import { readCertificateFile, readKeyFile } from '../store/redis/tls.ts'
import { DEFAULT_PREFIX } from '../store/redis/url.ts'
import type { ConfigReader } from './reader.ts'

/**
 * Allowed prefixes. Braces are a hash tag, which would put all keys of a Cluster into one slot; characters of patterns,
 * and those that are hard to type, are left out as well.
 */
const KEY_PREFIX = /^[\w.:/-]{0,100}$/

/** Reads all settings under `redis` and returns `store` with them; a store elsewhere is returned unchanged. */
export function readRedisSettings(reader: ConfigReader, store: StoreSpec): StoreSpec {
  const redis = store.kind === 'redis' ? store.redis : undefined
  const prefix = reader.text('redis.prefix', DEFAULT_PREFIX, expectPrefix)
  const login = readLogin(reader, 'redis', redis?.login ?? {})
  const tls = readTls(reader)
  const sentinelLogin = readLogin(reader, 'redis.sentinel', {})
  if (!redis) return store
  if (tls && !redis.tls) {
    reader.conflict(
      ['redis.tls.ca', 'redis.tls.cert', 'redis.tls.key', 'redis.tls.server_name'],
      'redis.tls has no effect on a store that is reached without TLS: expected store rediss://…',
    )
  }
  return {
    kind: 'redis',
    redis: { ...redis, prefix, login, sentinelLogin, ...(redis.tls && tls ? { tls } : {}) },
  }
}

/**
 * Returns user name and password. The file may give the password once: in the URL, in a file of its own, or plainly. A
 * password from the environment takes precedence over all of these.
 */
function readLogin(reader: ConfigReader, group: string, inUrl: RedisLogin): RedisLogin {
  const name = `${group}.username`
  const usernames = [inUrl.username ?? '', reader.text(name, '', (text) => text)].filter(
    (text) => text !== '',
  )
  if (usernames.length > 1) {
    reader.conflict([name], `${name} is set, and the store URL names a user too: expected one of them`)
  }
  const password = `${group}.password`
  const plain = reader.secret(password)
  const inFile = reader.text(`${password}_file`, '', readPassword)
  const passwords = [inUrl.password ?? '', plain, inFile?.password ?? ''].filter((text) => text !== '')
  const override = reader.override(password)
  const found = override ?? passwords[0]
  if (passwords.length > 1 && override === undefined) {
    reader.conflict(
      [`${password}_file`, password],
      `${password} is set more than once: expected it in the store URL, as ${password} or in ${password}_file`,
    )
  }
  return {
    ...(usernames[0] === undefined ? {} : { username: usernames[0] }),
    ...(found === undefined ? {} : { password: found }),
    ...(inFile && override === undefined ? { passwordFile: inFile.path } : {}),
  }
}

/** Returns the settings for TLS, or `undefined` when none is set. */
function readTls(reader: ConfigReader): RedisTls | undefined {
  const ca = reader.text('redis.tls.ca', '', (path) => readPem(path, readCertificateFile))
  const cert = reader.text('redis.tls.cert', '', (path) => readPem(path, readCertificateFile))
  const key = reader.text('redis.tls.key', '', (path) => readPem(path, readKeyFile))
  const serverName = reader.text('redis.tls.server_name', '', expectServerName)
  if ((cert === undefined) !== (key === undefined)) {
    reader.conflict(
      ['redis.tls.cert', 'redis.tls.key'],
      'redis.tls.cert and redis.tls.key belong together: expected both or none',
    )
  } else if (cert && key && !new X509Certificate(cert.text).checkPrivateKey(createPrivateKey(key.text))) {
    reader.conflict(['redis.tls.key'], 'redis.tls.key is not the key of the certificate in redis.tls.cert')
  }
  const name = serverName ? { serverName } : {}
  const pair = cert && key ? { cert, key } : {}
  const files = Object.entries({ ...(ca ? { ca } : {}), ...pair })
  if (files.length === 0) return serverName ? name : undefined
  return {
    ...Object.fromEntries(files.map(([setting, { text }]) => [setting, text])),
    files: Object.fromEntries(files.map(([setting, { path }]) => [setting, path])),
    ...name,
  }
}

/** Returns the file with its text, or `undefined` without a path. */
function readPem(
  path: string,
  read: (path: string) => string,
): { readonly path: string; readonly text: string } | undefined {
  return path === '' ? undefined : { path: resolve(path), text: read(path) }
}

function expectPrefix(text: string): string {
  if (!KEY_PREFIX.test(text)) throw new Error('expected at most 100 letters, digits and . _ : / -')
  return text
}

function expectServerName(text: string): string {
  if (text !== '' && !isDomain(text)) throw new Error('expected a host name')
  return text
}

/** Returns the file with its password, or `undefined` without a path. Throws when there is no password in it. */
function readPassword(path: string): { readonly path: string; readonly password: string } | undefined {
  if (path === '') return undefined
  const password = explained('expected a file that can be read', () => readPasswordFile(path))
  if (password === '') throw new Error('expected a file with the password as its first line')
  return { path: resolve(path), password }
}
