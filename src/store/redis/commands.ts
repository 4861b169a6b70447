// Sends to Redis what is asked for within one turn of the event loop, by all attempts together, in one write, as each
// write is a system call and wakes Redis up. All its GETs are one MGET. In a Cluster, each key is asked for by itself,
// since MGET is for keys of one slot only.
//
// ioredis makes a promise, some closures and a list of keys for each command, which took 150 µs of the 180 that an
// attempt with 8 entries and 8 counts needs; the commands here take 25. ioredis connects, reads and matches replies.

import { type RedisClient, streamsOf } from './client.ts'
import { slotOf } from './cluster.ts'
import { Cluster, type Redis } from './ioredis.ts'
import { queueReply, type SentCommand, sendAs } from './ioredis-internals.ts'

/** Takes a command's error, or its reply as Redis sends it: a number, or bytes. */
export type TakeReply = (error: Error | undefined, reply?: unknown) => void

/** The commands by name, as replies.ts knows their replies. */
export type CommandName = 'set' | 'pttl' | 'get' | 'incrby' | 'pexpire' | 'del'

/** Keys of one MGET, so that Redis has time for others in between. */
const MAX_KEYS = 1000

/** Redis's errors where a command is allowed for one key and not for several: the user's rights, and slots. */
const ONE_BY_ONE = /^(NOPERM|CROSSSLOT) /

/** Redis's errors for a command that the user may never send. */
const NO_MGET = /^NOPERM .*'mget' command|^CROSSSLOT /

/** ioredis's own error for a connection that is not there. */
const CLOSED = 'Connection is closed.'

interface Get {
  readonly name: string
  /** The name as a bulk string. */
  readonly bulk: string
  readonly take: TakeReply
}

/** Collects commands until the end of the turn. */
export class RedisCommands {
  readonly #client: RedisClient
  #commands: Command[] = []
  #gets: Get[] = []
  #isCollecting = false
  #mayMget = true

  constructor(client: RedisClient) {
    this.#client = client
  }

  /** Asks for what is left of a key and then for its text, so that the text is no older than what is left of it. */
  look(name: string, takeLeft: TakeReply, takeText: TakeReply): void {
    const bulk = bulkOf(name)
    this.#add(new Command('pttl', name, `*2\r\n$4\r\nPTTL\r\n${bulk}`, takeLeft))
    this.#gets.push({ name, bulk, take: takeText })
  }

  /** Asks for the text of a key; of one that has another kind of value, there may be none. */
  get(name: string, take: TakeReply): void {
    this.#gets.push({ name, bulk: bulkOf(name), take })
    this.#collect()
  }

  /** Asks for anything else about a key. */
  ask(command: CommandName, name: string, args: ReadonlyArray<string | number>, take: TakeReply): void {
    let text = `*${args.length + 2}\r\n${bulkOf(command)}${bulkOf(name)}`
    for (const arg of args) text += bulkOf(String(arg))
    this.#add(new Command(command, name, text, take))
  }

  #add(command: Command): void {
    this.#commands.push(command)
    this.#collect()
  }

  #collect(): void {
    if (this.#isCollecting) return
    this.#isCollecting = true
    setImmediate(() => this.#send())
  }

  #send(): void {
    const commands = this.#commands
    const gets = this.#gets
    this.#commands = []
    this.#gets = []
    this.#isCollecting = false
    const client = this.#client
    if (client instanceof Cluster) {
      sendEach(client, [...commands, ...gets.map(commandOf)])
      return
    }
    if (!this.#mayMget) for (const get of gets) commands.push(commandOf(get))
    else
      for (let start = 0; start < gets.length; start += MAX_KEYS)
        commands.push(this.#mget(gets.slice(start, start + MAX_KEYS)))
    sendTogether(client, commands)
  }

  #mget(gets: readonly Get[]): Command {
    let text = `*${gets.length + 1}\r\n$4\r\nMGET\r\n`
    for (const { bulk } of gets) text += bulk
    const take: TakeReply = (error, reply) => {
      if (error && ONE_BY_ONE.test(error.message)) {
        if (NO_MGET.test(error.message)) this.#mayMget = false
        for (const get of gets) this.#add(commandOf(get))
        return
      }
      const texts = reply as readonly unknown[] | undefined // replies.ts has looked at it
      for (const [index, get] of gets.entries()) get.take(error, texts?.[index])
    }
    return new Command('mget', gets[0]?.name ?? '', text, take, gets.length)
  }
}

/** One command, with what ioredis needs of those that it sends. */
class Command implements SentCommand {
  readonly name: string
  readonly key: string
  readonly args: readonly string[] = NO_ARGS
  /** Number of texts in the reply, if it is a list. */
  readonly replies: number | undefined
  /** Not traced by ioredis, as it has no promise. */
  readonly isTraced = true
  readonly inTransaction = false
  readonly promise = undefined
  readonly reject: (error: Error) => void
  readonly resolve: (reply: unknown) => void
  text: string

  constructor(name: string, key: string, text: string, take: TakeReply, replies?: number) {
    this.name = name
    this.key = key
    this.text = text
    this.replies = replies
    this.reject = take
    this.resolve = (reply) => take(undefined, reply)
  }

  setReplyContext(): void {}

  getSlot(): number {
    return slotOf(this.key)
  }

  toWritable(): string {
    return this.text
  }
}

const NO_ARGS: readonly string[] = []

/** Sends all `commands` in one write, that of the first. */
function sendTogether(client: Redis, commands: readonly Command[]): void {
  const [first] = commands
  if (!first) return
  if (client.status !== 'ready' || !client.stream.writable) {
    for (const { reject } of commands) reject(new Error(CLOSED))
    return
  }
  let text = ''
  for (const command of commands) text += command.text
  first.text = text
  sendAs(client, first)
  for (const command of commands) if (command !== first) queueReply(client, command)
}

/** Sends `commands` to the nodes that have their keys; those for one node leave in one write. */
function sendEach(client: Cluster, commands: readonly Command[]): void {
  const streams = streamsOf(client)
  for (const stream of streams) stream.cork()
  for (const command of commands) sendAs(client, command)
  for (const stream of streams) stream.uncork()
}

function commandOf({ name, bulk, take }: Get): Command {
  return new Command('get', name, `*2\r\n$3\r\nGET\r\n${bulk}`, take)
}

/** A text as Redis takes it (RESP, bulk strings). */
function bulkOf(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}
