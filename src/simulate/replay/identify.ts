// Finds the identity of a client in a replay. Host names and networks are read as greymx does it; SPF, which no log
// tells, passed where greymx logged the sender's domain as identity, and is taken not to have passed elsewhere. No log
// tells carriers either.

import type { Client } from '../../attempt.ts'
import { NOT_ASKED } from '../../dns.ts'
import { createIdentify, type Identify, type IdentitySettings } from '../../identity/identity.ts'
import { organisationOf } from '../../identity/organisation.ts'
import type { SpfDns } from '../../identity/spf/standing.ts'
import type { LoggedAttempt } from './logged.ts'

const SPF = 'spf:'

/** The domains for which SPF passed, by the clients of the attempts. */
export class LoggedIdentities {
  readonly #domains = new WeakMap<Client, string>()

  /** Notes the identity that was logged for an attempt, for as long as its client is in use. */
  note({ attempt, identity }: LoggedAttempt): void {
    if (identity?.startsWith(SPF)) this.#domains.set(attempt.client, identity.slice(SPF.length))
  }

  /** The function that identifies the clients of noted attempts by these settings. */
  createIdentify(settings: IdentitySettings): Identify {
    const { spfDomain: isWidened, asksSpf } = settings
    const identify = createIdentify({ ...settings, asksSpf: false }, NO_DNS)
    return async (client, sender, isWanted) => {
      const identity = await identify(client, sender, isWanted)
      if (!identity || !asksSpf) return identity
      const domain = this.#domains.get(client)
      if (domain === undefined) return { ...identity, spf: 'none' }
      const names = isWidened ? [`${SPF}${organisationOf(domain)}`, ...identity.names] : identity.names
      const [id = identity.id] = names
      return { ...identity, id, names, spf: 'pass', spfDomain: domain }
    }
  }
}

/** Answers nothing, as nothing is asked. */
const NO_DNS: SpfDns = {
  ask: async () => NOT_ASKED,
  withTimeout: async (_subject, answer) => answer,
  refund: () => undefined,
}
