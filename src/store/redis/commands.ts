// Sends to Redis what all attempts of a moment ask for in one write, as each write is a system call and wakes Redis up.
// How long a moment is, departures.ts says. Texts are asked for by MGET. In a Cluster, each key is asked for by itself,
// since MGET is for keys of one slot only.
//
// ioredis makes a promise, some closures and a list of keys for each command. A look-up of 8 entries and 8 counts took
// 150 µs of CPU time so, and takes 27 here, measured in one run. ioredis connects, reads, and matches replies.

import { Departures } from '../departures.ts'
import { type RedisClient, streamsOf } from './client.ts'
import { slotOf } from './cluster.ts'
import { Cluster, type Redis } from './ioredis.ts'
import { queueReply, type SentCommand, sendAs } from './ioredis-internals.ts'

/** Takes a command's error, or its reply as Redis sends it: a number, or bytes. */
export type TakeReply = (error: Error | undefined, reply?: unknown) => void

/** The texts of keys, `null` for those that are absent, and with `find` what is left of them, as PTTL tells it. */
export interface Reading {
  readonly texts: ReadonlyArray<string | null>
  readonly lefts: readonly number[]
}

/** Takes what was read, or the first error and the name of the key that it is about. */
export type TakeReading = (reading: Reading, error?: Error, name?: string) => void

/** The commands that are no reads, as replies.ts knows them by name. */
export type CommandName = 'set' | 'incrby' | 'pexpire' | 'del'

/** Keys of one MGET, so that Redis keeps a small buffer for this connection, and has time for others in between. */
const MAX_KEYS = 100

/** Longest answer of a Redis nearby, for which other commands wait, in milliseconds. */
const MAX_WAIT = 2

/** Redis's errors where MGET may fail and GET succeed: the user's rights, slots, and a command that is switched off. */
const ONE_BY_ONE = /^(NOPERM|CROSSSLOT) |^ERR unknown command/i

/** Those of them that come again for whichever keys, until greymx connects again. */
const NO_MGET = /^NOPERM .*'mget' command|^CROSSSLOT |^ERR unknown command/i

/** ioredis's own error for a connection that is not there. */
const CLOSED = 'Connection is closed.'

/** Collects commands until the end of the turn. */
export class RedisCommands {
  readonly #client: RedisClient
  #commands: Command[] = []
  #reads: Read[] = []
  readonly #departures = new Departures(() => this.#send(), MAX_WAIT)
  #mayMget = true

  constructor(client: RedisClient) {
    this.#client = client
    client.on('ready', () => {
      this.#mayMget = true
    })
  }

  /**
   * Asks for the texts of keys, and before that for what is left of them, so that a text is no older than what is left of
   * it. A key of another kind may have none.
   */
  find(names: readonly string[], take: TakeReading): void {
    const read = new Read(names, take)
    for (const [index, bulk] of read.bulks.entries())
      this.#commands.push(
        new Command('pttl', names[index] ?? '', `*2\r\n$4\r\nPTTL\r\n${bulk}`, (error, left) => {
          if (error) read.fail(index, error)
          else read.lefts[index] = left as number
        }),
      )
    this.#reads.push(read)
    this.#departures.request()
  }

  /**
   * Asks for the texts of keys alone. Of a key of another kind, an MGET has none, and the write that follows tells of it.
   */
  get(names: readonly string[], take: TakeReading): void {
    this.#reads.push(new Read(names, take))
    this.#departures.request()
  }

  /** Asks for anything else about a key. */
  ask(command: CommandName, name: string, args: ReadonlyArray<string | number>, take: TakeReply): void {
    let text = headOf(command, args.length) + bulkOf(name)
    for (const arg of args)
      text += typeof arg === 'number' || arg.length <= MAX_WORD ? argumentOf(arg) : bulkOf(arg)
    this.#commands.push(new Command(command, name, text, take))
    this.#departures.request()
  }

  #send(): void {
    const commands = this.#commands
    const reads = this.#reads
    this.#commands = []
    this.#reads = []
    const client = this.#client
    if (client instanceof Cluster) {
      for (const read of reads) pushGets(commands, read)
      sendEach(client, commands)
      return
    }
    this.#pushReads(commands, reads)
    const last = commands.at(-1)
    if (!last) return
    const answered = this.#departures.sent()
    last.onEnd = () => answered(this.#commands.length > 0 || this.#reads.length > 0)
    sendTogether(client, commands)
  }

  #pushReads(commands: Command[], reads: readonly Read[]): void {
    let together: Read[] = []
    let keys = 0
    for (const read of reads) {
      if (!this.#mayMget) {
        pushGets(commands, read)
        continue
      }
      if (keys > 0 && keys + read.names.length > MAX_KEYS) {
        commands.push(this.#mget(together, keys))
        together = []
        keys = 0
      }
      together.push(read)
      keys += read.names.length
    }
    if (keys > 0) commands.push(this.#mget(together, keys))
  }

  /** The texts of all `keys` of `reads`. */
  #mget(reads: readonly Read[], keys: number): Command {
    let text = `*${keys + 1}\r\n$4\r\nMGET\r\n`
    for (const { bulks } of reads) for (const bulk of bulks) text += bulk
    const take: TakeReply = (error, reply) => {
      if (error && ONE_BY_ONE.test(error.message)) {
        if (NO_MGET.test(error.message)) this.#mayMget = false
        for (const read of reads) pushGets(this.#commands, read)
        this.#departures.request()
        return
      }
      let at = 0
      for (const read of reads)
        for (const index of read.names.keys()) {
          read.takeText(index, error, (reply as readonly unknown[] | undefined)?.[at])
          at += 1
        }
    }
    return new Command('mget', reads[0]?.names[0] ?? '', text, take, keys)
  }
}

/** A caller's keys, and what is known of them by now. */
class Read implements Reading {
  readonly names: readonly string[]
  /** The names as bulk strings. */
  readonly bulks: readonly string[]
  readonly texts: Array<string | null>
  readonly lefts: number[] = []
  readonly #take: TakeReading
  /** Number of texts that are not there yet. */
  #awaited: number

  constructor(names: readonly string[], take: TakeReading) {
    this.names = names
    this.bulks = names.map(bulkOf)
    this.texts = names.map(() => null)
    this.#take = take
    this.#awaited = names.length
  }

  takeText(index: number, error: Error | undefined, reply: unknown): void {
    if (error) this.fail(index, error)
    else if (reply != null) this.texts[index] = String(reply)
    this.#awaited -= 1
    if (this.#awaited === 0) this.#take(this)
  }

  fail(index: number, error: Error): void {
    if (this.#awaited === Number.POSITIVE_INFINITY) return
    this.#awaited = Number.POSITIVE_INFINITY // nobody waits for the others any more
    this.#take(this, error, this.names[index])
  }
}

/** One command, with what ioredis needs of those that it sends. */
class Command implements SentCommand {
  readonly name: string
  readonly args: readonly string[] = NO_ARGS
  readonly replies: number | undefined
  /** Not traced by ioredis, as it has no promise. */
  readonly isTraced = true
  readonly inTransaction = false
  readonly promise = undefined
  /** Called once it is answered, or never will be. */
  onEnd: (() => void) | undefined = undefined
  text: string
  readonly #key: string
  readonly #take: TakeReply

  constructor(name: string, key: string, text: string, take: TakeReply, replies?: number) {
    this.name = name
    this.text = text
    this.replies = replies
    this.#key = key
    this.#take = take
  }

  resolve(reply: unknown): void {
    try {
      this.#take(undefined, reply)
    } finally {
      this.onEnd?.()
    }
  }

  reject(error: Error): void {
    try {
      this.#take(error)
    } finally {
      this.onEnd?.()
    }
  }

  setReplyContext(): void {}

  getSlot(): number {
    return slotOf(this.#key)
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
    for (const command of commands) command.reject(new Error(CLOSED))
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

/** Adds a GET for each key of `read`. */
function pushGets(commands: Command[], read: Read): void {
  for (const [index, bulk] of read.bulks.entries())
    commands.push(
      new Command('get', read.names[index] ?? '', `*2\r\n$3\r\nGET\r\n${bulk}`, (error, reply) =>
        read.takeText(index, error, reply),
      ),
    )
}

/** A text as Redis takes it (RESP, bulk strings). */
function bulkOf(text: string): string {
  return `${lengthOf(Buffer.byteLength(text))}${text}\r\n`
}

/** What precedes a bulk string of so many bytes. Those of most keys are made once. */
function lengthOf(bytes: number): string {
  return LENGTHS[bytes] ?? `$${bytes}\r\n`
}

const LENGTHS = Array.from({ length: 512 }, (_, bytes) => `$${bytes}\r\n`)

/** The beginning of a command of a name and so many arguments. */
function headOf(command: CommandName, args: number): string {
  return `*${args + 2}\r\n${argumentOf(command)}`
}

/** Words and numbers, such as TTLs, that come again and again, as bulk strings. */
const recurring = new Map<string | number, string>()
const MAX_RECURRING = 256
/** Length of the longest word of a command. */
const MAX_WORD = 7

function argumentOf(argument: string | number): string {
  const known = recurring.get(argument)
  if (known !== undefined) return known
  const bulk = bulkOf(String(argument))
  if (recurring.size >= MAX_RECURRING) recurring.clear()
  recurring.set(argument, bulk)
  return bulk
}
