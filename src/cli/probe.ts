// greymx probe: acts as an MTA towards the running daemon and prints the SMTP replies that the MTA would give. The
// daemon remembers this attempt like any other.

import { isIPv6 } from 'node:net'
import { messageOf } from '../errors.ts'
import { parseIp } from '../ip.ts'
import { connectToFilter, type FilterReply, type MilterClient } from '../milter/client.ts'
import type { Connection } from '../milter/command.ts'
import { formatSocketSpec, parseSocketSpec, SOCKET_SPEC_FORMS, type SocketSpec } from '../sockets/spec.ts'
import { unreadable } from './args.ts'
import type { Misuse } from './command.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Longest wait for one answer of the daemon, in milliseconds. */
const PROBE_TIMEOUT = 10_000

interface Exchange {
  readonly command: string
  readonly reply: string
}

export interface ProbeValues {
  /** Address of the SMTP client. */
  readonly client: string
  /** Its confirmed host name. */
  readonly name: string | undefined
  readonly helo: string | undefined
  readonly from: string
  readonly to: readonly string[]
  /** Socket of the daemon to ask; without it, the first that the configuration listens on is asked. */
  readonly socket: string | undefined
  readonly config: string | undefined
  readonly json: boolean
}

/** Returns the exit status, which is `tempfail` when a reply defers the mail, or says which value cannot be read. */
export async function probe(values: ProbeValues): Promise<ExitStatus | Misuse> {
  const { client, name, to, socket, json } = values
  const address = parseIp(client)
  if (!address) return unreadable('--client', client, 'an IP address', 'probe')
  const empty = to.find((recipient) => bare(recipient) === '')
  if (empty !== undefined) return unreadable('--to', empty, 'the address of a recipient', 'probe')
  const given = socket === undefined ? undefined : parseSocketSpec(socket)
  if (socket !== undefined && !given) return unreadable('--socket', socket, SOCKET_SPEC_FORMS, 'probe')
  const config = given ? undefined : loadOrComplain(values.config)
  const spec = given ?? config?.listen[0]
  if (!spec) return EXIT.config
  const connection: Connection = {
    hostName: name ?? `[${address.text}]`,
    family: isIPv6(address.text) ? 'inet6' : 'inet',
    port: 0,
    address: address.text,
  }
  try {
    const exchanges = await converse(spec, connection, values)
    print(json ? `${JSON.stringify(exchanges)}\n` : exchanges.map(transcript).join(''))
    return exchanges.some(({ reply }) => reply.startsWith('4')) ? EXIT.tempfail : EXIT.ok
  } catch (error) {
    complain(`Cannot ask the daemon on ${formatSocketSpec(spec)}: ${messageOf(error)}\n`)
    return EXIT.unavailable
  }
}

async function converse(spec: SocketSpec, connection: Connection, values: ProbeValues): Promise<Exchange[]> {
  const client = await connectToFilter(spec, PROBE_TIMEOUT)
  try {
    const resolved = values.name === undefined ? 'FAIL' : 'OK'
    await client.connect(connection, [
      ['j', 'probe'],
      ['client_resolve', resolved],
    ])
    await client.helo(values.helo ?? connection.hostName)
    return await transaction(client, values)
  } finally {
    client.quit()
  }
}

async function transaction(client: MilterClient, { from, to }: ProbeValues): Promise<Exchange[]> {
  const exchanges: Exchange[] = []
  const take = (command: string, answer: FilterReply, accepted: string): boolean => {
    const reply = smtpReply(answer, accepted)
    exchanges.push({ command, reply })
    return reply === accepted
  }
  if (!take(`MAIL FROM:${bracketed(from)}`, await client.mail(bracketed(from)), '250 2.1.0 Ok'))
    return exchanges
  let accepted = 0
  for (const recipient of to) {
    const answer = await client.rcpt(bracketed(recipient))
    if (take(`RCPT TO:${bracketed(recipient)}`, answer, '250 2.1.5 Ok')) accepted += 1
  }
  if (accepted > 0) take('DATA', await client.data(), '354 End data with <CR><LF>.<CR><LF>')
  client.abort()
  return exchanges
}

/** Returns the SMTP reply that an MTA makes of a filter's answer. */
function smtpReply({ code, text }: FilterReply, accepted: string): string {
  switch (code) {
    case 'y':
      return text.replaceAll('\r\n', '\n')
    case 't':
      return '451 4.7.1 Service unavailable - try again later'
    default:
      return accepted
  }
}

function transcript({ command, reply }: Exchange): string {
  return `${command}\n${reply}\n`
}

/** The address without its brackets. */
function bare(address: string): string {
  return address.replace(/^<|>$/g, '').trim()
}

function bracketed(address: string): string {
  return address.startsWith('<') ? address : `<${address}>`
}
