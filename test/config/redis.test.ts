// Tests of the settings under `redis`: what they add to a store URL, the files that they name, and every kind of fault.
// No fault shows a password.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { parseConfig } from '../../src/config/load.ts'
import { makeCertificates } from '../support/certificates.ts'
import { scratch } from '../support/scratch.ts'

const dir = await scratch({ after })
const { authority, server, folder } = await makeCertificates(dir)
const passwordFile = join(dir, 'password')
await writeFile(passwordFile, 's3cret in a file\nanything else\n')

function faultsOf(text: string, environment = {}): readonly string[] {
  const loaded = parseConfig('milter.yaml', text, environment)
  return loaded.kind === 'faults' ? loaded.faults : []
}

function redisOf(text: string, environment = {}) {
  const loaded = parseConfig('milter.yaml', text, environment)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  const { store } = loaded.config
  assert.ok(store.kind === 'redis')
  return store.redis
}

test('user and password stand in the URL or beside it, the password in a file too', () => {
  const store = 'store: redis://h\n'
  const cases: Array<[text: string, username: string | undefined, password: string | undefined]> = [
    [store, undefined, undefined],
    ['store: redis://u:p@h', 'u', 'p'],
    [`${store}redis: { username: u, password: "p w:@/" }`, 'u', 'p w:@/'],
    [`${store}redis: { password: 007 }`, undefined, '007'],
    [`store: redis://u@h\nredis: { password_file: ${passwordFile} }`, 'u', 's3cret in a file'],
  ]
  for (const [text, username, password] of cases) {
    const { login } = redisOf(text)
    assert.deepEqual([login.username, login.password], [username, password], text)
  }
  const { sentinelLogin } = redisOf(`${store}redis: { sentinel: { password_file: ${passwordFile} } }`)
  assert.deepEqual(sentinelLogin, { password: 's3cret in a file', passwordFile })
})

test('a password in the environment goes before any other', () => {
  const environment = { GREYMX_REDIS_PASSWORD: 'env', GREYMX_REDIS_SENTINEL_PASSWORD: 'other' }
  for (const text of [
    'store: redis://h',
    'store: redis://:p@h',
    'store: redis://h\nredis: { password: p, sentinel: { password: q } }',
    `store: redis://h\nredis: { password_file: ${passwordFile} }`,
    `store: redis://:p@h\nredis: { password_file: ${passwordFile} }`,
  ]) {
    const { login, sentinelLogin } = redisOf(text, environment)
    assert.deepEqual([login.password, sentinelLogin.password], ['env', 'other'], text)
  }
  assert.equal(redisOf('store: redis://:p@h', { GREYMX_REDIS_PASSWORD: '' }).login.password, 'p')
})

test('TLS is what rediss asks for, and files add to it', () => {
  assert.equal(redisOf('store: redis://h').tls, undefined)
  assert.deepEqual(redisOf('store: rediss+cluster://h').tls, {})
  const { tls } = redisOf(
    `store: rediss://h\nredis: { tls: { ca: ${authority}, cert: ${server.cert}, key: ${server.key}, server_name: redis.example.org } }`,
  )
  assert.match(tls?.ca ?? '', /^-----BEGIN CERTIFICATE-----\n/)
  assert.match(tls?.cert ?? '', /^-----BEGIN CERTIFICATE-----\n/)
  assert.match(tls?.key ?? '', /^-----BEGIN PRIVATE KEY-----\n/)
  assert.equal(tls?.serverName, 'redis.example.org')
  assert.deepEqual(tls?.files, { ca: authority, cert: server.cert, key: server.key })
})

test('the settings may stay while the store is another', () => {
  assert.deepEqual(faultsOf(`store: "memory:"\nredis: { username: u, tls: { ca: ${authority} } }`), [])
})

test('each fault is told with its place and what is expected', async () => {
  const empty = join(dir, 'empty')
  await writeFile(empty, '\nsecond line')
  const stranger = join(folder, 'stranger.client.test.key')
  const absent = join(dir, 'absent')
  const noEntry = `ENOENT: no such file or directory, open '${absent}'`
  const twice = 'expected it in the store URL, as redis.password or in redis.password_file'
  const cases: Array<[text: string, fault: string]> = [
    [
      'redis: { prefix: "{a}:" }',
      '1:18: Cannot read redis.prefix "{a}:": expected at most 100 letters, digits and . _ : / -',
    ],
    [
      `redis:\n  password_file: ${absent}`,
      `2:18: Cannot read redis.password_file "${absent}": expected a file that can be read: ${noEntry}`,
    ],
    [
      `redis:\n  password_file: ${empty}`,
      `2:18: Cannot read redis.password_file "${empty}": expected a file with the password as its first line`,
    ],
    ['redis:\n  password: [s3cret]', '2:13: Cannot read redis.password: expected a single value'],
    [
      'store: redis://:p@h\nredis:\n  password: s3cret',
      `3:13: redis.password is set more than once: ${twice}`,
    ],
    [
      `store: redis://h\nredis:\n  password: s3cret\n  password_file: ${passwordFile}`,
      `4:18: redis.password is set more than once: ${twice}`,
    ],
    [
      'store: redis://u@h\nredis:\n  username: v',
      '3:13: redis.username is set, and the store URL names a user too: expected one of them',
    ],
    [
      `redis:\n  tls:\n    ca: ${absent}`,
      `3:9: Cannot read redis.tls.ca "${absent}": expected a file that can be read: ${noEntry}`,
    ],
    [
      `redis:\n  tls:\n    ca: ${server.key}`,
      `3:9: Cannot read redis.tls.ca "${server.key}": expected a file of certificates in PEM`,
    ],
    [
      `redis:\n  tls: { cert: ${server.cert} }`,
      '2:16: redis.tls.cert and redis.tls.key belong together: expected both or none',
    ],
    [
      `redis:\n  tls: { cert: ${server.cert}, key: ${stranger} }`,
      `2:${23 + server.cert.length}: redis.tls.key is not the key of the certificate in redis.tls.cert`,
    ],
    [
      'redis: { tls: { server_name: 10.0.0.1/8 } }',
      '1:30: Cannot read redis.tls.server_name "10.0.0.1/8": expected a host name',
    ],
    [
      `store: redis://h\nredis:\n  tls: { ca: ${authority} }`,
      '3:14: redis.tls has no effect on a store that is reached without TLS: expected store rediss://…',
    ],
    [
      'redis: { tsl: {} }',
      '1:10: unknown setting redis.tsl (did you mean redis.tls?): expected prefix, username, password, password_file, tls, sentinel',
    ],
    ['redis: redis://:s3cret@h', '1:8: Cannot read redis "redis://***@h": expected settings below it'],
    ['redis: redis://:s3cret', '1:8: Cannot read redis "redis://***": expected settings below it'],
    ['redis:\n  password:s3cret', '2:3: Cannot read redis "password ***": expected settings below it'],
  ]
  for (const [text, fault] of cases) assert.deepEqual(faultsOf(text), [`milter.yaml:${fault}`], text)
  const [unreadable = ''] = faultsOf(`redis:\n  tls:\n    key: ${server.cert}`)
  assert.match(
    unreadable,
    /redis\.tls\.key ".*": expected a file with a private key in PEM, without a passphrase: /,
  )
})

// YAML's own messages quote tags, anchors, escapes and headers of block scalars. No fault may show a password in them.
test('no fault of YAML shows a password', () => {
  const odd = fc.constantFrom(
    ...[
      '',
      ' ',
      '!',
      '!!',
      '!<',
      '&',
      '*',
      '|',
      '>',
      '%',
      '@',
      '`',
      '"',
      "'",
      '\\',
      '"\\',
      '[',
      ']',
      '{',
      '}',
    ],
    ...[
      '#',
      ': ',
      ' :',
      ',',
      '- ',
      '? ',
      '\n',
      '\n  ',
      '\n    ',
      '\t',
      '\r',
      '\0',
      '//',
      '=',
      '~',
      '!a!',
      '|2',
    ],
  )
  const around = fc.array(odd, { maxLength: 3 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(around, around, fc.boolean(), (before, behind, inUrl) => {
      const secret = inUrl ? `redis://greymx:s3cret@h:6379/x` : 's3cret'
      const text = inUrl
        ? `header: true\nstore: ${before}${secret}${behind}\n`
        : `header: true\nredis:\n  password: ${before}${secret}${behind}\n  username: u\n`
      for (const fault of faultsOf(text)) {
        // A word in the place of a setting's name is quoted as an unknown setting.
        if (inUrl || !fault.includes('unknown setting')) assert.doesNotMatch(fault, /3cret/, text)
      }
    }),
    { numRuns: 3000 },
  )
})
