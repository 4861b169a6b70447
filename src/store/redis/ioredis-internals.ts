// Checks that the internals of ioredis that greymx replaces or uses are as greymx knows them. ioredis does not promise
// them: any release may change them, which is why package.json names one exact version.
//
// | what | who uses it |
// | --- | --- |
// | DataHandler: `dispatch` and `shiftCommand`, which ioredis calls for each reply | replies.ts replaces both |
// | `commandQueue` of a client, with `peekFront`, `shift` and `push` | replies.ts, commands.ts |
// | `inTransaction` of a command, true from MULTI until EXEC | replies.ts |
// | `sendCommand` of a client, which sends what `toWritable` returns, and queues the command for its reply | commands.ts |
// | `options.host` of a client, the address that it asks | replies.ts |
// | `slots` of a Cluster: by slot, `HOST:PORT` of its master and then of its replicas | client.ts |
// | `stream` of a client, its current connection | commands.ts |
// | the option `Connector`; `firstError`, `connecting` and `stream` of one | connector.ts, sentinel.ts |

import { require } from '../../require.ts'
import type { Cluster, Redis } from './ioredis.ts'

/**
 * The version whose source greymx was written against. test/store/redis/ioredis-internals.test.ts says what to do when
 * it changes.
 */
export const IOREDIS_VERSION = '6.0.0'

/** A command whose reply is awaited. */
export interface Item {
  readonly command: {
    readonly name: string
    readonly replies?: number | undefined
    /** Whether it is MULTI, or queued by Redis until EXEC. */
    readonly inTransaction: boolean
  }
}

/** A command that ioredis sends without knowing more of it. */
export interface SentCommand {
  readonly name: string
  /** Told with an error; ioredis reads no more of it for the commands that greymx sends. */
  readonly args: readonly string[]
  /** Number of elements of the reply, if it is a list of texts. */
  readonly replies: number | undefined
  /** Whether ioredis needs no promise to trace. */
  readonly isTraced: true
  readonly inTransaction: false
  readonly promise: undefined
  setReplyContext(): void
  /** The hash slot, for a Cluster. */
  getSlot(): number
  toWritable(): string
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

/** Has a client send a command. */
export function sendAs(client: Redis | Cluster, command: SentCommand): void {
  client.sendCommand(command as never)
}

/** Tells a client that the reply to `command`, which it has sent already, comes next. */
export function queueReply(client: Redis, command: SentCommand): void {
  client.commandQueue.push({ command } as never)
}

/** The part of ioredis's private class DataHandler that greymx uses. */
export interface DataHandler {
  readonly redis: {
    readonly commandQueue: { peekFront(): Item | undefined; shift(): Item | undefined }
    readonly options: { readonly host?: string }
  }
  dispatch(handle: () => void): void
  shiftCommand(reply: unknown): Item | undefined
}

/** The classes that ioredis exports; any of them may be missing or different until it is checked. */
interface Found {
  readonly DataHandler: Constructor
  readonly Redis: Constructor
  readonly Cluster: Constructor
  readonly AbstractConnector: Constructor
}

type Constructor = (new (...args: unknown[]) => Record<string, unknown>) & { readonly prototype: object }

/** A client, as far as transactions go, and the commands of one. */
interface Transactional {
  multi(): { hget(...args: string[]): { readonly _queue: readonly Item['command'][] } }
}

/** The conditions on the classes. They look into the source, as replacing a method that is not called has no effect. */
const EXPECTED: ReadonlyArray<readonly [what: string, holds: (found: Found) => boolean]> = [
  [
    'built/DataHandler.js exports a class that calls its method dispatch(handle) for each reply',
    ({ DataHandler }) =>
      hasMethod(DataHandler, 'dispatch', 1) && /onReply: .*?this\.dispatch\(/s.test(String(DataHandler)),
  ],
  [
    'DataHandler takes the command of a reply with its method shiftCommand(reply)',
    ({ DataHandler }) =>
      hasMethod(DataHandler, 'shiftCommand', 1) &&
      /\breturnReply\(.*?this\.shiftCommand\(reply\)/s.test(String(DataHandler)) &&
      /\breturnError\(.*?this\.shiftCommand\(err\)/s.test(String(DataHandler)) &&
      /\bshiftCommand\(reply\) \{.*?this\.redis\.commandQueue\.shift\(\)/s.test(String(DataHandler)),
  ],
  [
    'a client has a commandQueue with peekFront(), shift() and push()',
    ({ Redis }) => {
      const { commandQueue } = new Redis({ lazyConnect: true })
      return hasMethods(commandQueue, ['peekFront', 'shift', 'push'])
    },
  ],
  [
    'a client sends the toWritable() of a command, and then pushes it to its commandQueue',
    ({ Redis }) =>
      /this\.stream\.write\(command\.toWritable\(this\.stream\)\);.*?this\.commandQueue\.push\(\{\s*command: command,/s.test(
        String(Redis),
      ),
  ],
  [
    'a command of a transaction is inTransaction, from MULTI on and without EXEC',
    ({ Redis }) => {
      const client = new Redis({ lazyConnect: true }) as unknown as Transactional
      const { _queue: queued } = client.multi().hget('key', 'field')
      return queued.length === 2 && queued.every(({ inTransaction }) => inTransaction === true)
    },
  ],
  [
    'a Cluster keeps the nodes of each slot in slots, the master first',
    ({ Cluster }) =>
      /\bkeys\.push\(node\.host \+ ":" \+ node\.port\).*\bthis\.slots\[slot\] = keys\b/s.test(
        String(Cluster),
      ),
  ],
  ['a client keeps its connection as stream', ({ Redis }) => /this\.stream = stream\b/.test(String(Redis))],
  [
    'a client connects by its option Connector, and tells of its firstError',
    ({ Redis }) =>
      /new this\.options\.Connector\(this\.options\)/.test(String(Redis)) &&
      /\bconnector\.firstError\b/.test(String(Redis)),
  ],
  [
    'AbstractConnector has connecting, and ends its stream in disconnect()',
    ({ AbstractConnector }) =>
      hasMethod(AbstractConnector, 'disconnect', 0) &&
      /\bthis\.connecting = false\b.*this\.stream\b/s.test(String(AbstractConnector)),
  ],
]

/**
 * The prototype through which ioredis handles replies. Throws, with the version found and the one expected, when an
 * internal is not as greymx knows it, as entries could then be taken for those of other keys. `load` is `require`.
 */
export function requireDataHandler(load: (name: string) => unknown = require): DataHandler {
  const found = { ...(load('ioredis') as object), DataHandler: loadDataHandler(load) } as Found
  const missing = EXPECTED.find(([, holds]) => !isTrue(() => holds(found)))?.[0]
  if (missing === undefined) return found.DataHandler.prototype as DataHandler
  throw new Error(
    `Cannot use ioredis ${versionOf(load)}: expected that ${missing}, as in ioredis ${IOREDIS_VERSION}, for which ` +
      'greymx was written. Install that version, with npm ci; stores other than Redis go without it',
  )
}

/** The class DataHandler; `undefined` where its file is missing or exports nothing by default. */
function loadDataHandler(load: (name: string) => unknown): unknown {
  try {
    return (load('ioredis/built/DataHandler.js') as { readonly default?: unknown }).default
  } catch {
    return undefined
  }
}

/** Whether `check` returns true; false when it throws, as it may on objects of another version. */
function isTrue(check: () => boolean): boolean {
  try {
    return check()
  } catch {
    return false
  }
}

function versionOf(load: (name: string) => unknown): string {
  try {
    return (load('ioredis/package.json') as { readonly version: string }).version
  } catch {
    return 'of unknown version'
  }
}

function hasMethod(type: Constructor, name: string, parameters: number): boolean {
  const method = (type.prototype as Record<string, unknown>)[name]
  return typeof method === 'function' && method.length === parameters
}

function hasMethods(object: unknown, names: readonly string[]): boolean {
  const methods = object as Record<string, unknown> | undefined
  return names.every((name) => typeof methods?.[name] === 'function')
}
