// Identity, sender, recipient → the key under which the store remembers them. Keys are readable text; two different
// triplets never share one.

import { hash } from 'node:crypto'
import { type Address, normalForm } from '../address.ts'

/** Longest key in UTF-16 units; LMDB takes 1978 bytes, and a unit is 3 bytes of UTF-8 at most. */
const MAX_KEY = 600
const REF_DIGITS = 8

const SEPARATOR = '|'
/** What would be ambiguous between parts, unreadable in a terminal, or (lone surrogates) lost in UTF-8. */
const UNSAFE = /[\\|\p{Cc}\p{Cs}]/gu

/** `recipient` is absent for keys of client and sender alone. A key too long for a store ends in its SHA-256. */
export function tripletKey(identity: string, sender: Address, recipient: Address | undefined): string {
  const parts = [identity, normalForm(sender), ...(recipient ? [normalForm(recipient)] : [])]
  const key = `t:${parts.map(escapePart).join(SEPARATOR)}`
  return key.length <= MAX_KEY ? key : `t:${identity}${SEPARATOR}sha256:${hash('sha256', key, 'hex')}`
}

/** A short name for a triplet, the same on every host: what a deferred sender quotes leads to its log lines. */
export function tripletRef(key: string): string {
  return hash('sha1', key, 'hex').slice(0, REF_DIGITS)
}

function escapePart(part: string): string {
  return part.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
