// A client of Postfix's policy protocol that asks a policy server over a unix socket, one request at a time.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { endWith } from './scratch.ts'

export interface PolicyClient {
  /** The action that the server answers to a request with these attributes, such as `DUNNO`. */
  ask(attributes: Readonly<Record<string, string>>): Promise<string>
}

/** Connects to a policy server whose socket lies in `dir`, a folder of `scratch`. */
export async function connectPolicy(dir: string, path: string): Promise<PolicyClient> {
  const socket = connect(path)
  await once(socket, 'connect')
  endWith(dir, async () => void socket.destroy())
  return { ask: (attributes) => ask(socket, attributes) }
}

/** Whether a server listens on the unix socket. */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => socket.end(() => resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

function ask(socket: Socket, attributes: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const settle = (error?: Error) => {
      socket.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error')
      const [, action] = /^action=(.*)\n\n$/.exec(answer) ?? []
      if (action !== undefined) resolve(action)
      else reject(new Error(`Cannot read the answer ${JSON.stringify(answer)}`, { cause: error }))
    }
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1')
      if (answer.endsWith('\n\n')) settle()
    })
    socket.once('close', () => settle())
    socket.once('error', settle)
    const lines = Object.entries({ request: 'smtpd_access_policy', ...attributes })
    socket.write(`${lines.map(([name, value]) => `${name}=${value}\n`).join('')}\n`)
  })
}
