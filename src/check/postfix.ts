// Compares Postfix's main.cf, and the overrides of it in master.cf, with the configuration of greymx. Postfix is not
// needed, so that files copied from another host can be checked. Reading the files is left to cli/check.ts; these
// functions are pure. Reading main.cf is left to main-cf.ts, what asks by check_policy_service to policy.ts.
// Source: postconf(5), "smtpd_milters"; MILTER_README; milter.c and milter8.c in its source; RELEASE_NOTES-3.11;
// DATABASE_README, "inline" and "static".

import type { Config } from '../config/schema.ts'
import { hasDistinguishedName } from '../exempt/tlsclients.ts'
import {
  checkChroot,
  chrootsOfSmtpd,
  expand,
  isOurs,
  logicalLines,
  parseMainCf,
  parseMilters,
  parseOverrides,
  parseTime,
  postfixMilter,
  type ServiceEntry,
  settingOf,
  splitOutsideBraces,
} from './main-cf.ts'
import { checkAnswerTimeout, checkMacros, checkTlsClients, neededMacros, parseMacros } from './milter.ts'
import { askedTwice, checkPolicy, expectedEntries, type PostfixReading, policyEntries } from './policy.ts'
import type { Warning } from './settings.ts'

/** Contents of Postfix's configuration files. */
export interface PostfixFiles {
  readonly mainCf: string
  /** Absent when the operator has no such file. */
  readonly masterCf?: string
  /** Returns the text of a lookup table, by its path; `undefined` when there is no such file. */
  readonly readTable?: (file: string) => string | undefined
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
  const isGreymx = ({ service }: ServiceEntry) => isOurs(service, config.listen, queueDirectory)
  const milters = (name: string) => values(name).flatMap(parseMilters).filter(isGreymx)
  const tables = values('smtpd_milter_maps')
    .flatMap(splitOutsideBraces)
    .map((table) => ({ table, results: resultsOf(table, readTable) }))
  const inTables = tables.flatMap(({ results = [] }) => results.flatMap(parseMilters)).filter(isGreymx)
  const ours = [...milters('smtpd_milters'), ...inTables]
  const chroots = chrootsOfSmtpd(masterCf)
  const reading: PostfixReading = { main, value, values, queueDirectory, chroots }
  const asking = policyEntries(reading, config)
  const policy = checkPolicy(asking, reading, config)
  const askCcert = checkAskCcert(config, [
    value('smtpd_tls_ask_ccert'),
    value('smtpd_tls_req_ccert'),
    ...ccertOverrides(replaced),
  ])
  const inOthers = milters('non_smtpd_milters').length === 0 ? [] : [nonSmtpd()]
  if (ours.length === 0 && asking.length > 0) return [...new Set([...policy, ...askCcert, ...inOthers])]
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
    ...checkChroot(ours, chroots, config.listen, queueDirectory),
    ...checkMacros('milter_connect_macros', macros('milter_connect_macros'), needed.connect),
    ...checkMacros('milter_mail_macros', macros('milter_mail_macros'), needed.mail),
    ...checkTlsClients(
      config,
      (rule) => rule.fingerprint !== undefined || hasDistinguishedName(rule),
      'subject: and issuer: with common names, as Postfix tells filters nothing else of a certificate',
    ),
    ...askCcert,
    ...asking.slice(0, 1).map(askedTwice),
    ...inOthers,
  ]
  return [...new Set(warnings)] // main.cf and master.cf may both have the same
}

/** Checks one milter. A setting that its entry lacks has the value of the setting for all milters. */
function checkMilter(milter: ServiceEntry, main: ReadonlyMap<string, string>): Warning[] {
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

function checkAction(setting: string, action: string, { service }: ServiceEntry): Warning[] {
  if (action === 'accept') return []
  const effect = ACTION_EFFECTS[action] ?? 'defers all mail'
  return [`${setting} ${action} for ${service} ${effect} while greymx is away: ${expectedEntry(service)}`]
}

/** The warning that nothing says what becomes of mail; main.cf tells of Postfix's version at most the least. */
function noAction({ service }: ServiceEntry, main: ReadonlyMap<string, string>): Warning {
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

function noneIsOurs(config: Config, queueDirectory: string, unread: readonly string[]): Warning {
  const expected = config.listen.map((spec) => postfixMilter(spec, queueDirectory)).join(' or ')
  if (unread.length > 0) {
    return `no milter in smtpd_milters is greymx, and ${unread.join(', ')} of smtpd_milter_maps cannot be looked into: expected ${expected} there, as in listen`
  }
  if (config.listenPolicy.length > 0)
    return (
      `no milter in smtpd_milters and no check_policy_service is greymx: expected ${expected} as a milter, or ` +
      `${expectedEntries(config, queueDirectory)} in smtpd_recipient_restrictions and smtpd_data_restrictions; nothing is greylisted`
    )
  return `no milter in smtpd_milters is greymx: expected ${expected}, as in listen; nothing is greylisted`
}

function nonSmtpd(): Warning {
  return (
    'non_smtpd_milters has greymx: expected it in smtpd_milters alone, as mail that is submitted with sendmail(1), and ' +
    'bounces, come from no client that could retry'
  )
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
