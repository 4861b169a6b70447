// The program of the process that has the LMDB environment open. client.ts starts it and sends batches of operations;
// it replies with their answers. It ends when its parent disconnects or ends. What the operations do is in file.ts.

import { messageOf } from '../../errors.ts'
import { type Damage, inodeOfData, isFull, moveAside } from './aside.ts'
import { type Answer, CannotOpen, type Contents, LmdbFile, type Obstacle } from './file.ts'
import type { Operation } from './operation.ts'

/** A message of the parent: operations to be performed together; `now` is in milliseconds since the epoch. */
export interface Request {
  readonly id: number
  readonly now: number
  readonly operations: readonly Operation[]
}

/**
 * A message to the parent: what happens until the environment is open, then the answers of each request, in any order.
 * `file` is the inode of the data file, if there is one.
 */
export type Report =
  | { readonly kind: 'moved-aside'; readonly problem: string; readonly movedTo: string }
  | { readonly kind: 'opening'; readonly file?: number | undefined }
  | { readonly kind: 'opened'; readonly file?: number | undefined }
  | { readonly kind: 'cannot-open'; readonly obstacle: Obstacle; readonly problem: string }
  | { readonly kind: 'answers'; readonly id: number; readonly answers: readonly Answer[] }

// A terminal or service manager signals all processes of greymx; this one ignores that, to complete open transactions.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
// lmdb rejects several promises for one failed commit, some of which it never hands out.
process.on('unhandledRejection', () => undefined)

const [, , directory = '', contents = 'entries', damage] = process.argv
let file: LmdbFile | undefined
const underway = new Set<Promise<void>>()

process.on('message', (request: Request) => {
  const done = answer(request).finally(() => underway.delete(done))
  underway.add(done)
})

process.on('disconnect', async () => {
  await Promise.allSettled(underway)
  await file?.close()
  process.exit()
})

if (damage === undefined || clear(JSON.parse(damage))) {
  // The parent has to know the file before it is opened, as opening a damaged one may kill this process.
  send({ kind: 'opening', file: inodeOfData(directory) }, () => {
    try {
      file = new LmdbFile(directory, contents as Contents) // client.ts passes no other
      send({ kind: 'opened', file: inodeOfData(directory) })
    } catch (error) {
      refuse(error)
    }
  })
}

/** Moves aside what an earlier process found damaged; returns whether the environment may be opened. */
function clear(damage: Damage): boolean {
  const { problem } = damage
  if (isFull(directory)) {
    send({ kind: 'cannot-open', obstacle: 'passing', problem: `the disk is full (${problem})` })
    return false
  }
  try {
    const movedTo = moveAside(directory, damage)
    if (movedTo !== undefined) send({ kind: 'moved-aside', problem, movedTo })
    return true
  } catch (error) {
    const reason = `${problem}; it cannot be moved aside: ${messageOf(error)}`
    send({ kind: 'cannot-open', obstacle: 'lasting', problem: reason })
    return false
  }
}

function refuse(error: unknown): void {
  const obstacle = error instanceof CannotOpen ? error.obstacle : 'lasting'
  send({ kind: 'cannot-open', obstacle, problem: messageOf(error) })
}

async function answer({ id, now, operations }: Request): Promise<void> {
  if (!file) return
  try {
    send({ kind: 'answers', id, answers: await file.perform(operations, now) })
  } catch (error) {
    refuse(error)
  }
}

function send(report: Report, sent: () => void = () => undefined): void {
  if (process.connected) process.send?.(report, sent)
}
