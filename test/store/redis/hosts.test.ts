// Tests of a Redis that is configured by host name while DNS does not answer. The daemon has a resolv.conf of its own,
// which names a server of the test.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { socketOpener } from '../../../src/store/redis/connector.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { type Dns, startDns } from '../../support/dns.ts'
import { type Greymx, startGreymx } from '../../support/greymx.ts'
import { type Redis, startRedis, startSentinel } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { freePort, scratch, waitFor } from '../../support/scratch.ts'

const dir = await scratch({ after })
const certificates = await makeCertificates(dir)
let nameServers = 0

/** Starts a DNS server for all names of the test, on an address of its own, as resolv.conf knows no ports. */
function startNameServer(address = '127.0.0.1'): Promise<Dns> {
  nameServers += 1
  return startDns({
    dir,
    // A name server of the machine may have 127.0.0.1, or 127.0.0.53.
    address: `127.77.${process.pid % 256}.${nameServers}`,
    port: 53,
    zones: { redis: `@ A ${address}`, 'mx.example.com': `@ A ${address}`, test: '' },
  })
}

/** Writes a resolv.conf with that server, and without domains to complete names with. */
async function pointTo(file: string, { server }: Dns): Promise<void> {
  const [address] = server.split(':')
  await writeFile(file, `search .\nnameserver ${address}\n`)
}

async function startWithDns(dns: Dns, settings: string): Promise<Greymx & { readonly resolvConf: string }> {
  const resolvConf = join(dir, `resolv-${nameServers}.conf`)
  await pointTo(resolvConf, dns)
  return { ...(await startGreymx({ dir, settings, resolvConf, name: `greymx-${nameServers}` })), resolvConf }
}

/** How often the log says that the store is up. */
function timesUp(greymx: Greymx): number {
  return greymx.log().filter((line) => line.includes('store is up')).length
}

function health({ adminPort }: Greymx): Promise<unknown> {
  return fetch(`http://127.0.0.1:${adminPort}/healthz`).then((response) => response.json())
}

const isDown = (greymx: Greymx) => greymx.log().some((line) => line.includes('store is down'))

interface Kind {
  readonly name: string
  /** Arguments of redis-server, beside its ports. */
  readonly args?: readonly string[]
  /** The settings of greymx for a running Redis. */
  settings(redis: Redis): Promise<string>
}

const kinds: Kind[] = [
  { name: 'by itself', settings: async ({ port }) => `store: redis://redis:${port}/0` },
  {
    name: 'over TLS, with its name in the certificate,',
    settings: async ({ tlsPort }) =>
      `store: rediss://mx.example.com:${tlsPort}\nredis: { tls: { ca: ${certificates.authority} } }`,
  },
  {
    name: 'whose Sentinel is known by name',
    settings: async ({ port }) =>
      `store: redis+sentinel://redis:${(await startSentinel(dir, port)).port}/greymx-test`,
  },
  {
    name: 'in a Cluster, whose nodes announce their names,',
    args: [
      ...['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
      ...['--cluster-announce-hostname', 'redis', '--cluster-preferred-endpoint-type', 'hostname'],
    ],
    settings: async ({ port, cli }) => {
      await cli('cluster', 'addslotsrange', '0', '16383')
      await waitFor('the cluster', async () => (await cli('cluster', 'info')).includes('cluster_state:ok'))
      return `store: redis+cluster://redis:${port}`
    },
  },
]

for (const { name, args = [], settings } of kinds) {
  test(`a Redis ${name} is found again where it was, though DNS does not answer any more`, async (t) => {
    const dns = await startNameServer()
    const [port, tlsPort] = [await freePort(), await freePort()]
    const given = args.length > 0 ? [...args, '--cluster-port', `${await freePort()}`] : []
    const start = () => startRedis({ dir, port, tlsPort, tls: { certificates }, args: given })
    const redis = await start()
    const greymx = await startWithDns(dns, await settings(redis))
    // A look-up of the system that is still open would delay its end.
    t.after(() => greymx.stop('SIGKILL'))
    await waitFor('the store', () => timesUp(greymx) === 1)
    await dns.pause()
    await redis.kill9()
    await waitFor('the outage to be noticed', () => isDown(greymx))
    await sleep(1500)
    await start()
    await waitFor('Redis to be found', () => timesUp(greymx) === 2, 6000)
  })
}

test('a Redis that has moved is found while the system still waits for a name server that is gone', async (t) => {
  const [gone, next] = [await startNameServer(), await startNameServer('127.0.0.2')]
  const redis = await startRedis({ dir })
  const greymx = await startWithDns(gone, `store: redis://redis:${redis.port}/0`)
  t.after(() => greymx.stop('SIGKILL'))
  await waitFor('the store', () => timesUp(greymx) === 1)
  await gone.pause()
  await redis.kill9()
  await waitFor('the outage to be noticed', () => isDown(greymx))
  // By now the system has asked the first time. It asks again after 5 s, and gives up after 10 (resolv.conf(5)).
  await sleep(500)
  await startRedis({ dir, port: redis.port, args: ['--bind', '127.0.0.2'] })
  await pointTo(greymx.resolvConf, next)
  await waitFor('Redis to be found', () => timesUp(greymx) === 2, 6000)
})

test('it is said plainly that there is no such host, or that nobody says where it is', async (t) => {
  const dns = await startNameServer()
  const greymx = await startWithDns(dns, 'store: redis://nowhere.test')
  t.after(() => greymx.stop('SIGKILL'))
  const problem = async () => JSON.stringify(await health(greymx))
  assert.match(await problem(), /there is no such host \(getaddrinfo ENOTFOUND nowhere\.test\)/)
  await dns.pause()
  await waitFor('the problem to be another', async () =>
    (await problem()).includes('cannot look up nowhere.test: no answer within 600ms'),
  )
})

test('a certificate has to have the name of the host, its address does not do', async (t) => {
  const { tlsPort } = await startRedis({ dir, tls: { certificates } })
  const ca = await readFile(certificates.authority, 'utf8')
  const { events } = await openWatched(t, redisSettings(`rediss://localhost:${tlsPort}`, { tls: { ca } }))
  assert.match(
    events[0] ?? '',
    /^its certificate is for another name, see redis\.tls\.server_name \(.*localhost/,
  )
})

test('an address is not looked up', async () => {
  const { port } = await startRedis({ dir })
  const open = socketOpener(() => assert.fail('looked up'), undefined)
  const socket = open({ host: '127.0.0.1', port })
  await once(socket, 'connect')
  socket.destroy()
})
