// Connects to the master that Sentinels name, in place of the connector of ioredis, which does not report why a
// Sentinel could not be asked. At each attempt to connect, the Sentinels are asked in turn for the master. They are
// also polled while connected, as a master that was replaced by hand takes writes, which are lost, for ten seconds or
// more.
//
// https://redis.io/docs/latest/develop/reference/sentinel-clients/

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareHost, bracketedHost } from '../../ip.ts'
import type { OpenSocket } from './connector.ts'
import { AbstractConnector, Redis, type RedisOptions } from './ioredis.ts'
import { ExplainedProblem, explainProblem } from './problem.ts'
import { REPLY_TIMEOUT, type RedisServers, retryDelay, type ServerAddress } from './settings.ts'

/** Time between polls of the Sentinels while connected, in milliseconds. */
const MASTER_CHECK_INTERVAL = 2000

/** The options of a connection to a Sentinel, with its login. */
type SentinelOptions = Omit<RedisOptions, 'replyMapping'>

/**
 * The class for the option `Connector` of ioredis. `options` returns those for a Sentinel, with the login of now; `open`
 * connects to the master.
 */
export function sentinelConnector(
  servers: RedisServers & { kind: 'sentinel' },
  options: () => SentinelOptions,
  open: OpenSocket,
) {
  return class extends SentinelConnector {
    constructor() {
      super(servers, options, open)
    }
  }
}

class SentinelConnector extends AbstractConnector {
  readonly #sentinels: ServerAddress[]
  readonly #master: string
  readonly #options: () => SentinelOptions
  readonly #open: OpenSocket

  constructor(
    { sentinels, master }: RedisServers & { kind: 'sentinel' },
    options: () => SentinelOptions,
    open: OpenSocket,
  ) {
    super(REPLY_TIMEOUT)
    this.#sentinels = [...sentinels]
    this.#master = master
    this.#options = options
    this.#open = open
  }

  /** Retries until a Sentinel names the master, as ioredis would not reconnect after a rejection. */
  override async connect(emit: (type: string, error: Error) => void): Promise<Socket> {
    this.connecting = true
    for (let attempts = 1; this.connecting; attempts += 1) {
      const found = await this.#findMaster().catch((error: Error) => error)
      if (!this.connecting) break
      if (!(found instanceof Error)) return this.#connectTo(found)
      emit('error', found)
      await sleep(retryDelay(attempts), undefined, { ref: false })
    }
    throw new Error('closed while Sentinels were asked')
  }

  #connectTo(master: ServerAddress): Socket {
    const stream = this.#open(master)
    const watch = setInterval(() => void this.#watch(master, stream), MASTER_CHECK_INTERVAL)
    stream.once('close', () => clearInterval(watch))
    stream.on('error', (error) => {
      this.firstError ??= error
    })
    this.stream = stream
    return stream
  }

  async #watch(master: ServerAddress, stream: Socket): Promise<void> {
    const found = await this.#findMaster().catch(() => master)
    if (found.host === master.host && found.port === master.port) return
    stream.destroy(new ExplainedProblem(`the Sentinels have made ${formatAddress(found)} the master`))
  }

  /** Asks the Sentinels in turn until one names the master. Rejects with the problem of the last one asked. */
  async #findMaster(): Promise<ServerAddress> {
    let problem: unknown
    for (const sentinel of [...this.#sentinels]) {
      try {
        return await askSentinel(sentinel, this.#master, this.#options())
      } catch (error) {
        problem = error
        // A Sentinel that failed goes to the end, so that the next poll begins with one that may answer.
        this.#sentinels.push(...this.#sentinels.splice(this.#sentinels.indexOf(sentinel), 1))
      }
    }
    throw problem
  }
}

async function askSentinel(
  sentinel: ServerAddress,
  master: string,
  options: SentinelOptions,
): Promise<ServerAddress> {
  const client = new Redis({ ...options, ...sentinel, commandTimeout: REPLY_TIMEOUT, retryStrategy: null })
  let reason: Error | undefined
  client.on('error', (error: Error) => {
    reason = error
  })
  try {
    const found = await client.call('SENTINEL', 'get-master-addr-by-name', master)
    if (!Array.isArray(found)) throw new Error(`it knows no master named ${master}`)
    const [host, port] = found.map(String)
    return { host: bareHost(host ?? ''), port: Number(port) }
  } catch (error) {
    const problem = explainProblem(reason ?? error, [options.password])
    throw new ExplainedProblem(`Sentinel ${formatAddress(sentinel)}: ${problem}`)
  } finally {
    client.disconnect()
  }
}

function formatAddress({ host, port }: ServerAddress): string {
  return `${bracketedHost(host)}:${port}`
}
