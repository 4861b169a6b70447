// milter-greylist's decisions in virtual time, with the defaults of the program and all recipients greylisted: 30
// minutes, 5 days, a day on the auto-whitelist, the client's single address, and SPF exempt.
// Source: milter-greylist 4.6.2, milter-greylist.c (real_envfrom, real_envrcpt), pending.c (pending_check,
// pending_timeout), the defaults in pending.h and conf.c; greylist.conf(5).
// Left out: the sample greylist.conf, which greylists three made-up users alone and exempts addresses of the years up to
// 2009; clients with a TLS certificate, peers, DRAC, tarpit. Until its retry passes, an address in other upper and lower case is another one in the
// program, and the same one here.

import type { Attempt } from '../../attempt.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'
import { lowerAscii } from './policy-request.ts'

// milter-greylist counts whole seconds.
const DELAY = 1800
const DAY = 86_400
/** How long a retry is awaited from the end of the delay on. */
const TIMEOUT = 5 * DAY
const AUTO_WHITELIST = DAY

type Entry =
  | { readonly kind: 'pending'; readonly acceptedFrom: number }
  | { readonly kind: 'whitelisted'; readonly until: number }

/** Whether SPF passes for the sender of the attempt, or for the name in HELO when it has the null sender. */
export type SpfPasses = (attempt: Attempt) => Promise<boolean>

export class MilterGreylist implements Judge {
  readonly name = 'milter-greylist'
  readonly #spfPasses: SpfPasses
  readonly #entries = new Map<string, Entry>()

  constructor(spfPasses: SpfPasses) {
    this.#spfPasses = spfPasses
  }

  judgesAtData(): boolean {
    // Unless `delayedreject` is set.
    return false
  }

  async judge(attempt: Attempt, at: number): Promise<Verdict> {
    const now = Math.floor(at / 1000)
    const { address } = attempt.client
    if (!address || attempt.authenticated || (await this.#spfPasses(attempt))) return 'pass'
    const key = lowerAscii(
      `${address.text}\n${normalSender(attempt.sender.text)}\n${attempt.recipient?.text ?? ''}`,
    )
    return this.#decide(key, now)
  }

  #decide(key: string, now: number): Verdict {
    const entry = this.#entries.get(key)
    if (!entry || hasTimedOut(entry, now)) {
      this.#entries.set(key, { kind: 'pending', acceptedFrom: now + DELAY })
      return 'tempfail'
    }
    if (entry.kind === 'pending' && now < entry.acceptedFrom) return 'tempfail'
    this.#entries.set(key, { kind: 'whitelisted', until: now + AUTO_WHITELIST })
    return 'pass'
  }
}

function hasTimedOut(entry: Entry, now: number): boolean {
  return entry.kind === 'pending' ? now - entry.acceptedFrom > TIMEOUT : entry.until < now
}

/** What follows the last =, as mailing lists put there what stays the same. */
function normalSender(sender: string): string {
  return sender.slice(sender.lastIndexOf('=') + 1)
}
