// The program of crowd.ts: connects, and disturbs greymx until it is killed. Ten times a second it writes how many of
// its connections are open, as a line of JSON.
//
//   node crowd-process.js PORT IDLE SLOW GARBAGE

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeCommand } from '../../src/milter/command.ts'
import { Random, stepsOf } from '../fuzz/case.ts'
import { freshCase, mutate } from '../fuzz/mutate.ts'
import { COMMAND } from '../milter/recording.ts'
import type { CrowdState } from './crowd.ts'

const [port = 0, idle = 0, slow = 0, garbage = 0] = process.argv.slice(2).map(Number)

/** Number of connections that are opened concurrently. */
const TOGETHER = 100
/** Interval at which each slow writer writes a byte, and at which the next of them do, in milliseconds. */
const SLOW_BYTE = 50
const SLOW_TURN = 5
/** Time after which a sender of garbage closes its connection if greymx has not, in milliseconds. */
const GARBAGE_WAIT = 100
/** Pause between two connections of a sender of garbage, in milliseconds. */
const GARBAGE_PAUSE = 10

const OFFER = encodeCommand(COMMAND.OPTNEG)
const CONNECTED = Buffer.concat([OFFER, encodeCommand(COMMAND.CONNECT)])
/** The beginning of a command that takes more than an hour at this rate. */
const SLOW_START = Buffer.concat([
  CONNECTED,
  encodeCommand({ kind: 'HELO', name: 'x'.repeat(100_000) }).subarray(0, 5),
])
const NOTHING = Buffer.alloc(0)

const random = new Random(1)

async function openOne(bytes: Buffer): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  socket.on('error', () => {}) // the connection may be closed by a reset
  socket.resume().write(bytes)
  return socket
}

/** Opens `count` connections, each of which sends the bytes for its number. */
async function open(count: number, bytesOf: (number: number) => Buffer): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(TOGETHER, count - sockets.length) }, (_, index) =>
      openOne(bytesOf(sockets.length + index)),
    )
    sockets.push(...(await Promise.all(some)))
  }
  return sockets
}

/** Chunks of garbage. */
function garbageBytes(): Buffer[] {
  switch (random.below(6)) {
    case 0:
      return [Buffer.from(Array.from({ length: 1 + random.below(2000) }, () => random.below(256)))]
    case 1:
      return [Buffer.from('GET / HTTP/1.1\r\nHost: mx.example.com\r\n\r\n')]
    case 2: // a length beyond any frame, or beyond what follows
      return [Buffer.from(random.pick(['ffffffff44', '7fffffff00', '0010000144', '000fffff48']), 'hex')]
    case 3: // a conversation that ends in the middle of a frame
      return [CONNECTED.subarray(0, 1 + random.below(CONNECTED.length - 1))]
    default: {
      let input = freshCase(random)
      for (let count = 1 + random.below(4); count > 0; count -= 1) input = mutate(input, random)
      return stepsOf(input).flatMap((step) => (step.kind === 'send' && step.lane === 0 ? [step.bytes] : []))
    }
  }
}

let garbageSent = 0

async function sendGarbage(): Promise<never> {
  for (;;) {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const timer = setTimeout(() => socket.destroy(), GARBAGE_WAIT)
    socket.resume()
    for (const piece of garbageBytes()) socket.write(piece)
    await closed
    clearTimeout(timer)
    garbageSent += 1
    await sleep(GARBAGE_PAUSE)
  }
}

const idlers = await open(idle, (number) => [NOTHING, OFFER, CONNECTED][number % 3] ?? NOTHING)
const writers = await open(slow, () => SLOW_START)

let turn = 0
setInterval(() => {
  const turns = SLOW_BYTE / SLOW_TURN
  for (let index = turn; index < writers.length; index += turns) {
    const writer = writers[index]
    if (writer && !writer.destroyed) writer.write('x')
  }
  turn = (turn + 1) % turns
}, SLOW_TURN)

for (let count = 0; count < garbage; count += 1) void sendGarbage()

const openOf = (sockets: readonly Socket[]) => sockets.filter(({ destroyed }) => !destroyed).length
setInterval(() => {
  const state: CrowdState = { idle: openOf(idlers), slow: openOf(writers), garbage: garbageSent }
  console.log(JSON.stringify(state))
}, 100)
