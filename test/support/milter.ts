// The MTA's part of the milter protocol, as far as a verdict needs it.

import type { MilterClient } from '../../src/milter/client.ts'
import type { Greymx } from './greymx.ts'

/** A connection after CONNECT, of a client at 192.0.2.7. */
export async function milterSession(greymx: Pick<Greymx, 'connect'>): Promise<MilterClient> {
  const client = await greymx.connect()
  await client.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' })
  return client
}

/** The verdict on one RCPT, in a message that ends there. Rejects if the answer is no verdict. */
export async function ask(client: MilterClient, sender: string): Promise<'pass' | 'tempfail'> {
  await client.mail(`<${sender}>`)
  const { code, text } = await client.rcpt('<u@example.com>')
  client.abort()
  if (code !== 'y' && code !== 'c') throw new Error(`greymx answered ${code} ${text}`)
  return code === 'y' ? 'tempfail' : 'pass'
}
