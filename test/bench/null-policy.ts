// A policy server that does nothing, on Node's sockets alone: it answers each request with DUNNO. Its rate and CPU are
// what a connection costs; what greymx costs more is that of its protocol code and of deciding.
//
//   node null-policy.js PATH

import { createServer, type Socket } from 'node:net'

const DUNNO = Buffer.from('action=DUNNO\n\n')

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let start = 0
    for (let end = bytes.indexOf('\n\n'); end !== -1; end = bytes.indexOf('\n\n', start)) {
      socket.write(DUNNO)
      start = end + 2
    }
    rest = bytes.subarray(start)
  })
  socket.on('error', () => socket.destroy())
}

createServer(serve).listen({ path: process.argv[2] ?? '', backlog: 4096 }, () => console.log('ready'))
process.once('SIGTERM', () => process.exit(0))
