// Keeps DNS resolvers by their servers, so that a reload loses no cached answer, and open sessions go on with the
// resolver they began with.

import type { Metrics } from '../admin/metrics.ts'
import type { Change } from '../change.ts'
import { Dns, type DnsSettings } from '../dns.ts'
import type { Log } from '../log/log.ts'

/** A resolver that is ready for use. */
export interface ResolverChange extends Change {
  readonly dns: Dns
}

/** All resolvers that were in use since the start. */
export class Resolvers {
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #byServers = new Map<string, Dns>()
  #current: Dns | undefined

  constructor(log: Log, metrics: Metrics) {
    this.#log = log
    this.#metrics = metrics
  }

  /** Whether DNS answers, as far as the resolver in use knows. */
  get isAnswering(): boolean {
    return this.#current?.isSilent !== true
  }

  /**
   * Prepares the resolver for these servers: the one they had before, if there was one, which reads its servers anew.
   */
  prepare(settings: DnsSettings): ResolverChange {
    const servers = settings.servers.join(' ')
    const known = this.#byServers.get(servers)
    const dns = known ?? this.#open(settings)
    return {
      dns,
      apply: async () => {
        this.#current = dns
        if (known) known.reload()
        else this.#byServers.set(servers, dns)
      },
      abandon: async () => {
        if (!known) dns.close()
      },
    }
  }

  close(): void {
    for (const dns of this.#byServers.values()) dns.close()
  }

  #open(settings: DnsSettings): Dns {
    return new Dns(settings, {
      onSilent: (problem) => {
        this.#metrics.dnsUp(false)
        this.#log.event(
          'warn',
          'DNS does not answer: clients are known by confirmed host name or network, SPF and DNS lists are not used',
          { problem },
        )
      },
      onAnswering: () => {
        this.#metrics.dnsUp(true)
        this.#log.event('info', 'DNS answers again: SPF and DNS lists are used again')
      },
      onQuestion: (result, took) => this.#metrics.dnsQuestion(result, took),
    })
  }
}
