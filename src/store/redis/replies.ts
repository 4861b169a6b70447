// What becomes of a connection to Redis when a reply comes that is none: to no command, or of another kind than its
// command's. Then all replies behind it would be taken for those of other commands, and entries for those of other keys.
//
// ioredis 6.0 goes on with such a connection; and where it fails over a reply, as over a nil that nobody asked for, it
// throws where nobody can catch it, which ends the process (dispatch and shiftCommand of its DataHandler). Here the
// connection ends, as it does over what is no reply at all, and another one is made.

import { requireDataHandler } from './ioredis-internals.ts'
import { ExplainedProblem } from './problem.ts'

type IsOfKind = (reply: unknown) => boolean

const isNumber: IsOfKind = (reply) => typeof reply === 'number'
const isText: IsOfKind = (reply) => reply === null || Buffer.isBuffer(reply)

/** Of the commands that mail waits for. */
const KINDS: ReadonlyMap<string, IsOfKind> = new Map([
  ['pttl', isNumber],
  ['get', isText],
  ['set', isText],
  ['incr', isNumber],
  ['pexpire', isNumber],
  ['del', isNumber],
])

/** To be called once, before the first connection is made. Throws where ioredis is not as greymx knows it. */
export function endOnStrayReplies(): void {
  const prototype = requireDataHandler()

  // What is thrown meets whoever reads the stream, as what is no reply at all does.
  prototype.dispatch = (handle) => handle()

  prototype.shiftCommand = function (reply) {
    const { commandQueue } = this.redis
    const item = commandQueue.peekFront()
    if (!item) throw new ExplainedProblem('it replied to no command')
    const isOfKind = KINDS.get(item.command.name)
    if (isOfKind && !isOfKind(reply) && !(reply instanceof Error))
      throw new ExplainedProblem(`its reply to ${item.command.name} is that to another command`)
    return commandQueue.shift()
  }
}
