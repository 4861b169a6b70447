// Compares a sendmail.cf, or the .mc file that it is made of, with the configuration of greymx. Reading the file is
// left to cli/check.ts; these functions are pure.
// Source: Sendmail op.me, "X — Mail Filter (Milter) Definitions"; cf/README, "ADDING NEW MAIL FILTERS";
// cf/m4/cfhead.m4.

import type { Config } from '../config/schema.ts'
import { formatSocketSpec, parseSocketSpec } from '../sockets/spec.ts'
import {
  checkAnswerTimeout,
  checkMacros,
  checkTlsClients,
  leadsTo,
  neededMacros,
  parseMacros,
} from './milter.ts'
import type { Warning } from './settings.ts'

interface SendmailSettings {
  /** Filters by name, each with its equates (S, F, T). */
  readonly filters: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** Names of the filters that are used, in order; absent when all that are defined are used. */
  readonly used?: readonly string[]
  /** Digest of the fingerprints that Sendmail passes to filters, in lower case. */
  readonly fingerprintAlgorithm: string
  /** Macro lists by milter stage; absent when the .mc leaves them at their defaults. */
  readonly macros: { readonly connect?: readonly string[]; readonly mail?: readonly string[] }
}

const UNIT_MILLISECONDS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** Number of hexadecimal digits of each digest that CertFingerprintAlgorithm may name. */
const DIGEST_DIGITS: Readonly<Record<string, number>> = {
  md5: 32,
  sha1: 40,
  sha224: 56,
  sha256: 64,
  sha384: 96,
  sha512: 128,
}
/** Sendmail's digest when CertFingerprintAlgorithm is not set. */
const DEFAULT_FINGERPRINT = 'md5'

/** Time that Sendmail waits for an answer when T= has no R:, in milliseconds. */
const DEFAULT_REPLY_TIMEOUT = 10_000

/** By the value of F=: what Sendmail does with mail when the filter is away, in words for warnings. */
const FLAG_ACTIONS: Readonly<Record<string, string>> = {
  R: 'rejects all mail',
  T: 'defers all mail',
  '4': 'defers all mail',
}

/** Returns the warnings on Sendmail's entry for greymx, or that there is none; `text` is a sendmail.cf or .mc file. */
export function checkSendmail(text: string, config: Config): Warning[] {
  const isCf = /^(V\d|O [\w.]+ *=)/m.test(text)
  const { filters, used, fingerprintAlgorithm, macros } = isCf ? parseCf(text) : parseMc(text)
  const ours = [...filters].find(([, equates]) => isOurs(equates.get('S') ?? '', config))
  const socket = config.listen.map(formatSocketSpec).join(' or ')
  if (!ours) {
    return [`no mail filter is greymx: expected one with S=${socket}, as in listen; nothing is greylisted`]
  }
  const [name, equates] = ours
  const needed = neededMacros(config)
  return [
    ...(used === undefined || used.includes(name) ? [] : [unused(name, used)]),
    ...checkFlags(name, equates.get('F') ?? ''),
    ...checkAnswerTimeout(`T=R: of ${name},`, replyTimeout(equates.get('T') ?? '')),
    ...(choosesMacros(text)
      ? []
      : [
          ...checkMacros('Milter.macros.connect', macros.connect, needed.connect),
          ...checkMacros('Milter.macros.envfrom', macros.mail, needed.mail),
        ]),
    ...checkTlsClients(
      config,
      ({ fingerprint }) =>
        fingerprint !== undefined &&
        fingerprint.length !== (DIGEST_DIGITS[fingerprintAlgorithm] ?? fingerprint.length),
      `the digits of ${fingerprintAlgorithm}, as CertFingerprintAlgorithm (confCERT_FINGERPRINT_ALGORITHM) is that`,
    ),
  ]
}

/**
 * Whether greymx chooses the macros by itself, as it does since Sendmail 8.14 (RELEASE_NOTES, smfi_setsymlist). A
 * sendmail.cf names its version, and a .mc file does not.
 */
function choosesMacros(text: string): boolean {
  const [, major, minor] = /^DZ(\d+)\.(\d+)/m.exec(text) ?? []
  return major === undefined || Number(major) > 8 || Number(minor) >= 14
}

function unused(name: string, used: readonly string[]): Warning {
  return (
    `InputMailFilters is ${used.join(', ') || 'empty'}, without ${name}, which is greymx: expected it there, as nothing is ` +
    'greylisted otherwise'
  )
}

function checkFlags(name: string, flags: string): Warning[] {
  const action = FLAG_ACTIONS[flags]
  if (action === undefined) return []
  return [`F=${flags} of ${name} ${action} while greymx is away: expected no F=, so that mail flows`]
}

function isOurs(socket: string, { listen }: Config): boolean {
  const theirs = parseSocketSpec(socket.startsWith('/') ? `unix:${socket}` : socket)
  return theirs !== undefined && listen.some((spec) => leadsTo(theirs, spec))
}

/** Returns the R: time of a value of T= like `C:10s;S:10s;R:10s;E:1m`, in milliseconds. */
function replyTimeout(timeouts: string): number {
  const [, digits, unit = 's'] = /(?:^|;)\s*R:(\d+)([smhdw]?)/.exec(timeouts) ?? []
  return digits === undefined
    ? DEFAULT_REPLY_TIMEOUT
    : Number(digits) * (UNIT_MILLISECONDS[unit || 's'] ?? 1000)
}

function parseCf(text: string): SendmailSettings {
  // In sendmail.cf, lines that begin with white space continue the one before.
  const lines = text.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)
  const filters = new Map<string, ReadonlyMap<string, string>>()
  const options = new Map<string, string>()
  for (const line of lines) {
    const [, name, equates] = /^X([^\s,]+)\s*,(.*)$/.exec(line) ?? []
    if (name !== undefined && equates !== undefined) filters.set(name, parseEquates(equates))
    const [, option, value] = /^O\s*([\w.]+)\s*=\s*(.*)$/.exec(line) ?? []
    if (option !== undefined && value !== undefined) options.set(option.toLowerCase(), value.trim())
  }
  // Without InputMailFilters no filter is used, and without Milter.macros no macros are sent.
  return {
    filters,
    used: parseNames(options.get('inputmailfilters') ?? ''),
    fingerprintAlgorithm: (options.get('certfingerprintalgorithm') ?? DEFAULT_FINGERPRINT).toLowerCase(),
    macros: {
      connect: parseMacros(options.get('milter.macros.connect') ?? ''),
      mail: parseMacros(options.get('milter.macros.envfrom') ?? ''),
    },
  }
}

function parseMc(text: string): SendmailSettings {
  const source = text.replace(/^dnl\b.*$/gm, '').replace(/\bdnl\b.*$/gm, '')
  const filters = new Map<string, ReadonlyMap<string, string>>()
  const inputs: string[] = []
  for (const [, kind, name = '', equates = ''] of source.matchAll(
    /\b(INPUT_MAIL_FILTER|MAIL_FILTER)\(\s*`([^']*)'\s*,\s*`([^']*)'/g,
  )) {
    filters.set(name, parseEquates(equates))
    if (kind === 'INPUT_MAIL_FILTER') inputs.push(name)
  }
  const defined = (name: string) => {
    const [, value] = new RegExp(`define\\(\\s*\`${name}'\\s*,\\s*\`+([^']*)'`).exec(source) ?? []
    return value
  }
  // A list that contains its own name adds to the default, which has all macros that greymx needs.
  const macros = (name: string) => {
    const value = defined(name)
    return value === undefined || value.includes(name) ? undefined : parseMacros(value)
  }
  const [connect, mail] = [macros('confMILTER_MACROS_CONNECT'), macros('confMILTER_MACROS_ENVFROM')]
  const named = defined('confINPUT_MAIL_FILTERS')
  return {
    filters,
    used: named === undefined ? inputs : parseNames(named),
    fingerprintAlgorithm: (defined('confCERT_FINGERPRINT_ALGORITHM') ?? DEFAULT_FINGERPRINT).toLowerCase(),
    macros: { ...(connect ? { connect } : {}), ...(mail ? { mail } : {}) },
  }
}

function parseEquates(text: string): Map<string, string> {
  return new Map(
    text.split(',').flatMap((equate): Array<[string, string]> => {
      const [, name, value] = /^\s*([A-Z])=(.*?)\s*$/.exec(equate) ?? []
      return name === undefined || value === undefined ? [] : [[name, value]]
    }),
  )
}

function parseNames(text: string): string[] {
  return text.split(/[\s,;]+/).filter((name) => name !== '')
}
