// A world as the engine runs it: all messages in the order of time, their classes, and the DNS. The same data, size and
// seed make the same world.

import type { WorldData } from './data.ts'
import { type AddMail, addWanted, type Mail } from './mail.ts'
import { Population, type Size } from './population.ts'
import { addSpam } from './spam.ts'
import type { Zone } from './zone.ts'

/** What the messages of one class have in common. */
export interface MailClass {
  readonly name: string
  readonly kind: 'wanted' | 'callout' | 'spam'
  /** Whether each attempt has another sender. */
  readonly changesSender: boolean
  /** The age at which a message is worth nothing, in milliseconds; absent if there is none. */
  readonly deadline: number | undefined
  /** Whether greylisting can stop it; true for spam alone. */
  readonly isStoppable: boolean
}

export interface World {
  readonly size: Size
  readonly classes: readonly MailClass[]
  readonly mails: readonly Mail[]
  /** Number of organisations that wanted mail may come from. */
  readonly organisations: number
  readonly zone: Zone
}

/** Makes the world. Throws `NoRoom` if it has too many networks. */
export function makeWorld(data: WorldData, size: Size): World {
  const population = new Population(data, size)
  const classes: MailClass[] = []
  const mails: Mail[] = []
  const adder = (mailClass: MailClass): AddMail => {
    const classIndex = classes.push(mailClass) - 1
    let count = 0
    return ({ at, organisation, source, sender, recipient }) => {
      const seed = population.seed('message', mailClass.name, count) | 0
      mails.push({ at, classIndex, organisation, source, seed, sender, recipient })
      count += 1
    }
  }
  for (const [name, sender] of data.senders) {
    const kind = sender.mail === 'callouts' ? 'callout' : 'wanted'
    const add = adder({ name, kind, changesSender: false, deadline: sender.deadline, isStoppable: false })
    addWanted(name, sender, population, add)
  }
  const spams = data.spam * size.recipients * size.days * size.scale
  const shares = [...data.bots.values()].reduce((sum, { share }) => sum + share, 0)
  for (const [name, bot] of data.bots) {
    const { isStoppable } = bot
    const changesSender = bot.changesSender === 'attempt'
    const add = adder({ name, kind: 'spam', changesSender, deadline: undefined, isStoppable })
    addSpam(name, bot, shares > 0 ? Math.round((spams * bot.share) / shares) : 0, population, add)
  }
  // Sorting is stable, so that messages of one instant keep the order in which they were made.
  mails.sort((one, other) => one.at - other.at)
  return { size, classes, mails, organisations: population.organisations.length, zone: population.zone }
}
