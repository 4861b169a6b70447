// How this process is, as /healthz and the page show it.

import type { StoreState } from '../store/guard.ts'

/** The state of the process, as /healthz shows it. */
export interface Health {
  readonly store: StoreState & { readonly name: string }
  /** What this host keeps beside the store; `unmerged` counts the entries that the store does not have yet. */
  readonly local?: { readonly name: string; readonly entries: number; readonly unmerged: number }
  /** The sockets of the milter protocol, those of Postfix's policy protocol, and those for Exim. */
  readonly listeners: readonly string[]
  readonly policy: readonly string[]
  readonly exim: readonly string[]
  /** What the operator should look at although greymx is healthy; empty if nothing. */
  readonly warnings: readonly string[]
}
