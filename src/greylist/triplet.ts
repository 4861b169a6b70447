// Identity, sender, recipient → the key under which the store remembers them. Keys are readable text; two different
// triplets never share one.

import { hash } from 'node:crypto'
import type { Address } from '../address.ts'

/** Longest key in UTF-16 units; LMDB takes 1978 bytes, and a unit is 3 bytes of UTF-8 at most. */
const MAX_KEY = 600

const SEPARATOR = '|'
/** What would be ambiguous between parts, unreadable in a terminal, or (lone surrogates) lost in UTF-8. */
const UNSAFE = /[\\|\p{Cc}\p{Cs}]/gu
/** Nothing unsafe, without a look at Unicode's tables: so are all but a few parts. */
const PLAIN = /^[!-[\]-{}~]*$/

/** `recipient` is absent for keys of client and sender alone. A key too long for a store ends in its SHA-256. */
export function tripletKey(identity: string, sender: Address, recipient: Address | undefined): string {
  const pair = `t:${identity}${SEPARATOR}${escapePart(sender.normal)}`
  const key = recipient ? `${pair}${SEPARATOR}${escapePart(recipient.normal)}` : pair
  return key.length <= MAX_KEY ? key : `t:${identity}${SEPARATOR}\\sha256:${hash('sha256', key, 'hex')}`
}

/** A short name for a triplet, the same on every host: what a deferred sender quotes leads to its log lines. */
export function tripletRef(key: string): string {
  // FNV-1a: it has to be short and quick, made for every attempt; two triplets with one reference do no harm.
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function escapePart(part: string): string {
  if (PLAIN.test(part)) return part
  return part.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
