// greymx list and greymx forget: asks the running daemon for what is kept of triplets, and prints it as it comes.

import type { ShownEntry } from '../operator/entries.ts'
import { inWords } from '../operator/in-words.ts'
import { type CallValues, callDaemon, streamFromDaemon } from './call.ts'
import { knownWidth } from './columns.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { cut } from './figures.ts'
import { print } from './output.ts'

/** Prints entries, one a line, until there are no more or nobody reads on. */
export async function list(values: CallValues, params: object): Promise<ExitStatus> {
  const width = knownWidth()
  let count = 0
  const status = await streamFromDaemon(values, 'list', params, (item) => {
    const entry = item as ShownEntry
    const heads = count === 0 ? HEADS : ''
    count += 1
    return print(values.json ? `${JSON.stringify(entry)}\n` : `${heads}${lineOf(entry, width)}`)
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

/** Least length to which an address is cut, in characters. */
const MIN_PART = 8

/** The entry in a line of at most `width` characters; one that goes into a file or a pipe is not cut. */
function lineOf(entry: ShownEntry, width = Number.POSITIVE_INFINITY): string {
  const { state, age, ref, client, sender, recipient, key } = entry
  const beginning = row(state, inWords(age), ref ?? '')
  const triplet = sender === undefined ? [client, key] : [client, sender || '<>', recipient]
  const parts = triplet.filter((part) => part !== undefined)
  const line = () => `${beginning}${parts.join('  ')}`
  while (line().length > width) {
    const longest = parts.reduce((most, { length }) => Math.max(most, length), 0)
    if (longest <= MIN_PART) break
    const excess = line().length - width
    const size = Math.max(MIN_PART, longest - excess)
    const index = parts.findIndex(({ length }) => length === longest)
    parts[index] = cut(parts[index] ?? '', size)
  }
  return `${line()}\n`
}

function row(...cells: readonly string[]): string {
  return cells.map((cell, index) => `${cell.padEnd(WIDTHS[index] ?? 0)} `).join('')
}
