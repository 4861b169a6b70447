// Exim's side of the line protocol: sends one request and takes its answer, as ${readsocket…} does.

import { connect } from 'node:net'

/** Longest answer that is taken, in bytes: a peer that sends more is no greymx. */
const MAX_ANSWER = 4096

/** Where the door listens. */
export type DoorAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet' | 'inet6'; readonly host: string; readonly port: number }

/** What the door answers to a request about mail. */
export type DoorAnswer =
  | { readonly verdict: 'pass'; readonly header?: string }
  | { readonly verdict: 'tempfail'; readonly reply: string }

/** The answer to `request`; rejects when nobody listens, or no answer of greymx comes in `timeout` milliseconds. */
export async function askDoor(address: DoorAddress, request: Buffer, timeout: number): Promise<DoorAnswer> {
  const line = await exchange(address, request, timeout)
  const [, word, text = ''] = /^(pass|defer)(?: (.+))?\n?$/.exec(line) ?? []
  if (word === 'defer' && text !== '') return { verdict: 'tempfail', reply: text }
  if (word === 'pass') return { verdict: 'pass', ...(text === '' ? {} : { header: text }) }
  throw new Error(`expected pass or defer, got ${JSON.stringify(line.slice(0, 60))}`)
}

function exchange(address: DoorAddress, request: Buffer, timeout: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket =
      address.kind === 'unix'
        ? connect({ path: address.path })
        : connect({ host: address.host, port: address.port })
    const fail = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeout}ms`)), timeout)
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      received += text
      if (received.length > MAX_ANSWER) fail(new Error('the answer has no end'))
    })
    socket.on('error', fail)
    socket.on('end', () => {
      clearTimeout(timer)
      resolve(received)
    })
    socket.end(request)
  })
}
