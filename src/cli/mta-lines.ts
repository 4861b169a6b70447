// Writes the lines that `serve` prints at its start for the MTAs' configurations, for the best of its sockets, and a
// hint when another socket would be better. Unix sockets are preferred: their permissions decide who may act as an MTA,
// while a TCP port accepts anybody.

import { policyEntry, postfixMilter, QUEUE_DIRECTORY } from '../check/main-cf.ts'
import { formatSocketSpec, type SocketSpec } from '../sockets/spec.ts'

export interface MtaLines {
  /** Line for main.cf. */
  readonly postfix: string
  /** Entry for the restriction lists of main.cf, in the place of `postfix`; absent without a socket for it. */
  readonly policy?: string
  /** Line for the .mc file. */
  readonly sendmail: string
  /** Advice to the operator; absent when both MTAs have a socket that only they can reach. */
  readonly hint?: string
}

/** Returns the lines for `sockets` of the milter protocol and `policy` of Postfix's, on which the daemon listens. */
export function mtaLines(sockets: readonly SocketSpec[], policy: readonly SocketSpec[] = []): MtaLines {
  const forPostfix = bestForPostfix(sockets)
  const forSendmail =
    sockets.find((spec) => isUnix(spec) && !isBelowQueue(spec)) ?? sockets.find(isUnix) ?? sockets[0]
  const forPolicy = bestForPostfix(policy)
  const hint = hintFor(forPostfix, sockets)
  return {
    postfix: `smtpd_milters = { ${forPostfix ? postfixMilter(forPostfix) : ''}, default_action=accept }`,
    ...(forPolicy ? { policy: policyEntry(forPolicy) } : {}),
    sendmail: `INPUT_MAIL_FILTER(\`greymx', \`S=${forSendmail ? formatSocketSpec(forSendmail) : ''}, T=C:10s;S:10s;R:10s;E:1m')dnl`,
    ...(hint === undefined ? {} : { hint }),
  }
}

function bestForPostfix(sockets: readonly SocketSpec[]): SocketSpec | undefined {
  return sockets.find(isBelowQueue) ?? sockets.find(isUnix) ?? sockets[0]
}

function hintFor(forPostfix: SocketSpec | undefined, sockets: readonly SocketSpec[]): string | undefined {
  if (!forPostfix) return undefined
  const below = `unix:${QUEUE_DIRECTORY}/greymx/greymx.sock`
  if (!isUnix(forPostfix)) {
    return (
      'anyone who can reach a TCP socket, such as any user of this machine, can have any mail passed; ' +
      `use unix sockets in listen instead: ${below} for Postfix, unix:/run/greymx/greymx.sock for Sendmail`
    )
  }
  if (isBelowQueue(forPostfix)) return undefined
  const tcp = sockets.find((spec) => !isUnix(spec))
  const instead = tcp ? `, unless you write ${postfixMilter(tcp)} into the line below` : ''
  return `a chrooted Postfix, such as Debian's, needs listen: ${below}${instead}`
}

function isUnix(spec: SocketSpec): boolean {
  return spec.kind === 'unix'
}

function isBelowQueue(spec: SocketSpec): boolean {
  return spec.kind === 'unix' && spec.path.startsWith(`${QUEUE_DIRECTORY}/`)
}
