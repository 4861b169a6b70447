// The table of greylisters whose memory greymx takes over: what each is called on the command line, what it has left
// behind, and the function that reads that.

import type { PeerReader } from '../remembered.ts'

/** A greylister that greymx takes over from. */
export interface Peer {
  /** Its name in `greymx import NAME SOURCE`. */
  readonly name: string
  /** What a source has to be, in words for messages, such as `the directory of Postgrey's databases`. */
  readonly reads: string
  /** Loads what it needs when it is called, as the command line loads this table. */
  readonly read: PeerReader
}

/** What greymx itself is called there: its exports are read by read.ts. */
export const OWN_NAME = 'greymx'

export const PEERS: readonly Peer[] = []
