// The decisions of OpenBSD's spamd with pf and spamlogd in virtual time, with its defaults: a retry after 25 minutes and
// within 4 hours of the first attempt puts the client's address on the whitelist, for 36 days from its last connection.
// Source: OpenBSD libexec/spamd, grey.c 1.64 (greyupdate, greyscan), grey.h 1.9, spamd.c (nextstate); libexec/spamlogd,
// spamlogd.c 1.21; spamd(8) with the pf.conf(5) that it suggests.
// Left out: blacklists, greytrapping, hosts that spamlogd lists as mail goes out to them, the seconds that a scan takes.
// Scans begin with each minute of virtual time.
// spamd lets any RCPT through and defers at DATA, whoever the sender is, so that callouts with a sender find a valid
// recipient, too.

import type { Attempt } from '../../attempt.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'

// spamd counts whole seconds.
const MINUTE = 60
const HOUR = 60 * MINUTE
const PASS_TIME = 25 * MINUTE
const GREY_EXPIRY = 4 * HOUR
const WHITE_EXPIRY = 864 * HOUR
const SCAN_INTERVAL = MINUTE

/** An address on the whitelist, from and until the scans that pf's table is changed by. */
interface Listing {
  readonly from: number
  readonly until: number
}

export class Spamd implements Judge {
  readonly name = 'OpenBSD spamd'
  readonly #listings = new Map<string, Listing>()
  /** First attempts, by tuple. */
  readonly #firstSeen = new Map<string, number>()

  judgesAtData(): boolean {
    return true
  }

  async judge({ client, sender, recipient }: Attempt, at: number): Promise<Verdict> {
    const { address, helo = '' } = client
    // spamd listens on IPv4 alone; pf diverts no other connection to it.
    if (address?.kind !== 'ipv4') return 'pass'
    const now = Math.floor(at / 1000)
    const lastScan = now - (now % SCAN_INTERVAL)

    const listing = this.#listings.get(address.text)
    const isListed = listing !== undefined && listing.until > lastScan
    if (isListed && listing.from <= lastScan) {
      this.#listings.set(address.text, { ...listing, until: now + WHITE_EXPIRY })
      return 'pass'
    }

    const tuple = [address.text, helo, sender.text, recipient?.text ?? ''].join('\n')
    const first = this.#firstSeen.get(tuple)
    if (first === undefined || first + GREY_EXPIRY <= lastScan) {
      this.#firstSeen.set(tuple, now)
      return 'tempfail'
    }
    // The retry is deferred all the same. The next scan lists its address, or deletes a tuple that has expired by then.
    const nextScan = lastScan + SCAN_INTERVAL
    if (!isListed && first + PASS_TIME < now && first + GREY_EXPIRY > nextScan) {
      this.#listings.set(address.text, { from: nextScan, until: nextScan + WHITE_EXPIRY })
    }
    return 'tempfail'
  }
}
