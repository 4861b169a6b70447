// The values of the MTA's macros, kept for as long as they are in effect: those of CONNECT and HELO for the connection,
// those of later stages until the transaction ends. A lookup tries later stages first.
// Source: libmilter smfi_getsymval page ("Macros ... are in effect until").

import type { CommandName } from './codes.ts'
import type { MacroPairs } from './command.ts'

const CONNECTION_STAGES: readonly CommandName[] = ['HELO', 'CONNECT']
const TRANSACTION_STAGES: readonly CommandName[] = ['BODYEOB', 'EOH', 'HEADER', 'DATA', 'RCPT', 'MAIL']
const LOOKUP_ORDER: readonly CommandName[] = [...TRANSACTION_STAGES, ...CONNECTION_STAGES]

/** Memory that a macro takes beside its text, in bytes. */
const MACRO_OVERHEAD = 100

/** The macros of one connection that are in effect. */
export class Macros {
  readonly #byStage = new Map<CommandName, MacroPairs>()

  /** Estimated memory that the macros take, in bytes. */
  get held(): number {
    let held = 0
    for (const macros of this.#byStage.values()) {
      for (const [name, value] of macros) held += MACRO_OVERHEAD + name.length + value.length
    }
    return held
  }

  /** Replaces the macros of `stage`; those of MAIL begin a transaction, with or without an ABORT before it. */
  set(stage: CommandName, macros: MacroPairs): void {
    if (stage === 'MAIL') this.endTransaction()
    this.#byStage.set(stage, macros)
  }

  /** The value of a macro, by its name without braces; `undefined` if the MTA did not send it. */
  get(name: string): string | undefined {
    for (const stage of LOOKUP_ORDER) {
      for (const [other, value] of this.#byStage.get(stage) ?? []) if (other === name) return value
    }
    return undefined
  }

  endTransaction(): void {
    for (const stage of TRANSACTION_STAGES) this.#byStage.delete(stage)
  }

  endConnection(): void {
    this.#byStage.clear()
  }
}
