// Compares Postfix's main.cf, and the overrides of it in master.cf, with the configuration of greymx. Postfix is not
// needed, so that files copied from another host can be checked. Reading the files is left to cli/check.ts; these
// functions are pure.
// Source: postconf(5), "smtpd_milters" and "main.cf file format"; MILTER_README; master(5), "chroot"; mac_expand.c,
// milter.c and master_ent.c in its source.

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
}

/** Default working directory of Postfix's programs, which is also the root of a chrooted one (`queue_directory`). */
export const QUEUE_DIRECTORY = '/var/spool/postfix'

/** Postfix's defaults for the settings that are used here but missing in main.cf. */
const DEFAULTS: Readonly<Record<string, string>> = {
  milter_default_action: 'tempfail',
  milter_command_timeout: '30s',
  queue_directory: QUEUE_DIRECTORY,
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
export function checkPostfix({ mainCf, masterCf = '' }: PostfixFiles, config: Config): Warning[] {
  const main = parseMainCf(mainCf)
  const value = (name: string) => settingOf(main, name)
  const queueDirectory = value('queue_directory')
  const replaced = parseOverrides(masterCf).map(([name, text]) => [name, expand(text, main)] as const)
  const milters = (name: string) =>
    [value(name), ...replaced.filter(([other]) => other === name).map(([, text]) => text)]
      .flatMap(parseMilters)
      .filter(({ service }) => isOurs(service, config.listen, queueDirectory))
  const ours = milters('smtpd_milters')
  const inOthers = milters('non_smtpd_milters').length === 0 ? [] : [nonSmtpd()]
  if (ours.length === 0) return [noneIsOurs(config, queueDirectory), ...inOthers]
  const needed = neededMacros(config)
  const macros = (name: string) => (main.has(name) ? parseMacros(value(name)) : undefined)
  const warnings = [
    ...ours.flatMap((milter) => checkMilter(milter, value)),
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
function checkMilter(milter: Milter, value: (name: string) => string): Warning[] {
  const effective = (own: string) => {
    const text = milter.settings.get(own)
    return text === undefined ? ([`milter_${own}`, value(`milter_${own}`)] as const) : ([own, text] as const)
  }
  const [actionSetting, action] = effective('default_action')
  const [timeoutSetting, timeout] = effective('command_timeout')
  const milliseconds = parseTime(timeout)
  return [
    ...checkAction(actionSetting, action, milter),
    ...(milliseconds === undefined ? [] : checkAnswerTimeout(timeoutSetting, milliseconds)),
  ]
}

function checkAction(setting: string, action: string, { service }: Milter): Warning[] {
  if (action === 'accept') return []
  const becomes = action === 'reject' ? 'rejects all mail' : 'defers all mail'
  return [
    `${setting} ${action} for ${service} ${action === 'quarantine' ? 'puts all mail on hold' : becomes} while greymx is ` +
      `away: expected { ${service}, default_action=accept }, so that mail flows`,
  ]
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

function noneIsOurs({ listen }: Config, queueDirectory: string): Warning {
  const expected = listen.map((spec) => postfixMilter(spec, queueDirectory)).join(' or ')
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
 * Tells whether a service is greymx: `inet:host:port`, `inet:[IPv6]:port` or `unix:path`, whose path a chrooted smtpd
 * takes from the queue directory.
 */
function isOurs(service: string, listen: readonly SocketSpec[], queueDirectory: string): boolean {
  const path = unixPathOf(service)
  if (path !== undefined) {
    return [true, false].some((isChrooted) => isOurPath(pathFor(path, queueDirectory, isChrooted), listen))
  }
  const [, host = '', port] = /^inet:(.*):(\d+)$/.exec(service) ?? []
  if (port === undefined) return false
  const theirs = { kind: 'inet', host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) } as const
  return listen.some((spec) => leadsTo(theirs, spec))
}

function unixPathOf(service: string): string | undefined {
  return /^unix:(.+)$/.exec(service)?.[1]
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
