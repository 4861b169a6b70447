// Compares the ACLs of an Exim with the configuration of greymx: does Exim ask where greymx listens, does its mail flow
// while greymx is away, and does only grey mail wait? Best is what `exim -bP config` prints, which has all macros and
// included files in it; a configuration file is read with its own. Reading files is left to cli/check.ts; these functions
// are pure.
// Source: Exim 4.96 spec, chapters 6 (macros, .include), 11 (readsocket, run) and 44 (verbs, condition).

import type { Config } from '../config/schema.ts'
import type { SocketSpec } from '../sockets/spec.ts'
import { checkAnswerTimeout, leadsTo } from './milter.ts'
import type { Warning } from './settings.ts'

/** An Exim's configuration. */
export interface EximFiles {
  readonly text: string
  /** Returns the text of an included file, by its path; `undefined` when there is no such file. */
  readonly readIncluded?: (file: string) => string | undefined
}

/** Deepest nesting of included files; deeper ones, such as circles, are left out. */
const MAX_DEPTH = 20

/** What Exim waits where ${readsocket…} names no time, in milliseconds. */
const DEFAULT_TIMEOUT = 5_000

const UNIT_MILLISECONDS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 }

/** Fields of a request in which a stranger says what stands there. */
const QUOTED_FIELD = /\b([a-z]+)=(?!\$\{quote:|\$\{if |\$\{sha256:|"|[A-Za-z0-9_.-]*(?:\s|$))/g

/** One statement of an ACL: a verb, with its modifiers and conditions. */
interface Statement {
  readonly verb: string
  /** Each line that follows the verb, such as `condition = …`. */
  readonly lines: readonly string[]
}

/** One ${readsocket…} or ${run…} that asks greymx, with where it stands. */
interface Question {
  readonly statement: Statement
  /** The modifier or condition in which it stands, such as `condition` or `set acl_m_greymx`. */
  readonly modifier: string
  /** What is asked, as Exim's configuration has it. */
  readonly request: string
  readonly kind: 'readsocket' | 'run'
  /** The arguments in braces. */
  readonly args: readonly string[]
  /** What stands between the name and the first brace. */
  readonly options: string
}

/** Returns the warnings on the lines by which Exim asks greymx, or that there is none. */
export function checkExim({ text, readIncluded = () => undefined }: EximFiles, config: Config): Warning[] {
  const statements = statementsOf(linesOf(text, readIncluded))
  const all = statements.flatMap(questionsIn)
  const ours = all.filter((question) => isOurs(question, config.listenExim))
  if (ours.length === 0) return [noneIsOurs(config, all)]
  return [
    ...new Set([
      ...ours.flatMap(({ kind, ...question }) =>
        kind === 'run' ? checkRun(question) : checkReadsocket({ kind, ...question }),
      ),
      ...ours.flatMap((question) => checkUse(question, statements)),
      ...checkStages(ours, config),
      ...checkCertificates(ours, config),
    ]),
  ]
}

const MACRO = /^([A-Z][A-Za-z0-9_]*)\s*==?\s*(.*)$/

/** The lines with those of included files, each with its continuation lines, and with the macros defined before it. */
function linesOf(
  text: string,
  readIncluded: (file: string) => string | undefined,
  macros = new Map<string, string>(),
  depth = 0,
): string[] {
  const replaced = (line: string) =>
    [...macros].reduce((found, [name, value]) => found.replaceAll(name, () => value), line)
  const joined = text.replace(/\\[ \t]*\n\s*/g, '')
  return joined.split('\n').flatMap((line) => {
    const [, name, value = ''] = MACRO.exec(line) ?? []
    if (name !== undefined) {
      macros.set(name, replaced(value))
      return []
    }
    const whole = replaced(line).trim()
    const file = /^\.include(?:_if_exists)?\s+(\S+)/.exec(whole)?.[1]
    if (file === undefined) return whole
    return depth < MAX_DEPTH ? linesOf(readIncluded(file) ?? '', readIncluded, macros, depth + 1) : []
  })
}

const VERB = /^(accept|defer|deny|discard|drop|require|warn)\b\s*(.*)$/

function statementsOf(lines: readonly string[]): Statement[] {
  const statements: Array<{ verb: string; lines: string[] }> = []
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue
    const [, verb, rest = ''] = VERB.exec(line) ?? []
    if (verb !== undefined) statements.push({ verb, lines: rest === '' ? [] : [rest] })
    else statements.at(-1)?.lines.push(line)
  }
  return statements
}

const ITEM = /\$\{(readsocket|run)\b([^{]*)(?=\{)/g

function questionsIn(statement: Statement): Question[] {
  return statement.lines.flatMap((line) => {
    const modifier = /^!?\s*([^=]*?)\s*=/.exec(line)?.[1] ?? ''
    return Array.from(line.matchAll(ITEM), ({ 0: found, 1: kind, 2: options = '', index }) => {
      const args = argumentsAt(line, index + found.length)
      const isRun = kind === 'run'
      return {
        statement,
        modifier,
        kind: isRun ? 'run' : 'readsocket',
        options,
        args,
        request: (isRun ? args[0] : args[1]) ?? '',
      } as const
    })
  })
}

/** The contents of the braces that stand one behind the other at `start`. */
function argumentsAt(text: string, start: number): string[] {
  const args: string[] = []
  let [depth, from] = [0, start]
  for (let at = start; at < text.length; at += 1) {
    const character = text[at]
    if (character === '\\') at += 1
    else if (character === '{') {
      if (depth === 0) from = at + 1
      depth += 1
    } else if (character === '}') {
      if (depth === 0) break
      depth -= 1
      if (depth === 0) args.push(text.slice(from, at))
    } else if (depth === 0 && !/\s/.test(character ?? '')) break
  }
  return args
}

function isOurs({ kind, args, request }: Question, sockets: readonly SocketSpec[]): boolean {
  if (kind === 'run') return /(?:^|[\s/])greymx\s+decide\b/.test(request)
  const theirs = socketIn(args[0] ?? '')
  return theirs !== undefined && sockets.some((spec) => leadsTo(theirs, spec))
}

/** The socket that the first argument of ${readsocket…} names. */
function socketIn(text: string): SocketSpec | undefined {
  const name = text.trim()
  if (name.startsWith('/')) return { kind: 'unix', path: name }
  const [, bracketed, bare, port] = /^inet:(?:\[(.*)\]|(.*?)):(\d+)$/.exec(name) ?? []
  const host = bracketed ?? bare
  if (host === undefined || port === undefined) return undefined
  return { kind: host.includes(':') ? 'inet6' : 'inet', host, port: Number(port) }
}

/** Returns Exim's notation for a socket, as in ${readsocket…}. */
function eximSocket(spec: SocketSpec): string {
  if (spec.kind === 'unix') return spec.path
  return `inet:${spec.host.includes(':') ? `[${spec.host}]` : spec.host}:${spec.port}`
}

function noneIsOurs({ listenExim }: Config, others: readonly Question[]): Warning {
  if (listenExim.length === 0)
    return 'no ACL asks greymx, and listen_exim is empty: expected a socket there, and lines as in src/doors/exim.md; nothing is greylisted'
  const expected = listenExim.map(eximSocket).join(' or ')
  const found = others.flatMap(({ kind, args }) => (kind === 'readsocket' ? (args[0]?.trim() ?? []) : []))
  const instead = found.length > 0 ? `, but ${[...new Set(found)].join(', ')}` : ''
  return `no ACL asks greymx by readsocket${instead}: expected ${expected}, as in listen_exim; nothing is greylisted`
}

function checkReadsocket({ statement, modifier, request, args }: Question): Warning[] {
  const [, , options, , fallback] = args
  const isOwn = isOwnForm(request)
  const what = `readsocket in ${modifier} of ${statement.verb}`
  const warnings: Warning[] = []
  if (fallback === undefined) {
    warnings.push(
      `${what} has no fifth argument, so that Exim defers all mail while greymx is away: expected {5s}{}{${isOwn ? 'pass' : 'false'}} behind the request`,
    )
  } else if (/^(?:true|yes|[1-9]\d*|grey\b|defer\b)/.test(fallback.trim())) {
    warnings.push(
      `${what} has ${fallback.trim()} for its fifth argument, so that mail waits while greymx is away: expected {${isOwn ? 'pass' : 'false'}}`,
    )
  }
  warnings.push(...checkAnswerTimeout(`the time-out of ${what}`, timeoutIn(options)))
  if (!isOwn) return [...warnings, ...checkTriplet(what, modifier, statement, request)]
  for (const [, field] of request.matchAll(QUOTED_FIELD)) {
    warnings.push(
      `${what} has the field ${field} without \${quote:…}: expected it, as greymx lets mail pass whose request it cannot read`,
    )
  }
  if (modifier === 'condition') {
    warnings.push(
      `${what} is a condition, but pass and defer are no truth values, so that Exim defers all mail: expected set acl_m_greymx = …, as in src/doors/exim.md`,
    )
  }
  return warnings
}

/** Whether a request has named fields, rather than the words of greylistd. */
function isOwnForm(request: string): boolean {
  return /^\s*(?:rcpt|data)\s/.test(request)
}

function checkTriplet(
  what: string,
  modifier: string,
  { verb, lines }: Statement,
  request: string,
): Warning[] {
  const option = /^\s*(?:update\s+)?-+(\w+)/.exec(request)?.[1]
  const isCondition = modifier === 'condition'
  const isCompared = lines.some((line) => line.includes('readsocket') && /\beqi?\s*\{/.test(line))
  if (option === undefined && isCondition && !isCompared) {
    return [
      `${what} asks without --grey, and grey and white are no truth values, so that Exim defers all mail: expected --grey before the address`,
    ]
  }
  if (option === 'white' && isCondition && verb === 'defer')
    return [`${what} asks with --white, so that known mail waits and no other: expected --grey`]
  if (option === 'grey' && isCondition && verb !== 'defer' && verb !== 'warn')
    return [`${what} asks with --grey: expected defer, as ${verb} makes nobody come back`]
  return []
}

function timeoutIn(options = ''): number {
  const [, digits, unit = 's'] = /^\s*(\d+)([smh])?/.exec(options) ?? []
  return digits === undefined ? DEFAULT_TIMEOUT : Number(digits) * (UNIT_MILLISECONDS[unit] ?? 1000)
}

function checkRun({ statement, modifier, options, args }: Omit<Question, 'kind'>): Warning[] {
  const what = `run in ${modifier} of ${statement.verb}`
  const failed = args[2] ?? ''
  return [
    ...(options.includes('preexpand')
      ? [`${what} has preexpand: expected none, as a stranger's address is cut into words otherwise`]
      : []),
    ...(failed !== '' && !/\$runrc\b[\s\S]*75/.test(failed)
      ? [
          `${what} does not look whether $runrc is 75: expected {\${if eq{$runrc}{75}{$value}}}, as other statuses tell that greymx was not asked`,
        ]
      : []),
  ]
}

/** Warns of an answer that is kept in a variable by which no statement defers. */
function checkUse({ modifier }: Question, statements: readonly Statement[]): Warning[] {
  const variable = /^set\s+(acl_\w+)$/.exec(modifier)?.[1]
  if (variable === undefined) return []
  const uses = statements.filter(({ lines }) =>
    lines.some((line) => /^!?\s*condition\s*=/.test(line) && new RegExp(`\\b${variable}\\b`).test(line)),
  )
  if (uses.some(({ verb }) => verb === 'defer')) return []
  const other = uses.find(({ verb }) => verb !== 'warn')
  return [
    other
      ? `${other.verb} has $${variable} in its condition: expected defer, as ${other.verb} makes nobody come back`
      : `no defer has $${variable} in its condition: expected one, as nothing is greylisted otherwise`,
  ]
}

/** Warns when one of the stages is missing at which greymx judges mail. */
function checkStages(ours: readonly Question[], { milter }: Config): Warning[] {
  const asks = (at: 'rcpt' | 'data') =>
    ours.some(({ kind, request }) =>
      kind === 'run'
        ? /\s--data\b/.test(request) === (at === 'data')
        : new RegExp(`^\\s*${at}\\s`).test(request),
    )
  if (!asks('rcpt') || asks('data') || milter.nullSenderAt === 'rcpt') return []
  return [
    'no ACL asks at DATA, so that bounces are never judged: expected a request that begins with data, or greymx decide --data, ' +
      'or greylist.null_sender_at: rcpt',
  ]
}

function checkCertificates(ours: readonly Question[], { exempt }: Config): Warning[] {
  if (exempt.tlsClients.length === 0) return []
  if (ours.some(({ request }) => /\b(?:subject|issuer|fingerprint)=/.test(request))) return []
  return [
    'no request has a field for the certificate, so that exempt.tls_clients never applies: expected those of src/doors/exim.md',
  ]
}
