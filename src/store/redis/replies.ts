// Ends a connection to Redis on a stray reply: one to no command, or of another type than its command's. Otherwise each
// later reply would be taken for that of another command, and entries for those of other keys.
//
// ioredis 6.0 goes on with such a connection. When it fails on a reply, as on a nil to no command, it throws where no
// caller can catch it, which ends the process (dispatch and shiftCommand of its DataHandler). Here the connection is
// closed, as ioredis does on a protocol error, and the client reconnects.
//
// In passing, nodes of a Cluster that are named without a host get one, as ioredis does not know them otherwise.

import { fillHosts, fillRedirection } from './cluster.ts'
import { requireDataHandler } from './ioredis-internals.ts'
import { ExplainedProblem } from './problem.ts'

type IsOfKind = (reply: unknown) => boolean

const isNumber: IsOfKind = (reply) => typeof reply === 'number'
const isText: IsOfKind = (reply) => reply === null || Buffer.isBuffer(reply)

function isListOf(length: number, reply: unknown): boolean {
  return Array.isArray(reply) && reply.length === length && reply.every(isText)
}

/** Types of the replies to the commands that mail waits for. */
const KINDS: ReadonlyMap<string, IsOfKind> = new Map([
  ['pttl', isNumber],
  ['get', isText],
  ['set', isText],
  ['incrby', isNumber],
  ['pexpire', isNumber],
  ['del', isNumber],
])

/** The connections on which the last MULTI was refused, so that the commands behind it are run at once, each by itself. */
const withoutTransaction = new WeakSet<object>()

/** Patches ioredis; the caller does so once, before the first connection. Throws when ioredis has other internals. */
export function endOnStrayReplies(): void {
  const prototype = requireDataHandler()

  // An exception goes up to the reader of the stream, which closes the connection as on a protocol error.
  prototype.dispatch = (handle) => handle()

  prototype.shiftCommand = function (reply) {
    const { commandQueue, options } = this.redis
    const item = commandQueue.peekFront()
    if (!item) throw new ExplainedProblem('it sent a reply that belongs to no command')
    if (item.command.name === 'cluster') fillHosts(reply, options.host ?? '')
    if (reply instanceof Error) reply.message = fillRedirection(reply.message, options.host ?? '')
    const { name, replies, inTransaction } = item.command
    if (name === 'multi') {
      if (reply instanceof Error) withoutTransaction.add(this)
      else withoutTransaction.delete(this)
    }
    // Within a transaction, Redis says that the command is queued.
    const kind = inTransaction && !withoutTransaction.has(this) ? isText : KINDS.get(name)
    const isOfKind = replies === undefined ? (kind?.(reply) ?? true) : isListOf(replies, reply)
    if (!isOfKind && !(reply instanceof Error))
      throw new ExplainedProblem(`its reply to ${name} belongs to another command`)
    return commandQueue.shift()
  }
}
