// Stands between greymx and a real DNS server, for UDP and TCP, and does to its answers what bad networks and bad servers
// do. Without a fault, it passes everything on.

import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type DnsQuestion, type Rcode, readQuestion, writeAnswer, writeTruncated } from './dns-message.ts'
import { freePort, type Scope } from './scratch.ts'

/** What becomes of questions; `forged` answers have another id, or are of no form at all. */
export type DnsFault =
  | 'silent'
  | 'half lost'
  | 'one second late'
  | 'SERVFAIL'
  | 'REFUSED'
  | 'truncated, TCP refused'
  | 'truncated, TCP hangs'
  | 'forged'

export interface FaultyDns {
  /** `127.0.0.1:5353`, as `dns_servers` takes it. */
  readonly server: string
  /** The fault from now on; `undefined` for none. */
  fault: DnsFault | undefined
}

/** Passes questions on to the server at `upstream`, a port of loopback, until `scope` ends. */
export async function startFaultyDns(scope: Scope, upstream: number): Promise<FaultyDns> {
  const port = await freePort()
  const state: FaultyDns = { server: `127.0.0.1:${port}`, fault: undefined }
  const udp = createSocket('udp4')
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  let count = 0
  udp.on('message', (message, from) => {
    count += 1
    answer(state.fault, count, message, from)
  })

  function answer(fault: DnsFault | undefined, number: number, message: Buffer, from: RemoteInfo): void {
    const question = readQuestion(message)
    if (!question) return
    switch (fault) {
      case 'silent':
        return
      case 'half lost':
        if (number % 2 === 0) relay(message, from, 0)
        return
      case 'one second late':
        relay(message, from, 1000)
        break
      case 'SERVFAIL':
      case 'REFUSED':
        send(refusal(question, fault), from)
        break
      case 'truncated, TCP refused':
      case 'truncated, TCP hangs':
        send(writeTruncated(question), from)
        break
      case 'forged':
        send(Buffer.concat([Buffer.of(message[0] ?? 0, (message[1] ?? 0) ^ 1), message.subarray(2)]), from)
        send(Buffer.from('no DNS message at all'), from)
        break
      case undefined:
        relay(message, from, 0)
        break
    }
  }

  function send(message: Buffer, { port: to, address }: RemoteInfo): void {
    udp.send(message, to, address)
  }

  function relay(message: Buffer, from: RemoteInfo, delay: number): void {
    const socket = createSocket('udp4').unref()
    const timer = setTimeout(() => socket.close(), 3000).unref()
    socket.once('message', (found) => {
      clearTimeout(timer)
      socket.close()
      setTimeout(() => send(found, from), delay).unref()
    })
    socket.send(message, upstream, '127.0.0.1')
  }

  const open = new Set<Socket>()
  const tcp = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => undefined).once('close', () => open.delete(socket))
    if (state.fault === 'truncated, TCP hangs') return
    if (state.fault !== undefined) return void socket.destroy()
    const server = connect(upstream, '127.0.0.1').on('error', () => socket.destroy())
    socket.pipe(server).pipe(socket)
  })
  tcp.listen(port, '127.0.0.1')
  await once(tcp, 'listening')
  scope.after(async () => {
    udp.close()
    tcp.close()
    for (const socket of open) socket.destroy()
  })
  return state
}

function refusal(question: DnsQuestion, rcode: Rcode): Buffer {
  return writeAnswer(question, rcode, [])
}
