// A milter that does nothing, on Node's sockets alone: it negotiates what greymx does, and answers the commands that
// await a reply with `continue`. Its rate and CPU are what a connection costs; what greymx costs more is that of its
// protocol code and of deciding.
//
//   node null-milter.js SOCKET...     paths, or ports of 127.0.0.1

import { createServer, type Socket } from 'node:net'

/** SMFIC_OPTNEG, RCPT, DATA and BODYEOB: the commands whose replies greymx's negotiation leaves to be awaited. */
const [OPTNEG, RCPT, DATA, BODYEOB] = [0x4f, 0x52, 0x54, 0x45]
const CONTINUE = Buffer.from([0, 0, 0, 1, 0x63])
/** Version 6, SMFIF_ADDHDRS, and the steps that greymx asks for with its default settings. */
const NEGOTIATED = Buffer.from([0, 0, 0, 13, OPTNEG, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0x0e, 0x71, 0xf0])

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let start = 0
    while (bytes.length - start >= 5) {
      const end = start + 4 + bytes.readUInt32BE(start)
      if (bytes.length < end) break
      const command = bytes[start + 4]
      if (command === OPTNEG) socket.write(NEGOTIATED)
      else if (command === RCPT || command === DATA || command === BODYEOB) socket.write(CONTINUE)
      start = end
    }
    rest = bytes.subarray(start)
  })
  socket.on('error', () => socket.destroy())
}

const where = process.argv.slice(2)
const servers = where.map((socket) => {
  const server = createServer({ noDelay: true }, serve)
  return socket.startsWith('/')
    ? server.listen({ path: socket, backlog: 4096 })
    : server.listen({ host: '127.0.0.1', port: Number(socket), backlog: 4096 })
})
await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
console.log('ready')
process.once('SIGTERM', () => process.exit(0))
