// Compares Postfix's main.cf, and the overrides of it in master.cf, with the configuration of greymx. Postfix is not
// needed, so that files copied from another host can be checked. Reading the files is left to cli/check.ts; these
// functions are pure.
// Source: postconf(5), "smtpd_milters" and "main.cf file format"; MILTER_README; master(5), "chroot"; mac_expand.c,
// milter.c, milter8.c and master_ent.c in its source; RELEASE_NOTES-3.11; DATABASE_README, "inline" and "static".

import type { Config } from '../config/schema.ts'
import { hasDistinguishedName } from '../exempt/tlsclients.ts'
import { postfixService, type SocketSpec } from '../sockets/spec.ts'
import {
  checkAnswerTimeout,
  checkMacros,
  checkTlsClients,
  leadsTo,
  neededMacros,
  parseMacros,
} from './milter.ts'
import type { Warning } from './settings.ts'

/** Contents of Postfix's configuration files. */
export interface PostfixFiles {
  readonly mainCf: string
  /** Absent when the operator has no such file. */
  readonly masterCf?: string
  /** Returns the text of a lookup table, by its path; `undefined` when there is no such file. */
  readonly readTable?: (file: string) => string | undefined
}

/** Default working directory of Postfix's programs, which is also the root of a chrooted one (`queue_directory`). */
export const QUEUE_DIRECTORY = '/var/spool/postfix'

/** Postfix's defaults for the settings that are used here but missing in main.cf. */
const DEFAULTS: Readonly<Record<string, string>> = {
  milter_default_action: 'tempfail',
  milter_command_timeout: '30s',
  milter_protocol: '6',
  queue_directory: QUEUE_DIRECTORY,
}

/**
 * What `milter_default_action` is where main.cf does not set it, by the Postfix from which on it is so. Source:
 * postconf(5); RELEASE_NOTES-3.11, "Feature 20251208".
 */
const DEFAULT_ACTIONS = [
  { since: [3, 11], of: 'Postfix 3.11 and later', action: 'shutdown' },
  { since: [2, 3], of: 'Postfix before 3.11', action: 'tempfail' },
] as const

/** What Postfix does with mail while a milter is away, by the action (postconf(5), milter_default_action). */
const ACTION_EFFECTS: Readonly<Record<string, string>> = {
  reject: 'rejects all mail',
  tempfail: 'defers all mail',
  shutdown: 'disconnects every client with 421',
  quarantine: 'puts all mail on hold',
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Deepest nesting of references between values; deeper ones, such as circles, count as empty. */
const MAX_DEPTH = 20

/** An entry of a list like smtpd_milters, with the settings that it has for itself. */
interface Milter {
  readonly service: string
  readonly settings: ReadonlyMap<string, string>
}

/** Returns the warnings on Postfix's entries for greymx, or that there is none. */
export function checkPostfix(files: PostfixFiles, config: Config): Warning[] {
  const { mainCf, masterCf = '', readTable = () => undefined } = files
  const main = parseMainCf(mainCf)
  const value = (name: string) => settingOf(main, name)
  const queueDirectory = value('queue_directory')
  const replaced = parseOverrides(masterCf).map(([name, text]) => [name, expand(text, main)] as const)
  const values = (name: string) => [
    value(name),
    ...replaced.filter(([other]) => other === name).map(([, text]) => text),
  ]
  const isGreymx = ({ service }: Milter) => isOurs(service, config.listen, queueDirectory)
  const milters = (name: string) => values(name).flatMap(parseMilters).filter(isGreymx)
  const tables = values('smtpd_milter_maps')
    .flatMap(splitOutsideBraces)
    .map((table) => ({ table, results: resultsOf(table, readTable) }))
  const inTables = tables.flatMap(({ results = [] }) => results.flatMap(parseMilters)).filter(isGreymx)
  const ours = [...milters('smtpd_milters'), ...inTables]
  const inOthers = milters('non_smtpd_milters').length === 0 ? [] : [nonSmtpd()]
  if (ours.length === 0) {
    const unread = tables.filter(({ results }) => !results).map(({ table }) => table)
    return [noneIsOurs(config, queueDirectory, unread), ...inOthers]
  }
  const needed = neededMacros(config)
  // With protocol 6, which is the default, greymx chooses the macros by itself (SMFIF_SETSYMLIST).
  const choosesMacros = ours.every(({ settings }) =>
    /(?:^|[\s,])6(?:$|[\s,])/.test(settings.get('protocol') ?? value('milter_protocol')),
  )
  const macros = (name: string) => (main.has(name) && !choosesMacros ? parseMacros(value(name)) : undefined)
  const warnings = [
    ...ours.flatMap((milter) => checkMilter(milter, main)),
    ...checkChroot(ours, chrootsOfSmtpd(masterCf), config.listen, queueDirectory),
    ...checkMacros('milter_connect_macros', macros('milter_connect_macros'), needed.connect),
    ...checkMacros('milter_mail_macros', macros('milter_mail_macros'), needed.mail),
    ...checkTlsClients(
      config,
      (rule) => rule.fingerprint !== undefined || hasDistinguishedName(rule),
      'subject: and issuer: with common names, as Postfix tells filters nothing else of a certificate',
    ),
    ...checkAskCcert(config, [
      value('smtpd_tls_ask_ccert'),
      value('smtpd_tls_req_ccert'),
      ...ccertOverrides(replaced),
    ]),
    ...inOthers,
  ]
  return [...new Set(warnings)] // main.cf and master.cf may both have the same
}

/** Checks one milter. A setting that its entry lacks has the value of the setting for all milters. */
function checkMilter(milter: Milter, main: ReadonlyMap<string, string>): Warning[] {
  const effective = (own: string) => {
    const text = milter.settings.get(own)
    const name = `milter_${own}`
    return text === undefined ? ([name, settingOf(main, name)] as const) : ([own, text] as const)
  }
  const [actionSetting, action] = effective('default_action')
  const [timeoutSetting, timeout] = effective('command_timeout')
  const milliseconds = parseTime(timeout)
  return [
    ...(milter.settings.has('default_action') || main.has('milter_default_action')
      ? checkAction(actionSetting, action, milter)
      : [noAction(milter, main)]),
    ...(milliseconds === undefined ? [] : checkAnswerTimeout(timeoutSetting, milliseconds)),
  ]
}

function checkAction(setting: string, action: string, { service }: Milter): Warning[] {
  if (action === 'accept') return []
  const effect = ACTION_EFFECTS[action] ?? 'defers all mail'
  return [`${setting} ${action} for ${service} ${effect} while greymx is away: ${expectedEntry(service)}`]
}

/** The warning that nothing says what becomes of mail; main.cf tells of Postfix's version at most the least. */
function noAction({ service }: Milter, main: ReadonlyMap<string, string>): Warning {
  const [major = 0, minor = 0] = settingOf(main, 'compatibility_level').split('.').map(Number)
  const isOlder = ([least, point]: readonly [number, number]) =>
    major < least || (major === least && minor < point)
  const [newest, ...older] = DEFAULT_ACTIONS
  const possible = isOlder(newest.since) ? [...older, newest] : [newest]
  const does = possible.map(({ of, action }) => `${of} ${ACTION_EFFECTS[action]} (${action})`)
  return `milter_default_action is not set for ${service}: while greymx is away, ${does.join(', and ')}: ${expectedEntry(service)}`
}

function expectedEntry(service: string): string {
  return `expected { ${service}, default_action=accept }, so that mail flows`
}

function ccertOverrides(replaced: ReadonlyArray<readonly [name: string, value: string]>): string[] {
  return replaced.filter(([name]) => /^smtpd_tls_(ask|req)_ccert$/.test(name)).map(([, text]) => text)
}

function checkAskCcert({ exempt }: Config, answers: readonly string[]): Warning[] {
  if (exempt.tlsClients.length === 0 || answers.includes('yes')) return []
  return [
    'smtpd_tls_ask_ccert is not yes: expected yes, as no client shows a certificate otherwise, and exempt.tls_clients never applies',
  ]
}

function noneIsOurs({ listen }: Config, queueDirectory: string, unread: readonly string[]): Warning {
  const expected = listen.map((spec) => postfixMilter(spec, queueDirectory)).join(' or ')
  if (unread.length > 0) {
    return `no milter in smtpd_milters is greymx, and ${unread.join(', ')} of smtpd_milter_maps cannot be looked into: expected ${expected} there, as in listen`
  }
  return `no milter in smtpd_milters is greymx: expected ${expected}, as in listen; nothing is greylisted`
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
function checkChroot(
  milters: readonly Milter[],
  chroots: ReadonlySet<boolean>,
  listen: readonly SocketSpec[],
  queueDirectory: string,
): Warning[] {
  return milters.flatMap(({ service }) => {
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
function chrootsOfSmtpd(masterCf: string): ReadonlySet<boolean> {
  const services = logicalLines(masterCf).map((line) => line.split(/\s+/))
  return new Set(
    services.filter(([, , , , , , , command]) => command === 'smtpd').map((fields) => fields[4] === 'y'),
  )
}

function nonSmtpd(): Warning {
  return (
    'non_smtpd_milters has greymx: expected it in smtpd_milters alone, as mail that is submitted with sendmail(1), and ' +
    'bounces, come from no client that could retry'
  )
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
function parseOverrides(text: string): Array<[name: string, value: string]> {
  return logicalLines(text).flatMap((line) =>
    [...line.matchAll(/-o\s*(?:\{\s*(\w+)\s*=\s*((?:[^{}]|\{[^{}]*\})*)\}|(\w+)=(\S*))/g)].map(
      ([, inBraces, value, name, word]): [string, string] => [inBraces ?? name ?? '', value ?? word ?? ''],
    ),
  )
}

/** Joins continued lines. Comments and empty lines may stand between a line and its continuation. */
function logicalLines(text: string): string[] {
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
function expand(text: string, settings: ReadonlyMap<string, string>, depth = 0): string {
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

/**
 * Returns the results in a table of smtpd_milter_maps: those written in main.cf, or the lines of a file of text;
 * `undefined` for other tables, and where the file is missing.
 */
function resultsOf(table: string, readTable: (file: string) => string | undefined): string[] | undefined {
  const [, type = '', name = ''] = /^(\w+):(.*)$/s.exec(table) ?? []
  const inBraces = /^\{(.*)\}$/s.exec(name.trim())?.[1]
  if (type === 'static') return [inBraces?.trim() ?? name]
  if (type === 'inline') {
    const entries = splitOutsideBraces(inBraces ?? '').map((entry) => entry.replace(/^\{(.*)\}$/s, '$1'))
    return entries.map((entry) => entry.replace(/^[^=]*=\s*/s, '').trim())
  }
  if (!TABLES_OF_TEXT.has(type)) return undefined
  const text = readTable(name)
  return text === undefined
    ? undefined
    : logicalLines(text).map((line) => line.replace(/^(?:\/.*\/\w*|\S+)\s+/s, '').trim())
}

/** Types of lookup tables whose file is text, or is made from one beside it. */
const TABLES_OF_TEXT = new Set([
  'cidr',
  'texthash',
  'hash',
  'btree',
  'lmdb',
  'cdb',
  'dbm',
  'sdbm',
  'regexp',
  'pcre',
])

/** Returns the milters of a list like `inet:host:port, { unix:/path, name=value, … }`. */
export function parseMilters(text: string): Milter[] {
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

function splitOutsideBraces(text: string): string[] {
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
 * Tells whether a service is greymx: `inet:host:port`, `inet:[IPv6]:port`, `inet:port`, or `unix:path`, also written
 * `local:path`, whose path a chrooted smtpd takes from the queue directory.
 */
function isOurs(service: string, listen: readonly SocketSpec[], queueDirectory: string): boolean {
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
function parseTime(text: string): number | undefined {
  const [, digits, unit = 's'] = /^(\d+)([smhdw]?)$/.exec(text.trim()) ?? []
  const factor = UNIT_SECONDS[unit || 's']
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor * 1000
}
