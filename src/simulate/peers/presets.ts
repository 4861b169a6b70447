// The peers whose decisions greymx's are compared with. Each has its own rules and times, in a file of its own.

import type { Judge } from '../judge.ts'
import { MilterGreylist, type SpfPasses } from './milter-greylist.ts'
import { DEBIAN_LISTS, NO_CLIENTS, Postgrey } from './postgrey.ts'
import { Rspamd } from './rspamd.ts'
import { Rudd } from './rudd.ts'
import { Spamd } from './spamd.ts'
import { Sqlgrey } from './sqlgrey.ts'

/** Functions that each make a peer without memory of earlier attempts, in the order of a table. */
export function peersWith(spfPasses: SpfPasses): ReadonlyArray<() => Judge> {
  return [
    () => new Postgrey('Postgrey', DEBIAN_LISTS),
    () => new Postgrey('Postgrey without its list', NO_CLIENTS),
    () => new Sqlgrey(),
    () => new Rspamd(),
    () => new MilterGreylist(spfPasses),
    () => new Spamd(),
    () => new Rudd(),
  ]
}
