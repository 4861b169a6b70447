// Reads and writes socket addresses in libmilter's notation, which is also Sendmail's, and writes them in Postfix's.
// Source: libmilter smfi_setconn page; Postfix MILTER_README ("Specifying the Milter service"); Sendmail op.me (S=).

import { isIPv4, isIPv6 } from 'node:net'

/** The address of a milter socket. */
export type SocketSpec =
  | { readonly kind: 'inet' | 'inet6'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** The notations that are read, for messages. */
export const SOCKET_SPEC_FORMS = 'inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH'

const INET = /^(inet6?):(\d{1,5})@(.+)$/
const UNIX = /^(?:unix|local):(\/.+)$/

/** The address that `text` names; `undefined` if it has none of `SOCKET_SPEC_FORMS`. Port 0 means any free port. */
export function parseSocketSpec(text: string): SocketSpec | undefined {
  const path = UNIX.exec(text)?.[1]
  if (path !== undefined) return { kind: 'unix', path }
  const [, kind, digits, bracketed] = INET.exec(text) ?? []
  if (kind === undefined || digits === undefined || bracketed === undefined) return undefined
  const host = bracketed.replace(/^\[(.*)\]$/, '$1')
  const port = Number(digits)
  if (port > 65535 || host === '' || /\s/.test(host)) return undefined
  if (kind === 'inet6' ? isIPv4(host) : isIPv6(host)) return undefined
  return { kind: kind === 'inet6' ? 'inet6' : 'inet', host, port }
}

/** The address in libmilter's notation, which is also Sendmail's in INPUT_MAIL_FILTER. */
export function formatSocketSpec(spec: SocketSpec): string {
  return spec.kind === 'unix' ? `unix:${spec.path}` : `${spec.kind}:${spec.port}@${spec.host}`
}

/** The address in Postfix's notation, as in smtpd_milters of main.cf. */
export function postfixService(spec: SocketSpec): string {
  if (spec.kind === 'unix') return `unix:${spec.path}`
  return `inet:${isIPv6(spec.host) ? `[${spec.host}]` : spec.host}:${spec.port}`
}
