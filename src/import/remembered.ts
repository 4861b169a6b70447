// What a greylister remembers, as a reader of its files says it (peers/) and as it is written to a store (write.ts).
// Instants are milliseconds since 1970. Nothing here knows a file format or a store.

/** One thing that was remembered. `client` is an address, or a network as ADDRESS/BITS. */
export type Remembered = Waiting | Passed | Listed

interface Correspondence {
  readonly client: string
  /** The envelope sender without `<>`, '' for the null sender. */
  readonly sender: string
  /** Absent where the peer keeps a pass for all recipients. */
  readonly recipient?: string
}

/** A triplet whose first attempt was deferred and that has not passed yet. */
export interface Waiting extends Correspondence {
  readonly kind: 'waiting'
  readonly firstSeen: number
}

/** A triplet that has passed. */
export interface Passed extends Correspondence {
  readonly kind: 'passed'
  readonly lastUsed: number
  /** When the peer would forget it; absent where the peer computes that from its settings. */
  readonly expiresAt?: number
}

/** A client that the peer lets through by itself: an auto-whitelist. */
export interface Listed {
  readonly kind: 'listed'
  readonly client: string
  /** Only senders of this domain are let through, '' for those without a domain; absent where all are. */
  readonly senderDomain?: string
  readonly lastUsed: number
  readonly expiresAt?: number
}

/** A record that was read but not taken: broken (counts towards --max-errors), or of a kind that greymx cannot know. */
export interface NotTaken {
  readonly kind: 'broken' | 'unknowable'
  /** `LINE` of the file, or the record's key. */
  readonly where: string
  /** What was found, and what was expected, for the operator. */
  readonly problem: string
}

/** Reads what a peer has left behind, a record at a time and in bounded memory. Throws when the source as a whole cannot be read. */
export type PeerReader = (source: string, options: PeerOptions) => AsyncIterable<Remembered | NotTaken>

/** What a reader is told about the import. */
export interface PeerOptions {
  /** Now, in milliseconds since 1970. */
  readonly now: number
  /** The delay of greymx, in milliseconds, for a peer whose records do not tell its own. */
  readonly delay: number
  /** First passes after which greymx lists a client, for a peer whose records do not tell its own number. */
  readonly passes: number
}
