// By where a request comes from: whether it is meant for this page, whether a form in it is the page's own, whether its
// reader is on this host, and by what name a reader who sends wrong tokens is counted.

import type { IncomingMessage } from 'node:http'
import { formatNetwork, type IpAddress, networkOf, parseIp } from '../../ip.ts'
import { hostIn, isOwnHost } from '../calls.ts'
import type { PageBase, PageReaders } from '../settings.ts'

/** The settings by which requests are let in. */
export interface AccessSettings {
  /** The host in the setting `admin`. */
  readonly host: string
  readonly base: PageBase
  readonly readers: PageReaders
}

/** Headers by which a reverse proxy says for whom it asks. */
const FORWARDED =
  /^(?:forwarded|via|x-forwarded-.+|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip)$/

/** Why a request is not for this page, or a form in it not from this page; `undefined` if they are. */
export function foreign({ method, headers }: IncomingMessage, settings: AccessSettings): string | undefined {
  const { host, base } = settings
  const asked = headers.host ?? ''
  if (!isOwnHost(asked, host) && !(base.host !== undefined && hostIn(asked) === hostIn(base.host)))
    return 'expected the header Host to be an IP address, localhost or the host in admin or admin_base'
  if (method === 'GET' || method === 'HEAD') return undefined
  const site = headers['sec-fetch-site']
  const isOwn =
    site === undefined
      ? headers.origin === undefined || isOriginOf(headers.origin, [asked, base.host])
      : site === 'same-origin'
  if (isOwn) return undefined
  return 'expected a form of this page, not of another site; behind a proxy, admin_base has to be the URL of the page'
}

function isOriginOf(origin: string, hosts: readonly (string | undefined)[]): boolean {
  return hosts.includes(origin.replace(/^https?:\/\//, '').toLowerCase())
}

/** Whether a request comes from this host, and from nobody else through a proxy on it. */
export function isOnThisHost(request: IncomingMessage, settings: AccessSettings): boolean {
  const { readers } = settings
  return (
    readers === 'loopback' && isLoopback(request.socket.remoteAddress ?? '') && !isProxied(request, settings)
  )
}

/**
 * Whether a proxy may have passed a request on. Not every proxy says so: nginx, unless it is told to, adds no header, but
 * asks by HTTP/1.0, which no browser does. Whoever is on this host asks for it by a name of loopback.
 */
function isProxied({ httpVersion, headers }: IncomingMessage, { host, base }: AccessSettings): boolean {
  const asked = hostIn(headers.host ?? '')
  return (
    isBehindProxy(base) ||
    httpVersion === '1.0' ||
    !(asked === 'localhost' || asked === host.toLowerCase() || isLoopback(asked)) ||
    Object.keys(headers).some((name) => FORWARDED.test(name))
  )
}

function isBehindProxy({ path, host }: PageBase): boolean {
  return path !== '' || host !== undefined
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127(?:\.\d+){3}$/.test(address)
}

/**
 * By what wrong tokens are counted: the address, or the network of an IPv6 customer. Behind a proxy it is the one that the
 * proxy has added to `X-Forwarded-For`, so that a stranger there does not keep operators from signing in.
 */
export function peerOf({ socket, headers }: IncomingMessage, base: PageBase): string {
  const forwarded = isBehindProxy(base) ? parseIp(lastOf(headers['x-forwarded-for'])) : undefined
  const address = forwarded ?? parseIp(socket.remoteAddress ?? '')
  return address ? customerOf(address) : ''
}

function customerOf(address: IpAddress): string {
  return address.kind === 'ipv6' ? formatNetwork(networkOf(address, 64)) : address.text
}

function lastOf(header: string | string[] | undefined): string {
  return String(header ?? '')
    .replace(/^.*,/s, '')
    .trim()
}

/** Whether browsers reach the page by https. */
export function isSecure({ headers }: IncomingMessage, { isHttps }: PageBase): boolean {
  return isHttps || headers['x-forwarded-proto'] === 'https'
}
