// Tests failures of Redis in all its forms, under traffic through a real Postfix: every RCPT is answered within a
// second, by what is remembered or as configured, known senders are never deferred, and greylisting resumes by itself.
// The results are printed as a table.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCertificates } from '../support/certificates.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { type Redis, startCluster, startRedis, startSentinels } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { rcptOnce } from './scenarios.ts'

interface Subject {
  /** Settings with this Redis as store, as YAML. */
  readonly settings: string
  /** All servers that hold data. */
  readonly servers: readonly Redis[]
  /** The server that fails. */
  readonly victim: Redis
  /** Restarts the victim; absent when another server takes its place. */
  restart?(): Promise<unknown>
  /** Makes the victim a replica, and undoes that later when no other server takes its place. */
  demote(): Promise<unknown>
  promote?(): Promise<unknown>
  setPassword(password: string): Promise<unknown>
}

/** With these settings, acknowledged writes survive a kill. */
const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'always']
const PASSWORD = 's3cret'

const SUBJECTS: Array<[name: string, start: (dir: string) => Promise<Subject>]> = [
  ['single', async (dir) => ofSingle(await startRedis({ dir, args: PERSISTENT }), dir)],
  [
    'TLS and ACL',
    async (dir) => {
      const certificates = await makeCertificates(dir)
      const tls = { certificates, clients: 'all' } as const
      const redis = await startRedis({ dir, tls, args: PERSISTENT })
      const allow = ['~greymx:*', '+get', '+set', '+del', '+pttl', '+pexpire', '+incrby', '+info']
      await redis.cli('acl', 'setuser', 'greymx', 'on', `>${PASSWORD}`, ...allow)
      const [cert, key] = [join(dir, 'client.pem'), join(dir, 'client.key')]
      await writeFile(cert, certificates.trusted.cert)
      await writeFile(key, certificates.trusted.key)
      return {
        ...ofSingle(redis, dir),
        settings: `store: rediss://127.0.0.1:${redis.tlsPort}/0
redis:
  username: greymx
  password: ${PASSWORD}
  tls: { ca: ${certificates.authority}, cert: ${cert}, key: ${key} }`,
        // The restarted server has its data, but no users.
        restart: () =>
          startRedis({
            dir,
            port: redis.port,
            tlsPort: redis.tlsPort,
            tls,
            args: [...PERSISTENT, '--user', 'greymx', 'on', `>${PASSWORD}`, ...allow],
          }),
        setPassword: async (password) => {
          await redis.cli('acl', 'setuser', 'greymx', 'resetpass', `>${password || PASSWORD}`)
          await redis.cli('client', 'kill', 'user', 'greymx')
        },
      }
    },
  ],
  [
    'Sentinel',
    async (dir) => {
      const { url, master, replica, sentinels } = await startSentinels({ dir })
      return {
        ...ofSeveral(`store: ${url}`, [master, replica], master),
        demote: async () => sentinels[0]?.cli('sentinel', 'failover', 'greymx-test'),
      }
    },
  ],
  [
    'Cluster',
    async (dir) => {
      const { url, masters, replicas } = await startCluster({ dir })
      const [victim] = masters
      assert.ok(victim)
      return {
        ...ofSeveral(`store: ${url}`, [...masters, ...replicas], victim),
        demote: async () => replicas[0]?.cli('cluster', 'failover'),
      }
    },
  ],
]

function ofSingle(redis: Redis, dir: string): Subject {
  return {
    ...ofSeveral(`store: ${redis.url}/0`, [redis], redis),
    restart: () => startRedis({ dir, port: redis.port, args: PERSISTENT }),
    demote: () => redis.cli('replicaof', '127.0.0.1', '1'),
    promote: () => redis.cli('replicaof', 'no', 'one'),
  }
}

function ofSeveral(settings: string, servers: readonly Redis[], victim: Redis): Omit<Subject, 'demote'> {
  return {
    settings,
    servers,
    victim,
    setPassword: (password) =>
      onEach(servers, async ({ cli }) => {
        // The connection must log in with the old password to be able to change it.
        const auth = password === '' ? ['-a', 'another', '--no-auth-warning'] : []
        await cli(...auth, 'config', 'set', 'requirepass', password)
        if (password !== '')
          await cli('-a', password, '--no-auth-warning', 'client', 'kill', 'type', 'normal')
      }),
  }
}

function onEach(servers: readonly Redis[], act: (redis: Redis) => Promise<unknown>): Promise<unknown[]> {
  // A server that is down needs no disturbance.
  return Promise.all(servers.map((redis) => act(redis).catch(() => undefined)))
}

type Disturb = (subject: Subject) => Promise<unknown>

const DISTURBANCES: Array<[name: string, disturb: Disturb]> = [
  [
    'killed',
    async ({ victim, restart }) => {
      await victim.kill9()
      await sleep(2000)
      await restart?.()
    },
  ],
  [
    'stopped 5 s',
    async ({ victim }) => {
      victim.pause()
      await sleep(5000)
      victim.resume()
    },
  ],
  [
    'slow 400 ms',
    async ({ servers }) => {
      // Repeated pauses delay each command by the length of a pause at most.
      for (let count = 0; count < 8; count += 1) {
        await onEach(servers, ({ cli }) => cli('client', 'pause', '400', 'all'))
        await sleep(420)
      }
    },
  ],
  [
    'OOM',
    async ({ servers }) => {
      await onEach(servers, ({ cli }) => cli('config', 'set', 'maxmemory', '1'))
      await sleep(2000)
      await onEach(servers, ({ cli }) => cli('config', 'set', 'maxmemory', '0'))
    },
  ],
  [
    'READONLY',
    async ({ demote, promote }) => {
      await demote()
      await sleep(2000)
      await promote?.()
    },
  ],
  [
    'wrong password',
    async ({ setPassword }) => {
      await setPassword('another')
      await sleep(2000)
      await setPassword('')
    },
  ],
]

const DELAY = 300
const KNOWN = Array.from({ length: 12 }, (_, index) => `known${index}@passed.test`)

interface Seen {
  readonly replies: Map<string, number>
  longest: number
  /** Time from the end of the disturbance until greylisting resumed, in milliseconds. */
  recovery: number
}

const table: string[] = []
after(() => console.log(table.toSorted().join('\n')))

describe('Redis on a bad day:', { concurrency: 2 }, () => {
  for (const [kind, start] of SUBJECTS) {
    for (const [disturbance, disturb] of DISTURBANCES) {
      test(`${kind}, ${disturbance}`, async (t) => {
        const dir = await scratch(t)
        const subject = await start(dir)
        const greymx = await startGreymx({
          dir,
          settings: `${subject.settings}\ngreylist: { delay: ${DELAY}ms, max_deferrals: 0, auto_whitelist: false }`,
        })
        const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
        const seen = await throughIt(greymx, mta, () => disturb(subject))
        const replies = [...seen.replies].map(([code, count]) => `${code} ${count}`).join(', ')
        table.push(
          `${kind.padEnd(12)} ${disturbance.padEnd(15)} ${replies.padEnd(20)} longest ${seen.longest.toFixed(0).padStart(4)} ms, ` +
            `back after ${seen.recovery.toFixed(0).padStart(5)} ms`,
        )
      })
    }
  }
})

async function throughIt(greymx: Greymx, mta: Mta, disturb: () => Promise<unknown>): Promise<Seen> {
  const client = await startSession(mta, { ADDR: '192.0.2.7' })
  const seen: Seen = { replies: new Map(), longest: 0, recovery: 0 }
  const ask = async (sender: string): Promise<string> => {
    const startedAt = performance.now()
    const code = (await rcptOnce(client, sender, 'u@example.com')).slice(0, 3)
    seen.longest = Math.max(seen.longest, performance.now() - startedAt)
    seen.replies.set(code, (seen.replies.get(code) ?? 0) + 1)
    return code
  }
  for (const sender of KNOWN) assert.equal(await ask(sender), '451', sender)
  await sleep(DELAY + 100)
  for (const sender of KNOWN) assert.equal(await ask(sender), '250', sender)
  await sleep(1500) // by then a replica has learnt of it

  let isOver = false
  const disturbance = disturb().finally(() => {
    isOver = true
  })
  let count = 0
  for (; !isOver; count += 1) {
    assert.equal(await ask(KNOWN[count % KNOWN.length] ?? ''), '250', 'who had passed was deferred')
    assert.match(await ask(`new${count}@during.test`), /^(250|451)$/)
    await sleep(20)
  }
  await disturbance
  const endedAt = performance.now()
  await waitFor(
    'greylisting to resume',
    async () => {
      count += 1
      const codes = [await ask(`new${count}@after.test`), await ask(`more${count}@after.test`)]
      return codes.every((code) => code === '451')
    },
    15_000,
  )
  seen.recovery = performance.now() - endedAt
  for (const sender of KNOWN)
    assert.equal(await ask(sender), '250', 'who had passed was deferred after recovery')
  await client.quit()
  assert.deepEqual(
    [...seen.replies.keys()].filter((code) => code !== '250' && code !== '451'),
    [],
  )
  assert.ok(seen.longest < 1000, `an answer took ${seen.longest} ms`)
  process.kill(greymx.pid, 0)
  return seen
}
