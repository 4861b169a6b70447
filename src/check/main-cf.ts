// Reads Postfix's main.cf and master.cf as Postfix does: settings with their references expanded, lists, the notation of
// sockets and where smtpd looks for a path. What is to be warned of is left to postfix.ts and policy.ts.
// Source: postconf(5), "main.cf file format"; master(5), "chroot"; mac_expand.c and master_ent.c in Postfix's source.

import { postfixService, type SocketSpec } from '../sockets/spec.ts'
import { leadsTo } from './milter.ts'
import type { Warning } from './settings.ts'

/** Default working directory of Postfix's programs, which is also the root of a chrooted one (`queue_directory`). */
export const QUEUE_DIRECTORY = '/var/spool/postfix'

/** Postfix's defaults for the settings that are used here but missing in main.cf. */
const DEFAULTS: Readonly<Record<string, string>> = {
  milter_default_action: 'tempfail',
  milter_command_timeout: '30s',
  milter_protocol: '6',
  queue_directory: QUEUE_DIRECTORY,
  smtpd_policy_service_default_action: '451 4.3.5 Server configuration problem',
  smtpd_policy_service_timeout: '100s',
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Deepest nesting of references between values; deeper ones, such as circles, count as empty. */
const MAX_DEPTH = 20

/** A service in a list like smtpd_milters or behind check_policy_service, with the settings that it has for itself. */
export interface ServiceEntry {
  readonly service: string
  readonly settings: ReadonlyMap<string, string>
}

/** Returns the unexpanded settings by name. The last of a name applies, and indented lines continue the one before. */
export function parseMainCf(text: string): Map<string, string> {
  const settings = new Map<string, string>()
  for (const line of logicalLines(text)) {
    const [, name, value] = /^([^\s=]+)\s*=\s*(.*)$/s.exec(line) ?? []
    if (name !== undefined && value !== undefined) settings.set(name, value.trim())
  }
  return settings
}

/**
 * Returns a setting's expanded value, or its default when main.cf lacks it; `''` for a default that is not needed here.
 */
export function settingOf(settings: ReadonlyMap<string, string>, name: string): string {
  return expand(settings.get(name) ?? DEFAULTS[name] ?? '', settings)
}

/** Returns the settings by which `-o name=value` and `-o { name = value }` in master.cf override main.cf. */
export function parseOverrides(text: string): Array<[name: string, value: string]> {
  return logicalLines(text).flatMap((line) =>
    [...line.matchAll(/-o\s*(?:\{\s*(\w+)\s*=\s*((?:[^{}]|\{[^{}]*\})*)\}|(\w+)=(\S*))/g)].map(
      ([, inBraces, value, name, word]): [string, string] => [inBraces ?? name ?? '', value ?? word ?? ''],
    ),
  )
}

/** Joins continued lines. Comments and empty lines may stand between a line and its continuation. */
export function logicalLines(text: string): string[] {
  const lines: string[] = []
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue
    if (/^\s/.test(line) && lines.length > 0) lines.push(`${lines.pop()} ${line.trim()}`)
    else lines.push(line)
  }
  return lines
}

/**
 * Returns `text` with the values for `$name`, `${name}`, `$(name)`, `${name?yes}`, `${name:no}` and
 * `${name?{yes}:{no}}`; `$$` is a dollar.
 */
export function expand(text: string, settings: ReadonlyMap<string, string>, depth = 0): string {
  if (depth > MAX_DEPTH) return ''
  const value = (name: string) => expand(settings.get(name) ?? DEFAULTS[name] ?? '', settings, depth + 1)
  let result = ''
  for (let rest = text; rest !== ''; ) {
    const [, plain = '', name, open] = /^([^$]*)(?:\$(?:([a-zA-Z0-9_]+)|([{($]?)))?/s.exec(rest) ?? []
    result += plain
    const matched = plain.length + (rest.length > plain.length ? 1 + (name ?? open ?? '').length : 0)
    rest = rest.slice(matched)
    if (name !== undefined) result += value(name)
    else if (open === '$') result += '$'
    else if (open === '{' || open === '(') {
      const end = closing(rest, open)
      result += conditional(rest.slice(0, end))
      rest = rest.slice(end + 1)
    }
  }
  return result

  function conditional(inside: string): string {
    const [, name = '', operator, choices = ''] = /^\s*(\w+)\s*(?:([?:])(.*))?$/s.exec(inside) ?? []
    if (operator === undefined) return value(name)
    const [first, second] = twoChoices(choices)
    const isSet = value(name) !== ''
    if (operator === ':') return isSet ? '' : expand(first, settings, depth + 1)
    return expand(isSet ? first : second, settings, depth + 1)
  }
}

/** Returns both choices of `{yes}:{no}`; the second is `''` after `{yes}` alone or a bare text. */
function twoChoices(text: string): [string, string] {
  const trimmed = text.trim()
  if (!trimmed.startsWith('{')) return [trimmed, '']
  const end = closing(trimmed.slice(1), '{') + 1
  const after = trimmed.slice(end + 1).trim()
  return [trimmed.slice(1, end).trim(), after.startsWith(':') ? twoChoices(after.slice(1))[0] : '']
}

/** Returns the index of the bracket that closes `open`, or the end of the text when it is never closed. */
function closing(text: string, open: '{' | '('): number {
  const close = open === '{' ? '}' : ')'
  let depth = 1
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === open) depth += 1
    if (text[index] === close) depth -= 1
    if (depth === 0) return index
  }
  return text.length
}

/** Returns the milters of a list like `inet:host:port, { unix:/path, name=value, … }`. */
export function parseMilters(text: string): ServiceEntry[] {
  return splitOutsideBraces(text).map((item) => {
    const parts = item.startsWith('{') ? splitOutsideBraces(item.slice(1, -1)) : [item]
    const [service = '', ...settings] = parts
    return { service, settings: new Map(joinedSettings(settings)) }
  })
}

/** Returns the settings of an entry, written `name=value`, `name = value` or `{ name = value }`. */
function joinedSettings(parts: readonly string[]): Array<[string, string]> {
  const text = parts.map((part) => part.replace(/^\{(.*)\}$/s, '$1').trim()).join('\n')
  return [...text.matchAll(/(\w+)\s*=\s*([^\n]*)/g)].map(([, name = '', value = '']) => [name, value.trim()])
}

export function splitOutsideBraces(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let part = ''
  for (const character of text) {
    if (character === '{') depth += 1
    if (character === '}') depth -= 1
    if (depth === 0 && /[\s,]/.test(character)) {
      if (part !== '') parts.push(part)
      part = ''
    } else part += character
  }
  return part === '' ? parts : [...parts, part]
}

/**
 * Returns Postfix's notation for a socket in smtpd_milters. A unix socket below the queue directory is written relative
 * to it, so that smtpd finds it with and without chroot; a chrooted smtpd looks for an absolute path within the chroot.
 */
export function postfixMilter(spec: SocketSpec, queueDirectory = QUEUE_DIRECTORY): string {
  const below = `${queueDirectory}/`
  if (spec.kind === 'unix' && spec.path.startsWith(below)) return `unix:${spec.path.slice(below.length)}`
  return postfixService(spec)
}

/**
 * Returns the entry of a restriction list that asks greymx at this socket. Postfix's default for the action while a
 * policy server is away is a 451, and for the time that it waits 100 s.
 */
export function policyEntry(spec: SocketSpec, queueDirectory = QUEUE_DIRECTORY): string {
  return `check_policy_service { ${postfixMilter(spec, queueDirectory)}, default_action=DUNNO, timeout=10s }`
}

/** Warns of unix sockets that smtpd cannot find, because it is chrooted or because it is not. */
export function checkChroot(
  entries: readonly ServiceEntry[],
  chroots: ReadonlySet<boolean>,
  listen: readonly SocketSpec[],
  queueDirectory: string,
): Warning[] {
  return entries.flatMap(({ service }) => {
    const path = unixPathOf(service)
    const isFound = (isChrooted: boolean) =>
      isOurPath(pathFor(path ?? '', queueDirectory, isChrooted), listen)
    const [missedBy] = [...chroots].filter((isChrooted) => path !== undefined && !isFound(isChrooted))
    if (path === undefined || missedBy === undefined) return []
    const seenAt = pathFor(path, queueDirectory, missedBy)
    return [
      `smtpd ${missedBy ? 'is' : 'is not'} chrooted in master.cf, so that ${service} is ${seenAt}, where greymx does not listen: ` +
        `expected a socket below ${queueDirectory}, written relative to it, such as unix:greymx/greymx.sock`,
    ]
  })
}

/** Returns whether the smtpd services of master.cf are chrooted, each answer once; since Postfix 3.0, `-` means no. */
export function chrootsOfSmtpd(masterCf: string): ReadonlySet<boolean> {
  const services = logicalLines(masterCf).map((line) => line.split(/\s+/))
  return new Set(
    services.filter(([, , , , , , , command]) => command === 'smtpd').map((fields) => fields[4] === 'y'),
  )
}

/**
 * Tells whether a service is greymx: `inet:host:port`, `inet:[IPv6]:port`, `inet:port`, or `unix:path`, also written
 * `local:path`, whose path a chrooted smtpd takes from the queue directory.
 */
export function isOurs(service: string, listen: readonly SocketSpec[], queueDirectory: string): boolean {
  const path = unixPathOf(service)
  if (path !== undefined) {
    return [true, false].some((isChrooted) => isOurPath(pathFor(path, queueDirectory, isChrooted), listen))
  }
  // Without a host, Postfix connects to localhost.
  const [, host = 'localhost', port] = /^inet:(?:(.+):|:)?(\d+)$/.exec(service) ?? []
  if (port === undefined) return false
  const theirs = { kind: 'inet', host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) } as const
  return listen.some((spec) => leadsTo(theirs, spec))
}

function unixPathOf(service: string): string | undefined {
  return /^(?:unix|local):(.+)$/.exec(service)?.[1]
}

function isOurPath(path: string, listen: readonly SocketSpec[]): boolean {
  return listen.some((spec) => leadsTo({ kind: 'unix', path }, spec))
}

/**
 * Returns where smtpd looks for a path: it works in the queue directory, which is also its root when it is chrooted.
 */
function pathFor(path: string, queueDirectory: string, isChrooted: boolean): string {
  if (path.startsWith('/')) return isChrooted ? `${queueDirectory}${path}` : path
  return `${queueDirectory}/${path}`
}

/** Returns milliseconds, or `undefined` when `text` is no time. Postfix takes a number without a unit as seconds. */
export function parseTime(text: string): number | undefined {
  const [, digits, unit = 's'] = /^(\d+)([smhdw]?)$/.exec(text.trim()) ?? []
  const factor = UNIT_SECONDS[unit || 's']
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor * 1000
}
