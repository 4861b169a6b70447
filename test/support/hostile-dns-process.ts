// The program of hostile-dns.ts: serves until it is killed, and tells over HTTP what it was asked.
//
//   node hostile-dns-process.js DNS_PORT CONTROL_PORT

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { type DnsQuestion, type DnsRecord, readQuestion, writeAnswer, writeTruncated } from './dns-message.ts'
import type { ZoneCount } from './hostile-dns.ts'
import { findZone, type Reaction } from './hostile-zones.ts'

const [port = 0, controlPort = 0] = process.argv.slice(2).map(Number)

/** Number of names that each client address has in the reverse tree. */
const REVERSE_NAMES = 30

interface Count {
  packets: number
  readonly questions: Set<string>
  readonly bySender: Map<string, number>
}

let counts = new Map<string, Count>()

/** A DNS message, of which some zones send only half. */
interface Reply {
  readonly message: Buffer
  readonly isHalf?: boolean
}

function handle(message: Buffer, isTcp: boolean, send: (reply: Reply) => void): void {
  const question = readQuestion(message)
  if (!question) return
  const found = findZone(question.name)
  count(question, found?.zone.name ?? 'others', found?.base)
  const reaction = found ? found.zone.react({ ...found, type: question.type }) : ordinary(question)
  const reply = replyOf(reaction, question, isTcp)
  if (!reply) return
  if (found?.zone.delay === undefined) send(reply)
  else setTimeout(send, found.zone.delay, reply)
}

function count({ name, type }: DnsQuestion, zone: string, sender: string | undefined): void {
  const entry = counts.get(zone) ?? { packets: 0, questions: new Set(), bySender: new Map() }
  counts.set(zone, entry)
  entry.packets += 1
  const key = `${type} ${name}`
  if (entry.questions.has(key)) return
  entry.questions.add(key)
  if (sender !== undefined) entry.bySender.set(sender, (entry.bySender.get(sender) ?? 0) + 1)
}

function replyOf(reaction: Reaction, question: DnsQuestion, isTcp: boolean): Reply | undefined {
  switch (reaction.kind) {
    case 'silence':
      return undefined
    case 'garbage': {
      const start = writeAnswer(question, 'NOERROR', []).subarray(0, 9)
      return { message: Buffer.concat([start, Buffer.alloc(40, 0xc0)]) }
    }
    case 'wrong-id': {
      const message = writeAnswer(question, 'NOERROR', [{ type: 'TXT', strings: ['v=spf1 +all'] }])
      message.writeUInt16BE(question.id ^ 0x5555, 0)
      return { message }
    }
    case 'half':
      if (!isTcp) return { message: writeTruncated(question) }
      return { message: writeAnswer(question, 'NOERROR', reaction.records), isHalf: true }
    case 'answer': {
      // An alias answers questions for every type, other records only those for their own.
      const records = reaction.records.filter(({ type }) => type === question.type || type === 'CNAME')
      const message = writeAnswer(question, reaction.rcode, records)
      return { message: !isTcp && message.length > question.udpSize ? writeTruncated(question) : message }
    }
  }
}

/** The answer for other names: senders in example.org, two DNS lists, the reverse tree and the root. */
function ordinary({ name, type }: DnsQuestion): Reaction {
  const records = (): DnsRecord[] => {
    if (name === '') return [{ type: 'NS', host: 'localhost' }]
    if (name.endsWith('.arpa')) {
      const domain = `r${name.replace(/[^a-z0-9]/g, '').slice(0, 40)}.ptr.example`
      const names = Array.from({ length: REVERSE_NAMES }, (_, n) => `p${n}.${domain}`)
      return names.map((host) => ({ type: 'PTR', host }))
    }
    if (/(^|\.)example\.org$/.test(name) && type === 'TXT') {
      return [{ type: 'TXT', strings: ['v=spf1 ip4:198.51.100.0/24 ip4:198.18.0.0/15 -all'] }]
    }
    if (/\.113\.0\.203\.white\.test$/.test(name)) return [{ type: 'A', address: '127.0.5.2' }]
    // The list of bad clients has all IPv4 and IPv6 addresses.
    if (name.endsWith('.bad.test')) return [{ type: 'A', address: '127.0.0.2' }]
    return []
  }
  const found = records()
  const exists = found.length > 0 || name === 'example.org' || name.endsWith('.example.org')
  return { kind: 'answer', rcode: exists ? 'NOERROR' : 'NXDOMAIN', records: found }
}

function serveTcp(socket: Socket): void {
  let pending = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const length = pending.readUInt16BE(0)
      handle(pending.subarray(2, 2 + length), true, ({ message, isHalf }) => {
        const frame = Buffer.alloc(2 + message.length)
        frame.writeUInt16BE(message.length, 0)
        message.copy(frame, 2)
        if (!socket.destroyed) socket.write(isHalf ? frame.subarray(0, frame.length >> 1) : frame)
      })
      pending = pending.subarray(2 + length)
    }
  })
}

function countsAsJson(): Record<string, ZoneCount> {
  const entries = [...counts].map(([zone, { packets, questions, bySender }]) => {
    const most = [...bySender.values()].reduce((a, b) => Math.max(a, b), 0)
    return [zone, { questions: questions.size, packets, senders: bySender.size, most }] as const
  })
  return Object.fromEntries(entries)
}

const udp = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
udp.on('message', (message, { port, address }) =>
  handle(message, false, (reply) => udp.send(reply.message, port, address)),
)
udp.on('error', () => {}) // a client is gone
udp.bind(port, '127.0.0.1')
const tcp = createServer(serveTcp).listen(port, '127.0.0.1')
const control = createHttpServer((request, response) => {
  if (request.url === '/reset') counts = new Map()
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(countsAsJson()))
}).listen(controlPort, '127.0.0.1')
await Promise.all([once(udp, 'listening'), once(tcp, 'listening'), once(control, 'listening')])
console.log('ready')
