// A TCP proxy in front of a server. The test can make it slow, cut its connections, and corrupt or add to what it
// returns.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { endWith } from './scratch.ts'

export interface TcpProxy {
  readonly port: number
  /** Delays all that the server sends by `milliseconds` from now on. */
  delay(milliseconds: number): void
  /** Ends all connections, at once. */
  cut(): void
  /** Turns the corruption of the server's bytes on or off. */
  corrupt(isOn: boolean): void
  /** Sends `text` to each client, as if the server had. */
  inject(text: string): void
}

/** Starts the proxy, which ends before `dir`, a folder of `scratch`. */
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
  // The address of a listening TCP server is never a path.
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
