// A milter that does nothing: it uses greymx's own server and protocol, and answers `continue` at once. Its rate is
// what the protocol allows; the difference to greymx's is the cost of deciding.
//
//   node null-milter.js SOCKET     in libmilter's notation

import type { Handler } from '../../src/milter/session.ts'
import { parseSocketSpec, SOCKET_SPEC_FORMS } from '../../src/sockets/spec.ts'
import { LIMITS } from '../milter/recording.ts'
import { startServer } from '../support/milter-server.ts'

const CONTINUE = { kind: 'continue' } as const

const handler: Handler = {
  wants: {
    stages: { connect: 'note', helo: 'skip', mail: 'note', rcpt: 'answer', data: 'answer' },
    macros: {},
    addHeaders: true,
  },
  held: 0,
  negotiated: () => undefined,
  connect: () => CONTINUE,
  helo: () => CONTINUE,
  mail: () => CONTINUE,
  rcpt: () => CONTINUE,
  rcptBeyondLimit: () => CONTINUE,
  data: () => CONTINUE,
  endOfMessage: () => ({ headers: [], reply: CONTINUE }),
  endTransaction: () => undefined,
}

const spec = parseSocketSpec(process.argv[2] ?? '')
if (!spec) throw new Error(`expected ${SOCKET_SPEC_FORMS}`)
const server = await startServer({
  listen: [spec],
  socketMode: 0o600,
  limits: LIMITS,
  newHandler: () => handler,
  onConnection: () => undefined,
  onProtocolError: (kind, reason) => console.error(kind, reason),
})
console.log('ready')
process.once('SIGTERM', () => void server.close(0))
