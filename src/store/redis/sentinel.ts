// The way to a master that Sentinels watch over: at each attempt to connect they are asked in turn who is master now,
// and now and then while connected, as a master that was replaced by hand goes on taking writes, which are lost, for
// ten seconds or more. In place of the client's own way, which does not tell why a Sentinel could not be asked.
//
// https://redis.io/docs/latest/develop/reference/sentinel-clients/

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareHost, bracketedHost } from '../../ip.ts'
import type { OpenSocket } from './connector.ts'
import { AbstractConnector, Redis, type RedisOptions } from './ioredis.ts'
import { ExplainedProblem, explainProblem } from './problem.ts'
import { type RedisServers, retryDelay, type ServerAddress, SILENCE } from './settings.ts'

/** How often the Sentinels are asked while connected, in milliseconds. */
const WATCH_EVERY = 2000

/** Of a connection to a Sentinel: how to make it, and who logs in. */
type SentinelOptions = Omit<RedisOptions, 'replyMapping'>

/** What the client takes for its option `Connector`; `open` leads to the master. */
export function sentinelConnector(
  servers: RedisServers & { kind: 'sentinel' },
  options: SentinelOptions,
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
  readonly #options: SentinelOptions
  readonly #open: OpenSocket

  constructor(
    { sentinels, master }: RedisServers & { kind: 'sentinel' },
    options: SentinelOptions,
    open: OpenSocket,
  ) {
    super(SILENCE)
    this.#sentinels = [...sentinels]
    this.#master = master
    this.#options = options
    this.#open = open
  }

  /** Goes on until a Sentinel names the master; the client would never try again after a rejection. */
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
    const watch = setInterval(() => void this.#watch(master, stream), WATCH_EVERY)
    stream.once('close', () => clearInterval(watch))
    stream.once('error', (error) => {
      this.firstError = error
    })
    this.stream = stream
    return stream
  }

  async #watch(master: ServerAddress, stream: Socket): Promise<void> {
    const found = await this.#findMaster().catch(() => master)
    if (found.host === master.host && found.port === master.port) return
    stream.destroy(new ExplainedProblem(`the Sentinels have made ${formatAddress(found)} the master`))
  }

  /** Asks until one of them knows. Rejects with what was wrong with the last of them. */
  async #findMaster(): Promise<ServerAddress> {
    let problem: unknown
    for (const sentinel of [...this.#sentinels]) {
      try {
        return await askSentinel(sentinel, this.#master, this.#options)
      } catch (error) {
        problem = error
        // The next time, those that answered come first.
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
  const client = new Redis({ ...options, ...sentinel, commandTimeout: SILENCE, retryStrategy: null })
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
