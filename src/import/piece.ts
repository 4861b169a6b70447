// What an import merges into a store, wherever it comes from.

import { nameInKey, readTripletKey } from '../greylist/keys.ts'
import type { Learnt } from '../store/merge.ts'
import { kindOf } from '../store/store.ts'
import type { NotTaken } from './remembered.ts'

/** One thing to be merged. */
export type Piece = LearntKey | SetField

/** What is known of a key of mail. */
export interface LearntKey {
  readonly kind: 'key'
  readonly key: string
  readonly learnt: Learnt
}

/** A field of a record of operators; a field that the store has already stays as it is. */
export interface SetField {
  readonly kind: 'field'
  readonly record: string
  readonly field: string
  readonly text: string
}

/** Something that was remembered for so long that greymx would have forgotten it by its own settings. */
export interface Expired {
  readonly kind: 'expired'
}

/** What comes of one record of a source. */
export type Found = Piece | Expired | NotTaken

/**
 * Sorts of pieces, as an operator is told of them: triplets that have passed or wait, names of clients in the
 * auto-whitelist, other things that are kept of mail, and operators' rules and recipients.
 */
export const SORTS = ['passed', 'waiting', 'listed', 'other', 'rules'] as const
export type Sort = (typeof SORTS)[number]

/** The kinds of keys of triplets (greylist/keys.ts). */
const TRIPLETS: ReadonlySet<string> = new Set(['t', 'f'])
const LISTED = 'w'

export function sortOf(piece: Piece): Sort {
  if (piece.kind === 'field') return 'rules'
  const kind = kindOf(piece.key)
  if (kind === LISTED) return 'listed'
  if (!TRIPLETS.has(kind) || !('passed' in piece.learnt)) return 'other'
  return piece.learnt.passed ? 'passed' : 'waiting'
}

/** The piece in words. `inWords` writes a duration in milliseconds. */
export function describePiece(piece: Piece, inWords: (duration: number) => string): string {
  if (piece.kind === 'field') return `${piece.record}: ${piece.field} ${piece.text}`
  const { key, learnt } = piece
  const end = `forgotten in ${inWords(learnt.left)}`
  if (!('passed' in learnt)) return `${key}: a count, ${end}`
  const state = learnt.passed ? 'passed' : `has waited ${inWords(learnt.ttl - learnt.left)}`
  const triplet = readTripletKey(key)
  if (triplet?.sender !== undefined) {
    const { name, sender, recipient } = triplet
    const to = recipient === undefined ? '' : ` to ${recipient}`
    return `${name} from ${sender || '<>'}${to}: ${state}, ${end}`
  }
  if (kindOf(key) === LISTED) return `${nameInKey(key)}: in the auto-whitelist, ${end}`
  return `${key}: ${state}, ${end}`
}
