// The names of clients that had one deferral of late, which no tally has yet (evidence.ts). Most names never have a
// second one, and a counter for each of them would take more of the store than the triplet itself. So the first deferral
// under a name is noted in this process only, and the second one writes both.
//
// With several MX hosts or several processes on one, and after a restart or reload, a tally may lack one deferral for
// each process. So it may for a name whose slot another name has taken. If the retry passes at another one, the tally
// may have one too many for two days. A stranger gains nothing by it: where four wait in a crowd, where two may stay
// away and where 10,000 are kept, there may be one more for each process. Credit (first-mail.ts) is withheld for one
// deferral, and therefore does without this table.

import { RecentNames } from '../store/recent.ts'
import { TALLY_WINDOW } from './evidence.ts'

/** The names, each with the instant of its deferral; of `RecentNames`, for the window of a tally. */
export class UntalliedNames {
  readonly #recent: RecentNames

  /** The arguments are those of `RecentNames`. */
  constructor(now: () => number, seeds?: Uint32Array) {
    this.#recent = new RecentNames(now, TALLY_WINDOW, seeds)
  }

  /** Milliseconds since the deferral under `name`; `undefined` if there is none, or not within TALLY_WINDOW. */
  ageOf(name: string): number | undefined {
    return this.#recent.ageOf(name)
  }

  /** Notes a deferral under `name`. */
  note(name: string): void {
    this.#recent.note(name)
  }

  /** Removes the deferral under `name`, and returns its age as `ageOf` does. */
  take(name: string): number | undefined {
    return this.#recent.take(name)
  }
}
