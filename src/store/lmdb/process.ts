// The program of the process that has the LMDB environment open. client.ts starts it and sends batches of operations;
// it replies with their answers. It ends when its parent disconnects or ends. What the operations do is in file.ts.

import { messageOf } from '../../errors.ts'
import { type Answer, CannotOpen, type Contents, LmdbFile, type Obstacle, type Operation } from './file.ts'

/** A message of the parent: operations to be performed together; `now` is in milliseconds since the epoch. */
export interface Request {
  readonly id: number
  readonly now: number
  readonly operations: readonly Operation[]
}

/** A message to the parent: first whether the environment is open, then the answers of each request, in any order. */
export type Report =
  | { readonly kind: 'opened' }
  | { readonly kind: 'cannot-open'; readonly obstacle: Obstacle; readonly problem: string }
  | { readonly kind: 'answers'; readonly id: number; readonly answers: readonly Answer[] }

// A terminal or service manager signals all processes of greymx; this one ignores that, to complete open transactions.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
// lmdb rejects several promises for one failed commit, some of which it never hands out.
process.on('unhandledRejection', () => undefined)

const [, , directory = '', contents = 'entries'] = process.argv
const file = openFile(directory, contents as Contents) // client.ts passes no other
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

function openFile(directory: string, contents: Contents): LmdbFile | undefined {
  try {
    const opened = new LmdbFile(directory, contents)
    send({ kind: 'opened' })
    return opened
  } catch (error) {
    refuse(error)
    return undefined
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

function send(report: Report): void {
  if (process.connected) process.send?.(report)
}
