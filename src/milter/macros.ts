// The values of the MTA's macros, kept for as long as they are in effect: those of CONNECT and HELO for the connection,
// those of later stages until the transaction ends. A lookup tries later stages first.
// Source: libmilter smfi_getsymval page ("Macros ... are in effect until").

import type { CommandName } from './codes.ts'
import type { MacroPairs } from './command.ts'

const TRANSACTION_STAGES: readonly CommandName[] = ['BODYEOB', 'EOH', 'HEADER', 'DATA', 'RCPT', 'MAIL']
const CONNECTION_STAGES: readonly CommandName[] = ['HELO', 'CONNECT']
const LOOKUP_ORDER: readonly CommandName[] = [...TRANSACTION_STAGES, ...CONNECTION_STAGES]

/** Memory that a macro takes beside its text, in bytes. */
const MACRO_OVERHEAD = 100

const NONE: MacroPairs = []

/** The macros of one connection that are in effect. */
export class Macros {
  /** The macros of each stage, in the order of a lookup. */
  readonly #stages: MacroPairs[] = LOOKUP_ORDER.map(() => NONE)
  #held = 0

  /** Estimated memory that the macros take, in bytes. */
  get held(): number {
    return this.#held
  }

  /**
   * Replaces the macros of `stage`; those of MAIL begin a transaction, with or without an ABORT before it. Macros of a
   * stage that no lookup tries are dropped.
   */
  set(stage: CommandName, macros: MacroPairs): void {
    if (stage === 'MAIL') this.endTransaction()
    const place = LOOKUP_ORDER.indexOf(stage)
    if (place !== -1) this.#replace(place, macros)
  }

  /** The value of a macro, by its name without braces; `undefined` if the MTA did not send it. */
  get(name: string): string | undefined {
    for (const macros of this.#stages) {
      for (const macro of macros) if (macro[0] === name) return macro[1]
    }
    return undefined
  }

  endTransaction(): void {
    this.#drop(TRANSACTION_STAGES.length)
  }

  endConnection(): void {
    this.#drop(LOOKUP_ORDER.length)
  }

  /** Drops the macros of the first `count` stages. */
  #drop(count: number): void {
    for (let place = 0; place < count; place += 1) this.#replace(place, NONE)
  }

  #replace(place: number, macros: MacroPairs): void {
    this.#held += heldBy(macros) - heldBy(this.#stages[place] ?? NONE)
    this.#stages[place] = macros
  }
}

function heldBy(macros: MacroPairs): number {
  let held = 0
  for (const [name, value] of macros) held += MACRO_OVERHEAD + name.length + value.length
  return held
}
