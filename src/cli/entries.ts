// greymx list and greymx forget: asks the running daemon for what is kept of triplets, and prints it as it comes.

import type { ShownEntry } from '../operator/entries.ts'
import { inWords } from '../operator/in-words.ts'
import { type CallValues, callDaemon, streamFromDaemon } from './call.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { print } from './output.ts'

/** Prints entries, one a line. */
export async function list(values: CallValues, params: object): Promise<ExitStatus> {
  let count = 0
  const status = await streamFromDaemon(values, 'list', params, (item) => {
    const entry = item as ShownEntry
    count += 1
    if (values.json) return print(`${JSON.stringify(entry)}\n`)
    return print(`${count === 1 ? HEADS : ''}${lineOf(entry)}`)
  })
  if (status === EXIT.ok && count === 0 && !values.json) print('Nothing is kept that matches.\n')
  return status
}

/** Forgets, and prints how much. */
export async function forget(values: CallValues, params: object): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'forget', params)
  if ('status' in answered) return answered.status
  const { forgotten, deferrals, unreadable } = answered.answer as {
    readonly forgotten: number
    readonly deferrals: number
    readonly unreadable: number
  }
  if (values.json) {
    print(`${JSON.stringify(answered.answer)}\n`)
    return EXIT.ok
  }
  print(`Forgotten: ${forgotten} keys, and ${deferrals} deferrals of the last week.\n`)
  if (unreadable > 0)
    print(
      `${unreadable} keys have a digest in place of their addresses, so that nobody can tell whose they are. They expire by themselves.\n`,
    )
  print('Log files, and what other programs have logged, are not touched.\n')
  return EXIT.ok
}

/** Entries come one by one, so that their columns have fixed widths. */
const WIDTHS = [8, 8, 9] as const
const HEADS = `${row('STATE', 'AGE', 'REF')}CLIENT, SENDER, RECIPIENT\n`

function lineOf({ state, age, ref, client, sender, recipient, key }: ShownEntry): string {
  const triplet = sender === undefined ? [client, key] : [client, sender || '<>', recipient]
  return `${row(state, inWords(age), ref ?? '')}${triplet.filter((part) => part !== undefined).join('  ')}\n`
}

function row(...cells: readonly string[]): string {
  return cells.map((cell, index) => `${cell.padEnd(WIDTHS[index] ?? 0)} `).join('')
}
