// Keeps addresses out of the store (`privacy: hmac`): in all keys, a keyed hash stands in place of a sender form and of a
// recipient. Who has the store and not the key file can neither read addresses nor try out whether one is there.
// Domains, networks and host names stay readable. Two keys at a time let the operator change the key without
// greylisting everybody again.
// Source: RFC 2104 (HMAC), with SHA-256.

import { createHmac } from 'node:crypto'
import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'

/** A key of at least MIN_KEY characters, or `none` for addresses as they are. */
export type PrivacyKey = string

/** Shortest key, in characters. */
export const MIN_KEY = 32

/** Most keys: the one in use, and the one before it. */
export const MAX_KEYS = 2

/** Bytes of a hash that are kept. */
const HASH_BYTES = 16

/** A hash as it stands in keys. No address and no sender form is one, as it has no @ and is no local part of an MTA's. */
const HASH = /^#[\w-]{22}$/

/** Replaces texts by what the store may have of them. */
export interface Concealment {
  /** The hash of a text; `''`, the sender form of bounces, stays. */
  text(text: string): string
  /** The address with the hash in place of its normal form. Its domain stays, for rules that go by it. */
  address(address: Address): Address
}

const NO_CONCEALMENT: Concealment = { text: (text) => text, address: (address) => address }

/** The concealments for these keys, the one in use first; without keys, one that conceals nothing. */
export function concealments(keys: readonly PrivacyKey[] = []): readonly [Concealment, ...Concealment[]] {
  const [current = NO_CONCEALMENT, ...former] = keys.map(concealmentOf)
  return [current, ...former]
}

/** The attempt as the store may know it. */
export function concealed(attempt: Attempt, { address }: Concealment): Attempt {
  const { sender, recipient } = attempt
  return { ...attempt, sender: address(sender), recipient: recipient && address(recipient) }
}

/** Whether a text is a hash in place of an address. */
export function isConcealed(text: string): boolean {
  return HASH.test(text)
}

function concealmentOf(key: PrivacyKey): Concealment {
  if (key === 'none') return NO_CONCEALMENT
  const text = (given: string) => {
    if (given === '' || isConcealed(given)) return given
    return `#${createHmac('sha256', key).update(given).digest().subarray(0, HASH_BYTES).toString('base64url')}`
  }
  return { text, address: (address) => ({ ...address, normal: text(address.normal) }) }
}
