// A TCP proxy in front of a server, which the test can slow down, cut, or have garble what comes back and add to it.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { endWith } from './scratch.ts'

export interface TcpProxy {
  readonly port: number
  /** What the server says arrives so many milliseconds later from now on. */
  delay(milliseconds: number): void
  /** Ends all connections, at once. */
  cut(): void
  /** Whether bytes of what the server says are changed on the way. */
  corrupt(isOn: boolean): void
  /** Has the server seem to say this to each of its clients, at once. */
  inject(text: string): void
}

/** `dir` is a folder of `scratch`: the proxy ends before it does. */
export async function startProxy(dir: string, target: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  let wait = 0
  let isCorrupting = false
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    clients.add(client)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        clients.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (chunk) => upstream.write(chunk))
    upstream.on('data', (chunk) => {
      const answer = isCorrupting ? chunk.map((byte, index) => (index % 7 === 3 ? byte ^ 0x55 : byte)) : chunk
      if (wait === 0) client.write(answer)
      else setTimeout(() => client.write(answer), wait)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  endWith(dir, async () => {
    server.close()
    cut()
  })
  // Of a TCP server that listens, the address is never a path.
  const { port } = server.address() as AddressInfo
  return {
    port,
    delay: (milliseconds) => {
      wait = milliseconds
    },
    cut,
    corrupt: (isOn) => {
      isCorrupting = isOn
    },
    inject: (text) => {
      for (const client of clients) client.write(text)
    },
  }
}
