// What is wrong with a Redis, in words for its operator: Redis's own message, and before it what that means here.

import { messageOf } from '../../message.ts'

/** Beginnings of replies, then what Node says of names and connections, and OpenSSL of TLS. */
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
  [/^read ECONNRESET$/, 'it closed the connection, as it does when it expects TLS, or ends'],
  [/^Unknown RESP type/, 'it speaks another protocol than Redis'],
  [/^Socket timeout/, 'it does not answer'],
  [/^getaddrinfo ENOTFOUND/, 'there is no such host'],
  [/^getaddrinfo/, 'its host cannot be looked up'],
  [/^connect ETIMEDOUT$/, 'it does not answer, or not in TLS where that is asked for'],
]

/** OpenSSL's way: `…:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:…/rec_layer_s3.c:…` */
const OPENSSL = /:SSL routines:[^:]*:([^:]*):/

/** What the client adds to the message where a connection does not keep to the protocol. */
const PLEA = '. Please report this.'

/** An error whose message is for the operator as it is. */
export class ExplainedProblem extends Error {}

/** The server refuses all that is asked of it, and not one operation for its own sake. */
const REFUSAL = /^(?!ERR )[A-Z]{2,} /

export function isRefusal(message: string): boolean {
  return REFUSAL.test(message)
}

/** Then another server is the master by now, or will be soon. */
export function isOfReplica(message: string): boolean {
  return /^(READONLY|MASTERDOWN) /.test(message)
}

/** Of an error; of several, where the client has tried all servers, the last one's. Shows none of `secrets`. */
export function explainProblem(error: unknown, secrets: ReadonlyArray<string | undefined>): string {
  const message = withoutSecrets(shortMessage(error), secrets)
  if (error instanceof ExplainedProblem) return message
  const [, meaning] = MEANINGS.find(([pattern]) => pattern.test(message)) ?? []
  return meaning === undefined ? message : `${meaning} (${message})`
}

function shortMessage(error: unknown): string {
  const cause = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined
  const message = messageOf(cause ?? error).replace(PLEA, '')
  const alert = OPENSSL.exec(message)?.[1]
  return alert === undefined ? message : `TLS: ${alert}`
}

/** Redis quotes what it was told, if it does not know the command: an AUTH too, where that was renamed. */
function withoutSecrets(message: string, secrets: ReadonlyArray<string | undefined>): string {
  return secrets.reduce<string>(
    (shown, secret) => (secret ? shown.replaceAll(secret, '***') : shown),
    message,
  )
}
