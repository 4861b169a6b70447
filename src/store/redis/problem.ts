// Explains errors of Redis to its operator: what the error means for greymx, then the original message.

import { messageOf } from '../../errors.ts'

/** The meanings of Redis's error replies, then of errors of Node and ioredis (names, connections) and OpenSSL (TLS). */
const MEANINGS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^NOAUTH/, 'it asks for a password'],
  [/^WRONGPASS/, 'it refuses the user name or the password'],
  [/^NOPERM/, 'the user lacks a right that greymx needs'],
  [/^OOM/, 'it is full'],
  [/^READONLY/, 'it is a replica and cannot be written to'],
  [/^MISCONF/, 'it cannot save its data and takes no writes'],
  [/^LOADING/, 'it is still loading its data'],
  [/^MASTERDOWN/, 'it is a replica that has lost its master'],
  [/^NOREPLICAS/, 'it has too few replicas to take writes'],
  [/^BUSY/, 'it is busy with a script'],
  [/^CLUSTERDOWN/, 'the cluster cannot serve all keys'],
  [/^Too many Cluster redirections/, 'its nodes send greymx from one to the other'],
  [/^MOVED/, 'it is part of a cluster, expected store redis+cluster://…'],
  [/cluster support disabled/, 'it is no cluster, expected store redis://… or redis+sentinel://…'],
  [/^ERR unknown command/, 'it does not know a command that greymx needs'],
  [/does not match certificate's altnames/, 'its certificate is for another name, see redis.tls.server_name'],
  [
    /self-signed certificate|unable to (verify|get)( the first| local issuer| issuer) cert/,
    'its certificate is not of a known authority, see redis.tls.ca',
  ],
  [
    /alert certificate required|alert handshake failure/,
    'it asks for a client certificate, see redis.tls.cert',
  ],
  [/alert (unknown ca|bad certificate)/, 'it refuses the client certificate, see redis.tls.cert'],
  [/wrong version number|packet length too long/, 'it does not speak TLS there'],
  [
    /^(read ECONNRESET|write (EPIPE|ECONNRESET))$/,
    'it closed the connection, as it does when it expects TLS, or ends',
  ],
  [/^Unknown RESP type/, 'it speaks another protocol than Redis'],
  [/^Socket timeout/, 'it does not answer'],
  [/^getaddrinfo ENOTFOUND/, 'there is no such host'],
  [/^getaddrinfo/, 'its host cannot be looked up'],
  [/^connect ETIMEDOUT$/, 'it does not answer, or not in TLS where that is asked for'],
]

/** OpenSSL's form: `…:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:…/rec_layer.c:…` */
const OPENSSL = /:SSL routines:[^:]*:([^:]*):/

/** What Redis puts before the error for which it has discarded a transaction. */
const DISCARDED = /^EXECABORT Transaction discarded because of: /

/** The note that ioredis adds to the message of a protocol error. */
const BUG_REPORT_NOTE = '. Please report this.'

/** An error whose message needs no explanation for the operator. */
export class ExplainedProblem extends Error {}

/** Whether an error reply comes from a replica, so that another server is the master or will be soon. */
export function isFromReplica(message: string): boolean {
  return /^(READONLY|MASTERDOWN) /.test(message)
}

/** Whether an error is ioredis's for commands and nodes whose connection is closed, which does not say why. */
export function isClosed(message: string): boolean {
  return /^Connection is closed|^Stream isn't writeable|^Command aborted|^Reached the max retries/.test(
    message,
  )
}

/** What `error` means; of a client that has tried all servers, the last one's error. Shows none of `secrets`. */
export function explainProblem(error: unknown, secrets: ReadonlyArray<string | undefined>): string {
  const message = withoutSecrets(shortMessage(error), secrets)
  if (error instanceof ExplainedProblem) return message
  const [, meaning] = MEANINGS.find(([pattern]) => pattern.test(message)) ?? []
  return meaning === undefined ? message : `${meaning} (${message})`
}

function shortMessage(error: unknown): string {
  const cause = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined
  const message = messageOf(cause ?? error)
    .replace(BUG_REPORT_NOTE, '')
    .replace(DISCARDED, '')
  const alert = OPENSSL.exec(message)?.[1]
  return alert === undefined ? message : `TLS: ${alert}`
}

/** `message` with asterisks for secrets: Redis quotes an unknown command, which AUTH is where it was renamed. */
function withoutSecrets(message: string, secrets: ReadonlyArray<string | undefined>): string {
  return secrets.reduce<string>(
    (shown, secret) => (secret ? shown.replaceAll(secret, '***') : shown),
    message,
  )
}
