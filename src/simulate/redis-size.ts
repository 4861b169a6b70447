// What a state costs in Redis. A key with a TTL is an entry in two hash tables and three allocations. A text that is a
// whole number takes no more than its object, and those below 10,000 share one object each.
// Source: Redis 7 and 8, sds.h (headers of texts), object.c (embedded texts, numbers), server.h (shared objects), dict.h
// and dict.c (entries and buckets); the test compares it with what a real Redis uses.

export interface StateSize {
  /** Number of keys. */
  readonly keys: number
  /** Memory of Redis that they take, in bytes. */
  readonly bytes: number
}

/** Redis's own prefix of greymx's keys, by default. */
const PREFIX = 'greymx:'.length

/** Longest text that has the smallest header. */
const SMALL_TEXT = 31
/** Whole numbers that fit into 64 bits, as Redis writes them, and the least one that has an object of its own. */
const NUMBER = /^(?:0|[1-9]\d{0,17}|[1-8]\d{18})$/
const MIN_OWN_NUMBER = 10_000
/** An object without its text, and an entry of a hash table. */
const OBJECT = 16
const TABLE_ENTRY = 24
/** A bucket of a hash table is a pointer. */
const BUCKET = 8

/** The size of a state, given as its keys and the texts under them. */
export function sizeOf(state: Iterable<readonly [key: string, text: string]>): StateSize {
  let keys = 0
  let bytes = 0
  for (const [key, text] of state) {
    keys += 1
    const keyLength = PREFIX + Buffer.byteLength(key)
    bytes += allocated(headerOf(keyLength) + keyLength + 1)
    bytes += sizeOfText(text)
    bytes += 2 * allocated(TABLE_ENTRY)
  }
  // Keys and TTLs have a table each, of a power of two of buckets, at least one for each entry.
  const buckets = keys === 0 ? 0 : 2 ** Math.ceil(Math.log2(keys))
  return { keys, bytes: bytes + 2 * buckets * BUCKET }
}

function sizeOfText(text: string): number {
  if (NUMBER.test(text)) return Number(text) < MIN_OWN_NUMBER ? 0 : OBJECT
  return allocated(OBJECT + 3 + text.length + 1)
}

function headerOf(length: number): number {
  return length <= SMALL_TEXT ? 1 : 3
}

/** What jemalloc gives for a size: multiples of 16 up to 128, then four steps in each power of two. */
function allocated(size: number): number {
  if (size <= 128) return Math.ceil(size / 16) * 16
  const step = 2 ** (Math.ceil(Math.log2(size)) - 3)
  return Math.ceil(size / step) * step
}
