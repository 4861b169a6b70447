// greymx decide: asks the running daemon about one attempt through its door for Exim, for an ACL that asks by ${run…}.
// The daemon remembers the attempt like any other.

import { messageOf } from '../errors.ts'
import { askDoor } from '../exim/client.ts'
import { formatRequest } from '../exim/request.ts'
import { parseIp } from '../ip.ts'
import { formatSocketSpec, parseSocketSpec, SOCKET_SPEC_FORMS, type SocketSpec } from '../sockets/spec.ts'
import { unreadable } from './args.ts'
import type { Misuse } from './command.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Longest wait for the answer, in milliseconds; a decision takes 2 s at most. */
const ANSWER_TIMEOUT = 5_000

export interface DecideValues {
  /** Address of the SMTP client. */
  readonly ip: string
  /** Envelope sender, with or without brackets. */
  readonly from: string
  /** Envelope recipient, with or without brackets; with `data`, several with commas between them. */
  readonly to: string
  readonly helo: string | undefined
  /** Confirmed host name of the client. */
  readonly name: string | undefined
  /** Whether DATA is asked about, for all recipients. */
  readonly data: boolean
  /** Socket of the daemon to ask; without it, the first of listen_exim is asked. */
  readonly socket: string | undefined
  readonly config: string | undefined
  readonly json: boolean
}

/** Returns the exit status, which is `tempfail` when the mail has to wait, or says which value cannot be read. */
export async function decide(values: DecideValues): Promise<ExitStatus | Misuse> {
  const { ip, from, to, helo = '', name = '', data, socket, json } = values
  const address = parseIp(ip)
  if (!address) return unreadable('IP', ip, 'an IP address', 'decide')
  const recipient = bare(to)
  if (recipient === '') return unreadable('TO', to, 'the address of a recipient', 'decide')
  const given = socket === undefined ? undefined : parseSocketSpec(socket)
  if (socket !== undefined && !given) return unreadable('--socket', socket, SOCKET_SPEC_FORMS, 'decide')
  const spec = given ?? doorOf(values.config)
  if (!spec) return EXIT.config
  const fields = { client: address.text, name, helo, sender: bare(from) }
  try {
    const request = formatRequest(fields, [recipient], data ? 'data' : 'rcpt')
    const answer = await askDoor(spec, request, ANSWER_TIMEOUT)
    const line = answer.verdict === 'tempfail' ? answer.reply : 'pass'
    print(json ? `${JSON.stringify(answer)}\n` : `${line}\n`)
    return answer.verdict === 'tempfail' ? EXIT.tempfail : EXIT.ok
  } catch (error) {
    complain(`Cannot ask the daemon on ${formatSocketSpec(spec)}: ${messageOf(error)}\n`)
    return EXIT.unavailable
  }
}

/** Returns the first socket of the configuration's door for Exim, or `undefined` after the fault was printed. */
function doorOf(file: string | undefined): SocketSpec | undefined {
  const config = loadOrComplain(file)
  const spec = config?.listenExim[0]
  if (config && !spec) complain('listen_exim is empty: expected a socket there, or --socket\n')
  return spec
}

/** The address without its brackets. */
function bare(address: string): string {
  return address.trim().replace(/^<(.*)>$/s, '$1')
}
