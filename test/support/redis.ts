// Starts real redis-servers on loopback ports: one that the test can stop, kill, freeze and restart, Sentinels with a
// master and its replica, and a Cluster.

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificates } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { endWith, freePort, waitFor } from './scratch.ts'

/** The server that is started for Redis: `valkey-server`, or a path, by the variable REDIS_SERVER. */
const SERVER = process.env.REDIS_SERVER ?? 'redis-server'

export interface RedisOptions {
  /** A folder of `scratch` for the files of Redis, which ends before the folder does. */
  readonly dir: string
  /** A free port by default; the port of a stopped server restarts it. */
  readonly port?: number
  readonly unixSocket?: string
  /** TLS on a port of its own; with `clients`, all clients need a certificate. */
  readonly tls?: { readonly certificates: Certificates; readonly clients?: 'all' }
  /** A free port by default, as for `port`. */
  readonly tlsPort?: number
  /** More arguments of its command line, such as `--appendonly yes`. */
  readonly args?: readonly string[]
}

export interface Redis {
  readonly port: number
  readonly url: string
  readonly unixSocketPath: string
  readonly tlsPort: number
  readonly pid: number
  stop(): Promise<void>
  /** Kills the server by SIGKILL, and waits until it is gone. */
  kill9(): Promise<void>
  /** Freezes the server: connections stay open, and nothing is answered. */
  pause(): void
  resume(): void
  /** The output of redis-cli for a command. */
  cli(...args: string[]): Promise<string>
}

/** Starts redis-server without persistence and resolves when it accepts commands. */
export async function startRedis(options: RedisOptions): Promise<Redis> {
  const { dir, port = await freePort(), tlsPort = await freePort(), args = [] } = options
  const unixSocketPath = options.unixSocket ?? join(dir, `redis-${port}.sock`)
  // By default, a node's port for other nodes is 10,000 above the one for clients, where another program may have one.
  const needsBusPort = args.includes('--cluster-enabled') && !args.includes('--cluster-port')
  const daemon = await startDaemon({
    command: SERVER,
    args: [
      ...['--bind', '127.0.0.1', '--port', `${port}`, '--databases', '64'],
      ...['--unixsocket', unixSocketPath, '--unixsocketperm', '777'],
      ...['--dir', dir, '--save', '', '--appendonly', 'no', '--shutdown-timeout', '0'],
      ...['--repl-diskless-sync-delay', '0'],
      ...(options.tls
        ? tlsSettings(options.tls, tlsPort).flatMap(([name, value]) => [`--${name}`, value])
        : []),
      ...args,
      ...(needsBusPort ? ['--cluster-port', `${await freePort()}`] : []),
    ],
    cwd: dir,
    ready: (output) => output.includes('Ready to accept connections'),
  })
  endWith(dir, () => daemon.stop('SIGKILL'))
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    unixSocketPath,
    tlsPort,
    pid: daemon.pid,
    stop: () => daemon.stop(),
    kill9: () => daemon.stop('SIGKILL'),
    pause: () => daemon.signal('SIGSTOP'),
    resume: () => daemon.signal('SIGCONT'),
    cli: (...command) => cli(port, ...command),
  }
}

function tlsSettings({ certificates, clients }: NonNullable<RedisOptions['tls']>, port: number) {
  const { server, authority } = certificates
  return [
    ['tls-port', `${port}`],
    ['tls-cert-file', server.cert],
    ['tls-key-file', server.key],
    ['tls-ca-cert-file', authority],
    ['tls-auth-clients', clients === 'all' ? 'yes' : 'no'],
  ] as const
}

export interface Sentinels {
  readonly url: string
  readonly master: Redis
  readonly replica: Redis
  readonly sentinels: readonly Pick<Redis, 'port' | 'cli'>[]
}

/** Starts three Sentinels that know each other; they take a master for dead after half a second of silence. */
export async function startSentinels(options: { readonly dir: string }): Promise<Sentinels> {
  const { dir } = options
  const master = await startRedis({ dir })
  const replica = await startRedis({ dir, args: ['--replicaof', '127.0.0.1', `${master.port}`] })
  await waitFor('the replica', async () => (await master.cli('info', 'replication')).includes('state=online'))
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(dir, master.port)))
  for (const { port } of sentinels) {
    await waitFor('the Sentinels to know each other', async () => {
      const known = await cli(port, 'sentinel', 'master', 'greymx-test')
      return /num-slaves\n1\n/.test(known) && /num-other-sentinels\n2\n/.test(known)
    })
  }
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join()
  return { url: `redis+sentinel://${hosts}/greymx-test`, master, replica, sentinels }
}

/** Starts a Sentinel of the master on `masterPort`, which speaks TLS if `tls` is given. */
export async function startSentinel(dir: string, masterPort: number, tls?: RedisOptions['tls']) {
  const port = await freePort()
  const file = join(dir, `sentinel-${port}.conf`)
  const settings = [
    ...(tls
      ? ['port 0', 'tls-replication yes', ...tlsSettings(tls, port).map((setting) => setting.join(' '))]
      : [`port ${port}`]),
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor greymx-test 127.0.0.1 ${masterPort} 2`,
    'sentinel down-after-milliseconds greymx-test 500',
    'sentinel failover-timeout greymx-test 2000',
  ]
  await writeFile(file, `${settings.join('\n')}\n`)
  const daemon = await startDaemon({
    command: SERVER,
    args: [file, '--sentinel'],
    cwd: dir,
    ready: (output) => output.includes('+monitor master'),
  })
  endWith(dir, () => daemon.stop('SIGKILL'))
  return { port, cli: (...command: string[]) => cli(port, ...command) }
}

export interface Cluster {
  readonly url: string
  readonly masters: readonly Redis[]
  readonly replicas: readonly Redis[]
}

/** Time after which nodes of a cluster take another one for dead, in milliseconds. */
const NODE_TIMEOUT = 1000

const SLOTS = [
  ['0', '5460'],
  ['5461', '10922'],
  ['10923', '16383'],
] as const

/**
 * Starts three masters with a replica each, or with none; they take a node for dead after a second of silence. `args`
 * are passed to all nodes, as by startRedis.
 */
export async function startCluster(options: {
  readonly dir: string
  readonly replicas?: 'none'
  readonly args?: readonly string[]
}): Promise<Cluster> {
  const { dir, replicas: wanted, args = [] } = options
  const size = wanted === 'none' ? SLOTS.length : 2 * SLOTS.length
  const nodes = await Promise.all(Array.from({ length: size }, () => startNode(dir, { args })))
  const [masters, replicas] = [nodes.slice(0, SLOTS.length), nodes.slice(SLOTS.length)]
  const ids = await Promise.all(masters.map(({ redis }) => redis.cli('cluster', 'myid')))
  const [{ redis: first }, ...others] = nodes as [(typeof nodes)[0], ...typeof nodes] // there are at least three
  await Promise.all(
    nodes.map(async ({ redis }, index) => {
      await redis.cli('cluster', 'set-config-epoch', `${index + 1}`)
      const slots = SLOTS[index]
      if (slots) await redis.cli('cluster', 'addslotsrange', ...slots)
    }),
  )
  let metAt = Number.NEGATIVE_INFINITY
  // A node that is held up for longer than the time-out of nodes forgets whom it was to meet.
  const meet = async () => {
    if (performance.now() - metAt < 2 * NODE_TIMEOUT) return
    metAt = performance.now()
    for (const { redis, busPort } of others)
      await first.cli('cluster', 'meet', '127.0.0.1', `${redis.port}`, `${busPort}`)
  }
  await meet()
  // A replica can follow only a master that it knows.
  for (const [index, { redis }] of replicas.entries()) {
    const follow = () => redis.cli('cluster', 'replicate', ids[index] ?? '')
    await waitFor('a replica to follow', async () => {
      await meet()
      return (await follow()) === 'OK'
    })
  }
  for (const { redis } of nodes) {
    await waitFor('the cluster', async () => {
      const info = await redis.cli('cluster', 'info')
      const known = (await redis.cli('cluster', 'nodes')).trim().split('\n')
      const replicasKnown = known.filter((line) => / (?:myself,)?slave /.test(line)).length
      const met = known.filter((line) => !/handshake|noaddr/.test(line))
      if (
        info.includes('cluster_state:ok') &&
        info.includes('cluster_slots_ok:16384') &&
        replicasKnown === replicas.length &&
        met.length === size
      )
        return true
      await meet()
      return false
    })
  }
  for (const { redis } of replicas) {
    await waitFor('the replicas', async () => (await redis.cli('info')).includes('master_link_status:up'))
  }
  return {
    url: `redis+cluster://${nodes.map(({ redis }) => `127.0.0.1:${redis.port}`).join()}`,
    masters: masters.map(({ redis }) => redis),
    replicas: replicas.map(({ redis }) => redis),
  }
}

/** Starts a node that is not yet part of a cluster. */
export async function startNode(
  dir: string,
  options: Partial<RedisOptions> = {},
): Promise<{ redis: Redis; busPort: number }> {
  const [port, busPort] = [await freePort(), await freePort()]
  const redis = await startRedis({
    ...options,
    dir,
    port,
    args: [
      ...['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`],
      ...['--cluster-config-file', `nodes-${port}.conf`, '--cluster-node-timeout', `${NODE_TIMEOUT}`],
      ...['--cluster-replica-validity-factor', '0', '--cluster-announce-ip', '127.0.0.1'],
      ...(options.args ?? []),
    ],
  })
  return { redis, busPort }
}

/** The arguments for a node that was ended, with its former port for other nodes. */
export async function nodeAgain(dir: string, port: number): Promise<string[]> {
  const file = `nodes-${port}.conf`
  const busPort = /:\d+@(\d+)\S* myself/.exec(await readFile(join(dir, file), 'utf8'))?.[1] ?? ''
  return ['--cluster-enabled', 'yes', '--cluster-config-file', file, '--cluster-port', busPort]
}

async function cli(port: number, ...command: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('redis-cli', ['-p', `${port}`, ...command])
  return stdout.trimEnd()
}
