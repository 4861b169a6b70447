// greymx probe: acts as an MTA towards the running daemon and prints the SMTP replies that the MTA would give. The
// daemon remembers this attempt like any other.

import { isIPv6 } from 'node:net'
import { messageOf } from '../errors.ts'
import { parseIp } from '../ip.ts'
import { connectToFilter, type FilterReply, type MilterClient } from '../milter/client.ts'
import type { Connection } from '../milter/command.ts'
import { formatSocketSpec, parseSocketSpec, SOCKET_SPEC_FORMS, type SocketSpec } from '../sockets/spec.ts'
import type { ProbeArgs } from './args.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'

/** Longest wait for one answer of the daemon, in milliseconds. */
const PROBE_TIMEOUT = 10_000

interface Exchange {
  readonly command: string
  readonly reply: string
}

/** Returns the exit status: `tempfail` when a reply defers the mail. */
export async function probe(args: ProbeArgs & { configFile?: string }): Promise<ExitStatus> {
  const address = parseIp(args.client)
  if (!address) {
    process.stderr.write(`Cannot read --client ${JSON.stringify(args.client)}: expected an IP address\n`)
    return EXIT.usage
  }
  const given = args.socket === undefined ? undefined : parseSocketSpec(args.socket)
  if (args.socket !== undefined && !given) {
    process.stderr.write(
      `Cannot read --socket ${JSON.stringify(args.socket)}: expected ${SOCKET_SPEC_FORMS}\n`,
    )
    return EXIT.usage
  }
  const config = given ? undefined : loadOrComplain(args.configFile)
  const spec = given ?? config?.listen[0]
  if (!spec) return EXIT.config
  const connection: Connection = {
    hostName: args.name ?? `[${address.text}]`,
    family: isIPv6(address.text) ? 'inet6' : 'inet',
    port: 0,
    address: address.text,
  }
  try {
    const exchanges = await converse(spec, connection, args)
    process.stdout.write(args.json ? `${JSON.stringify(exchanges)}\n` : exchanges.map(transcript).join(''))
    return exchanges.some(({ reply }) => reply.startsWith('4')) ? EXIT.tempfail : EXIT.ok
  } catch (error) {
    process.stderr.write(`Cannot ask the daemon on ${formatSocketSpec(spec)}: ${messageOf(error)}\n`)
    return EXIT.unavailable
  }
}

async function converse(spec: SocketSpec, connection: Connection, args: ProbeArgs): Promise<Exchange[]> {
  const client = await connectToFilter(spec, PROBE_TIMEOUT)
  try {
    const resolved = args.name === undefined ? 'FAIL' : 'OK'
    await client.connect(connection, [
      ['j', 'probe'],
      ['client_resolve', resolved],
    ])
    await client.helo(args.helo ?? connection.hostName)
    return await transaction(client, args)
  } finally {
    client.quit()
  }
}

async function transaction(client: MilterClient, { from, to }: ProbeArgs): Promise<Exchange[]> {
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

function bracketed(address: string): string {
  return address.startsWith('<') ? address : `<${address}>`
}
