// Tests of RedisStore with a Redis that restricts access by TLS, client certificates and ACL users: a single server,
// behind Sentinels and in a Cluster; and of what the operator is told when access is refused.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { RedisStore } from '../../../src/store/redis/redis.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { type Redis, type RedisOptions, startNode, startRedis, startSentinel } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { type Scope, scratch, waitFor } from '../../support/scratch.ts'
import { describeRecordStore, describeStore } from '../conformance.ts'

const DAY = 86_400_000

/** Time in which connections are closed that a store has given up, in milliseconds. */
const CLOSED_WITHIN = 500

/** The rights of the user in the ACL line of the documents. */
const [RIGHTS = ''] =
  readFileSync('src/store/README.md', 'utf8').match(/(?<=ACL SETUSER greymx on >PASSWORD ).*/) ?? []

const dir = await scratch({ after })
const [certificates, others] = await Promise.all([makeCertificates(dir), makeCertificates(dir)])
const ca = await readFile(certificates.authority, 'utf8')
const otherCa = await readFile(others.authority, 'utf8')
const redis = await startRedis({ dir, tls: { certificates, clients: 'all' } })
await allow(redis, RIGHTS)
const url = `rediss://greymx:s3cret@127.0.0.1:${redis.tlsPort}`
const tls = { ca, ...certificates.trusted }
let prefixes = 0

async function allow(server: Redis, rights: string): Promise<void> {
  await server.cli('acl', 'setuser', 'greymx', 'reset', 'on', '>s3cret', ...rights.split(' '))
}

async function openEmpty(t: Scope) {
  prefixes += 1
  const settings = redisSettings(url, { tls, prefix: `greymx:test${prefixes}:` })
  const { store, records } = await openWatched(t, settings)
  const { store: other, records: otherRecords } = await openWatched(t, settings)
  return { store, other, records, otherRecords, advance: (milliseconds: number) => sleep(milliseconds) }
}

describeStore('RedisStore over TLS, as the user of the documents,', 250, openEmpty)
describeRecordStore('RedisStore over TLS, as the user of the documents,', 250, openEmpty)

test('what the documents grant is enough in any database, and INFO, CONFIG and other keys are not needed', async (t) => {
  const { store, events } = await openWatched(t, redisSettings(`${url}/3`, { tls }))
  await store.check()
  await allow(redis, RIGHTS.replace('+info', '').replace('+select', '').replace(/ +/g, ' ').trim())
  t.after(() => allow(redis, RIGHTS))
  const { store: lesser, events: told } = await openWatched(t, redisSettings(url, { tls }))
  await lesser.check()
  assert.deepEqual([events, told], [['ready'], ['ready']])
  const log = await redis.cli('acl', 'log')
  assert.doesNotMatch(log, /\nobject\n(?!info)/, log)
})

test('a right that is missing is named at the start', async (t) => {
  t.after(() => allow(redis, RIGHTS))
  const needed = ['get', 'set', 'del', 'pttl', 'pexpire', 'incrby']
  for (const command of needed) {
    await allow(redis, `${RIGHTS} -${command}`)
    const { store, events } = await openWatched(t, redisSettings(url, { tls }))
    assert.match(events[0] ?? '', new RegExp(`the user lacks a right .*NOPERM.*'${command}'`))
    await store.close()
  }
  await allow(redis, `${RIGHTS} -pexpire -get -del`)
  const { events: several } = await openWatched(t, redisSettings(url, { tls }))
  assert.match(several[0] ?? '', /the user lacks a right .*NOPERM.*'pexpire', 'get', 'del' commands/)
  await allow(redis, RIGHTS)
  const { events } = await openWatched(t, redisSettings(url, { tls, prefix: 'other:' }))
  assert.match(events[0] ?? '', /the user lacks a right .*NOPERM.*key.*, expected ~other:\*/)
  await allow(redis, RIGHTS.replace('~', '%R~'))
  const { events: readOnly } = await openWatched(t, redisSettings(url, { tls }))
  assert.match(readOnly[0] ?? '', /the user lacks a right .*NOPERM.*key.*, expected ~greymx:\*/)
})

const OF_RECORDS = 'hget hgetall hscan hset hdel hincrby persist multi exec time scan'.split(' ')

/** The commands of each transaction that changes a record. Without MULTI, Redis runs the others at once. */
const IN_TRANSACTIONS = new Set(['multi', 'hset', 'exec'])

test('a right that only operators’ commands need is named once, and mail goes on without it', async (t) => {
  t.after(() => allow(redis, RIGHTS))
  const documented = [...RIGHTS.matchAll(/\+(\S+)/g)].map(([, right]) => right)
  const ofMail = ['get', 'mget', 'set', 'del', 'pttl', 'pexpire', 'incrby', 'select', 'info', 'cluster|slots']
  assert.deepEqual(documented.toSorted(), [...OF_RECORDS, ...ofMail].sort())
  const warning = "the user lacks rights that operators' commands need, and mail does not: expected"
  for (const command of OF_RECORDS) {
    await allow(redis, `${RIGHTS} -${command}`)
    const { store, records, events } = await openWatched(t, redisSettings(url, { tls }))
    await waitFor(`the warning about ${command}`, () => events.length > 1)
    await store.pass('a', DAY)
    assert.equal((await store.find(['a']))[0]?.passed, true)
    await store.check()
    assert.deepEqual(events, ['ready', `${warning} +${command}`])
    if (IN_TRANSACTIONS.has(command))
      await assert.rejects(
        records.changeRecord('name', new Map([['field', 'text']]), DAY),
        new RegExp(`the user lacks a right that greymx needs \\(NOPERM .*'${command}' command\\)`),
      )
    await store.close()
  }
  const keys = ['a', 't:', 'check:'].map((start) => `~greymx:${start}*`).join(' ')
  await allow(redis, RIGHTS.replace('~greymx:*', keys))
  const { events: keyless } = await openWatched(t, redisSettings(url, { tls }))
  await waitFor('the warning about keys', () => keyless.length > 1)
  assert.deepEqual(keyless, ['ready', `${warning} ~greymx:r:*`])

  await allow(redis, `${RIGHTS} -hset -multi -time`)
  const { store, events, untilReady } = await openWatched(t, redisSettings(url, { tls }))
  const several = `${warning} +hset +time +multi`
  await waitFor('the warning about several', () => events.includes(several))
  for (let time = 0; time < 3; time += 1) {
    await redis.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
    await waitFor('the lost connection to be noticed', () => !store.state.up)
    await untilReady(5000)
    await store.check()
  }
  assert.equal(events.filter((event) => event === several).length, 1)
  await allow(redis, `${RIGHTS} -hdel`)
  await redis.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  await waitFor('the new warning', () => events.includes(`${warning} +hdel`))
})

test('why TLS does not come about is said plainly', async (t) => {
  const plain = await startRedis({ dir, tls: { certificates } })
  const at = (port: number) => `rediss://127.0.0.1:${port}`
  const cases: Array<[url: string, tls: object, problem: RegExp]> = [
    [at(plain.tlsPort), {}, /^its certificate is not of a known authority, see redis\.tls\.ca \(/],
    [
      at(plain.tlsPort),
      { ca: otherCa },
      /^its certificate is not of a known authority, see redis\.tls\.ca \(/,
    ],
    [
      at(plain.tlsPort),
      { ca, serverName: 'redis.example.org' },
      /^its certificate is for another name, see redis\.tls\.server_name \(.*redis\.example\.org/,
    ],
    [at(redis.tlsPort), { ca }, /^it asks for a client certificate, see redis\.tls\.cert \(/],
    [
      at(redis.tlsPort),
      { ca, ...certificates.stranger },
      /^it refuses the client certificate, see redis\.tls\.cert \(/,
    ],
    [at(plain.port), { ca }, /^it does not answer, or not in TLS/],
    [
      plain.url.replace(/\d+$/, `${plain.tlsPort}`),
      {},
      /^the connection was closed|^it closed the connection, as it does when it expects TLS/,
    ],
  ]
  for (const [asked, given, problem] of cases) {
    const { tls: wanted, ...settings } = redisSettings(asked)
    const { store, events } = await openWatched(t, { ...settings, ...(wanted ? { tls: given } : {}) })
    assert.match(events[0] ?? '', problem, asked)
    await assert.rejects(store.check(), /^Error: Redis: /)
    await store.close()
  }
  const named = { ca, serverName: 'mx.example.com' }
  const { store } = await openWatched(t, redisSettings(at(plain.tlsPort), { tls: named }))
  await store.check()
})

test('greymx is back by itself once Redis has the right certificate, or the user the right password', async (t) => {
  const server = await startRedis({ dir, tls: { certificates: others } })
  const { untilReady, events } = await openWatched(
    t,
    redisSettings(`rediss://greymx:s3cret@127.0.0.1:${server.tlsPort}`, { tls: { ca } }),
  )
  assert.match(events[0] ?? '', /authority/)
  const { cert, key } = certificates.server
  await server.cli('config', 'set', 'tls-cert-file', cert, 'tls-key-file', key)
  await waitFor('the password to be refused', () => events.some((event) => event.includes('WRONGPASS')))
  await allow(server, RIGHTS)
  await untilReady(3000)
})

// Regression: a TLS socket that is closed while it refuses a certificate has a second error, which ended the process.
test('stores that are closed while they connect to servers of an unknown authority leave nothing behind', async () => {
  const sentinel = await startSentinel(dir, redis.tlsPort, { certificates })
  const node = await startNodeOfCluster({ certificates })
  const urls = [
    `rediss://127.0.0.1:${redis.tlsPort}`,
    `rediss+sentinel://127.0.0.1:${sentinel.port}/greymx-test`,
    `rediss+cluster://127.0.0.1:${node.tlsPort}`,
  ]
  const settings = urls.map((each) => redisSettings(each, { tls: { ca: otherCa } }))
  for (const afterMs of [0, 1, 2, 3, 4, 6, 8]) {
    const stores = settings.map((each) => new RedisStore(each, { onWarning: () => undefined }))
    await sleep(afterMs)
    for (const store of stores) await store.close()
  }
  await sleep(CLOSED_WITHIN)
})

test('TLS reaches a master through its Sentinels', async (t) => {
  const sentinel = await startSentinel(dir, redis.tlsPort, { certificates })
  const sentinels = `rediss+sentinel://greymx:s3cret@127.0.0.1:${sentinel.port}/greymx-test`
  const { store } = await openWatched(t, redisSettings(sentinels, { tls }))
  await store.check()
  const { events } = await openWatched(t, redisSettings(sentinels, { tls: { ca: otherCa } }))
  assert.match(events[0] ?? '', /^Sentinel \S+: its certificate is not of a known authority/)
  const withoutTls = sentinels.replace('rediss', 'redis')
  const { events: plain } = await openWatched(t, redisSettings(withoutTls))
  assert.match(plain[0] ?? '', /^Sentinel \S+: /)
})

test('TLS reaches the nodes of a Cluster, and the rights of the documents are enough there', async (t) => {
  const { redis: node } = await startNode(dir, { tls: { certificates }, args: ['--tls-cluster', 'yes'] })
  await node.cli('cluster', 'addslotsrange', '0', '16383')
  await waitFor('the cluster', async () => (await node.cli('cluster', 'info')).includes('cluster_state:ok'))
  await allow(node, RIGHTS)
  const nodes = `rediss+cluster://greymx:s3cret@127.0.0.1:${node.tlsPort}`
  const { store } = await openWatched(t, redisSettings(nodes, { tls: { ca } }))
  await store.check()
  await store.pass('a', DAY)
  const cases: Array<[url: string, ca: string, problem: RegExp]> = [
    [nodes, otherCa, /^its certificate is not of a known authority/],
    [nodes.replace('s3cret', 'guess'), ca, /^it refuses the user name or the password \(WRONGPASS/],
  ]
  for (const [asked, authority, problem] of cases) {
    const { events } = await openWatched(t, redisSettings(asked, { tls: { ca: authority } }))
    // That a connection was closed may be told before why.
    await waitFor(`${problem}`, () => events.some((event) => problem.test(event)))
  }
})

/** Gives the user another password, and cuts all its connections. */
async function rotate(server: Pick<Redis, 'cli'>, password: string): Promise<void> {
  await server.cli('acl', 'setuser', 'greymx', 'resetpass', `>${password}`)
  await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
}

async function startNodeOfCluster(tls?: NonNullable<RedisOptions['tls']>) {
  const options = tls ? { tls, args: ['--tls-cluster', 'yes'] } : {}
  const { redis: node } = await startNode(dir, options)
  await node.cli('cluster', 'addslotsrange', '0', '16383')
  await waitFor('the cluster', async () => (await node.cli('cluster', 'info')).includes('cluster_state:ok'))
  return node
}

for (const [kind, start] of [
  ['a server', async () => startRedis({ dir }).then((server) => ({ server, url: server.url }))],
  [
    'a server on a unix socket',
    async () =>
      startRedis({ dir }).then((server) => ({ server, url: `redis+unix://${server.unixSocketPath}` })),
  ],
  [
    'a Cluster',
    async () =>
      startNodeOfCluster().then((server) => ({ server, url: `redis+cluster://127.0.0.1:${server.port}` })),
  ],
] as const) {
  test(`a password that is rotated in its file needs no signal: ${kind}`, async (t) => {
    const { server, url: plain } = await start()
    await allow(server, RIGHTS)
    const passwordFile = `${dir}/password-${server.port}`
    await writeFile(passwordFile, 's3cret\n')
    const login = { username: 'greymx', password: 's3cret', passwordFile }
    const { store, untilReady } = await openWatched(t, redisSettings(plain, { login }))
    await store.check()
    for (const password of ['second', 'third']) {
      await writeFile(passwordFile, `${password}\n`)
      await rotate(server, password)
      await waitFor('the lost connection to be noticed', () => !store.state.up)
      await untilReady(5000)
      await store.check()
    }
    // The file comes after the rotation, and is away for a moment: greymx goes on trying.
    await rm(passwordFile)
    await rotate(server, 'fourth')
    await waitFor('the lost connection to be noticed', () => !store.state.up)
    await writeFile(passwordFile, 'fourth\n')
    await untilReady(5000)
    await store.check()
  })
}

for (const kind of ['a server', 'a Cluster', 'behind Sentinels'] as const) {
  test(`client certificates that are rotated in their files need no signal: ${kind}`, async (t) => {
    const server =
      kind === 'a Cluster'
        ? await startNodeOfCluster({ certificates, clients: 'all' })
        : await startRedis({ dir, tls: { certificates, clients: 'all' } })
    const sentinel =
      kind === 'behind Sentinels' ? await startSentinel(dir, server.tlsPort, { certificates }) : undefined
    const folder = await mkdtemp(`${dir}/rotated-`)
    const files = { ca: certificates.authority, cert: `${folder}/cert`, key: `${folder}/key` }
    const use = async ({ cert, key }: { cert?: string; key?: string }) => {
      if (cert !== undefined) await writeFile(files.cert, cert)
      if (key !== undefined) await writeFile(files.key, key)
    }
    await use(certificates.trusted)
    const urls = {
      'a server': `rediss://127.0.0.1:${server.tlsPort}`,
      'a Cluster': `rediss+cluster://127.0.0.1:${server.tlsPort}`,
      'behind Sentinels': `rediss+sentinel://127.0.0.1:${sentinel?.port}/greymx-test`,
    }
    const { store, events, untilReady } = await openWatched(
      t,
      redisSettings(urls[kind], { tls: { ca, ...certificates.trusted, files } }),
    )
    await store.check()
    const reconnect = async () => {
      await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
      await waitFor('the lost connection to be noticed', () => !store.state.up)
    }
    // A certificate that Redis does not trust shows that the files are read anew.
    await use(certificates.stranger)
    await reconnect()
    await waitFor('the refusal', () =>
      events.some((event) => event.includes('refuses the client certificate')),
    )
    await use(certificates.other)
    await untilReady(5000)
    await store.check()
    // Only one of the two files is new, and then one is no key at all: the connection is made as before, with a word.
    const before = events.length
    await use({ cert: certificates.trusted.cert })
    await reconnect()
    await untilReady(5000)
    await use({ key: 'none' })
    await reconnect()
    await untilReady(5000)
    const told = events.slice(before).filter((event) => /connections go on/.test(event))
    assert.equal(told.length, 1, events.join('\n'))
    assert.match(
      told[0] ?? '',
      /^.*key values mismatch.*: connections go on with the certificates that were there before$/,
    )
    await use(certificates.trusted)
    await reconnect()
    await untilReady(5000)
    await use({ key: 'none' })
    await reconnect()
    await untilReady(5000)
    assert.match(
      events.filter((event) => /connections go on/.test(event))[1] ?? '',
      /^Cannot read redis\.tls\.key \S+\/key: expected a file with a private key in PEM, .*: connections go on/,
    )
    await store.check()
  })
}

test('the password of Sentinels is rotated in its file as well', async (t) => {
  const server = await startRedis({ dir })
  const sentinel = await startSentinel(dir, server.port)
  await sentinel.cli('acl', 'setuser', 'greymx', 'on', '>first', 'allchannels', '+@all')
  await sentinel.cli('acl', 'setuser', 'default', 'off')
  const asUser = async (password: string, ...command: string[]) =>
    sentinel.cli('--user', 'greymx', '--pass', password, '--no-auth-warning', ...command)
  const passwordFile = `${dir}/sentinel-password`
  await writeFile(passwordFile, 'first\n')
  const sentinelLogin = { username: 'greymx', password: 'first', passwordFile }
  const { store, untilReady } = await openWatched(
    t,
    redisSettings(`redis+sentinel://127.0.0.1:${sentinel.port}/greymx-test`, { sentinelLogin }),
  )
  await store.check()
  await asUser('first', 'acl', 'setuser', 'greymx', 'resetpass', '>second')
  await writeFile(passwordFile, 'second\n')
  await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  await waitFor('the lost connection to be noticed', () => !store.state.up)
  await untilReady(5000)
  await store.check()
})
