// milter-greylist's greylist.conf, as settings of greymx that come closest. Its access list is asked in order, and the first
// entry that matches counts; greymx asks who is exempt, and then whose mail is greylisted. So entries with one clause have
// a counterpart: those that whitelist, and those that greylist recipients before a default that whitelists.
// Source: milter-greylist, greylist.conf(5), conf_yacc.y, conf_lex.l, the defaults in conf.h.

import { formatDuration, parseDuration } from '../../config/duration.ts'
import { Draft } from './draft.ts'
import { addAddress, addClient } from './rules.ts'

/** A logical line, with backslashes at the ends of its lines. */
interface Statement {
  readonly line: number
  readonly words: readonly Word[]
}

interface Word {
  readonly kind: 'word' | 'quoted' | 'regex'
  readonly text: string
}

interface Clause {
  readonly kind: string
  readonly value: Word | undefined
}

interface Entry {
  readonly line: number
  /** The statement as it is written, for remarks. */
  readonly text: string
  readonly action: string
  readonly clauses: readonly Clause[]
  readonly isDefault: boolean
  /** What it says beside its conditions and times. */
  readonly ignored: readonly string[]
  readonly delay?: string
  readonly autowhite?: string
  /** Why it has no counterpart. */
  readonly problem?: string
}

const DEFAULT_DELAY = '30m'
const DEFAULT_TIMEOUT = '5d'
const DEFAULT_AUTOWHITE = '1d'

/** Clauses that have a counterpart, and whether a value follows them. */
const CLAUSES: ReadonlySet<string> = new Set([
  ...['addr', 'domain', 'from', 'rcpt', 'list', 'dnsrbl', 'auth', 'spf'],
])

const ANY_ANSWER = 'each answer in 127.0.0.0/8 counts, unless dnswl has a filter'
const SHARED = 'several MX hosts share one store: redis://HOST:PORT/DB'
const KEPT = 'greymx keeps all in its store, and greymx import milter-greylist reads the dumpfile'

/** Statements that have no counterpart, with what there is instead. */
const REMARKS: Readonly<Record<string, string>> = {
  peer: SHARED,
  syncaddr: SHARED,
  syncsrcaddr: SHARED,
  syncmaxqlen: SHARED,
  pidfile: 'systemd knows the process',
  nodetach: 'systemd knows the process',
  dumpfile: KEPT,
  dumpfreq: KEPT,
  dump_no_time_translation: KEPT,
  logexpired: 'the log has attempts, and greymx report what never came back',
  noaccessdb: 'greymx reads no access database of Sendmail',
  nodrac: 'greymx knows no DRAC',
  domainexact: 'greymx takes a name for itself and all below it',
  maxpeek: 'greymx does not look at content',
  user: 'User= of the service',
  stat: 'the log is in journalctl -u greymx, and numbers are in greymx stats and /metrics',
  logfac: 'the log is in journalctl -u greymx',
  lazyaw: 'greylist.auto_whitelist lists networks after first passes; a pass itself holds for its triplet',
  tarpit: 'greymx has no tarpit',
  tarpitmode: 'greymx has no tarpit',
  geoipdb: 'greymx knows no countries',
  drac: 'greymx knows no DRAC',
  testmode: 'the lists say who is greylisted',
}

export function milterGreylistSettings(text: string, where: string): Draft {
  const draft = new Draft(`Made by greymx import milter-greylist --settings of ${where}.`)
  const statements = statementsIn(text)
  const lists = new Map<string, readonly Clause[]>()
  const dnsLists = new Map<string, string>()
  const entries: Entry[] = []
  const options = new Map<string, string>()
  for (const statement of statements) {
    const [{ text: first = '' } = {}, ...rest] = statement.words
    const keyword = first.toLowerCase().replace(/:$/, '')
    const value = rest[0]?.text ?? ''
    const place = `${where}:${statement.line}`
    switch (keyword) {
      case 'acl':
      case 'racl':
        entries.push(entryOf(statement))
        break
      case 'dacl':
        draft.remark(place, `${shown(statement)}: greymx does not look at content`)
        break
      case 'addr':
      case 'domain':
      case 'from':
      case 'rcpt': {
        // The old form: an entry of its own at the head of the list.
        const action = keyword === 'rcpt' && options.has('testmode') ? 'greylist' : 'whitelist'
        const clauses = [{ kind: keyword, value: rest[0] }]
        entries.unshift({
          line: statement.line,
          text: shown(statement),
          action,
          clauses,
          isDefault: false,
          ignored: [],
        })
        break
      }
      case 'list':
        lists.set(value, listOf(rest.slice(1)))
        break
      case 'dnsrbl':
        dnsLists.set(value, rest[1]?.text ?? '')
        break
      default: {
        options.set(keyword, value)
        if (keyword === 'socket') options.set('mode of socket', rest[1]?.text ?? '')
        const remark = REMARKS[keyword]
        if (remark !== undefined) draft.remark(place, `${shown(statement)}: ${remark}`)
        else if (!SETTINGS.has(keyword)) draft.remark(place, `${shown(statement)}: no counterpart is known`)
      }
    }
  }
  addOptions(draft, options, entries, where)
  new AccessList({ draft, where, lists, dnsLists, isExtended: options.has('extendedregex') }).add(entries)
  return draft
}

/** Statements that are settings, or say how others are read. */
const SETTINGS: ReadonlySet<string> = new Set([
  ...['greylist', 'timeout', 'autowhite', 'subnetmatch', 'subnetmatch6', 'socket', 'noauth', 'nospf'],
  ...['report', 'delayedreject', 'verbose', 'quiet', 'extendedregex'],
])

function addOptions(
  draft: Draft,
  options: ReadonlyMap<string, string>,
  entries: readonly Entry[],
  where: string,
): void {
  const socket = options.get('socket')
  if (socket !== undefined)
    draft.set('listen', /^(?:inet6?|unix|local):/.test(socket) ? socket : `unix:${socket}`)
  const mode = options.get('mode of socket') ?? ''
  if (/^0?[0-7]{3}$/.test(mode)) draft.set('socket_mode', mode.padStart(4, '0'))
  const timeout = durationOf(options.get('timeout') ?? DEFAULT_TIMEOUT)
  const greylisting = entries.filter(
    ({ action, problem, clauses }) => action === 'greylist' && problem === undefined && clauses.length < 2,
  )
  const usual = {
    delay: durationOf(options.get('greylist') ?? DEFAULT_DELAY),
    autowhite: durationOf(options.get('autowhite') ?? DEFAULT_AUTOWHITE),
  }
  // Where all entries that greylist have the same time, it is that of all mail, and else the usual one is.
  const timeOf = (name: 'delay' | 'autowhite') => {
    const times = greylisting.map((entry) => entry[name] ?? usual[name])
    const isOne = new Set(times.map(parseDuration)).size === 1
    const chosen = (isOne ? times[0] : undefined) ?? usual[name]
    for (const entry of greylisting) {
      const own = entry[name]
      if (own !== undefined && parseDuration(own) !== parseDuration(chosen))
        draft.remark(
          `${where}:${entry.line}`,
          `${entry.text}: greymx has the same times for all, here ${name} ${chosen}`,
        )
    }
    return chosen
  }
  const wait = timeOf('delay')
  const lifetime = timeOf('autowhite')
  draft.set('greylist.delay', wait)
  // The time-out begins when the delay is over.
  const window = (parseDuration(wait) ?? 0) + (parseDuration(timeout) ?? 0)
  draft.set('greylist.retry_window', formatDuration(window))
  draft.set('greylist.lifetime', lifetime)
  draft.set('greylist.client.spf_domain', 'false')
  draft.set('greylist.client.host_domain', 'false')
  draft.set('greylist.client.ipv4_prefix', prefixOf(options.get('subnetmatch')) ?? '32')
  draft.set('greylist.client.ipv6_prefix', prefixOf(options.get('subnetmatch6')) ?? '128')
  draft.set('greylist.null_sender_at', options.has('delayedreject') ? 'data' : 'rcpt')
  draft.set('greylist.probe_senders', [])
  draft.set('greylist.auto_whitelist', 'false')
  draft.set('greylist.max_deferrals', '0')
  // Clauses for these turn off what holds for all without them.
  const has = (kind: string) => entries.some(({ clauses }) => clauses.some((clause) => clause.kind === kind))
  draft.set('exempt.authenticated', `${!options.has('noauth') && !has('auth') && !has('tls')}`)
  draft.set('exempt.spf', `${!options.has('nospf') && !has('spf')}`)
  draft.set('exempt.clients', [])
  draft.set('exempt.recipients', [])
  const report = options.get('report')
  if (report === 'none') draft.set('header', 'false')
  else if (report !== undefined && report !== 'all')
    draft.remark(
      where,
      `report ${report}: the header is on all mail that was delayed or auto-whitelisted, or on none`,
    )
  if (options.has('verbose')) draft.set('log.level', 'debug')
}

/** A number of seconds, or of what its letter says. */
function durationOf(text: string): string {
  return /^\d+$/.test(text) ? `${text}s` : text
}

function prefixOf(cidr: string | undefined): string | undefined {
  return cidr?.replace(/^\//, '')
}

interface Context {
  readonly draft: Draft
  readonly where: string
  readonly lists: ReadonlyMap<string, readonly Clause[]>
  readonly dnsLists: ReadonlyMap<string, string>
  /** Whether expressions are extended ones. */
  readonly isExtended: boolean
}

/** Puts the entries of the access list into the settings that come closest. */
class AccessList {
  readonly #context: Context
  /** The line of the first entry that greylists, before which exemptions hold as here. */
  #greylistsFrom: number | undefined
  #greylistsNoneKnown = false
  /** The DNS lists whose clients are greylisted, with where that is said. */
  readonly #greylistedBy: Array<{ readonly zone: string; readonly entry: Entry; readonly place: string }> = []

  constructor(context: Context) {
    this.#context = context
  }

  add(entries: readonly Entry[]): void {
    const { draft, where } = this.#context
    const end = entries.findIndex(({ isDefault }) => isDefault)
    const greylistsAll = end === -1 || entries[end]?.action === 'greylist'
    for (const entry of end === -1 ? entries : entries.slice(0, end)) this.#addEntry(entry, greylistsAll)
    for (const { line, text, ignored } of end === -1 ? entries : entries.slice(0, end + 1))
      if (ignored.length > 0)
        draft.remark(
          `${where}:${line}`,
          `${text}: greymx has ${ignored.join(', ')} for no single entry; reply and header hold for all`,
        )
    this.#addGreylistedBy()
    if (greylistsAll || draft.has('recipients.only') || draft.has('only_if_listed')) return
    draft.set('greylist.mode', 'observe')
    draft.remark(
      where,
      `its default is ${entries[end]?.action}${this.#greylistsNoneKnown ? ', and whom it greylists is not known here' : ''}: greymx observes`,
    )
  }

  /** greymx greylists a recipient of one list only if the client is on the other, and milter-greylist each of both. */
  #addGreylistedBy(): void {
    const { draft } = this.#context
    const hasRecipients = draft.has('recipients.only')
    for (const { zone, entry, place } of this.#greylistedBy) {
      if (!hasRecipients) draft.add('only_if_listed', zone)
      const problem = hasRecipients
        ? `with recipients.only, only_if_listed: [${zone}] would greylist fewer, and not more`
        : ANY_ANSWER.replace('dnswl', 'only_if_listed')
      draft.remark(place, `${entry.text}: ${problem}`)
    }
  }

  #addEntry(entry: Entry, greylistsAll: boolean): void {
    const { draft, where } = this.#context
    const place = `${where}:${entry.line}`
    const [clause, ...more] = entry.clauses
    if (entry.action === 'greylist') this.#greylistsFrom ??= entry.line
    if (entry.problem !== undefined || clause === undefined || more.length > 0) {
      this.#greylistsNoneKnown ||= entry.action === 'greylist'
      draft.remark(place, `${entry.text}: ${entry.problem ?? 'greymx has no rule with several conditions'}`)
      return
    }
    const clauses = clause.kind === 'list' ? this.#context.lists.get(clause.value?.text ?? '') : [clause]
    if (clauses === undefined) draft.remark(place, `${entry.text}: there is no such list`)
    for (const one of clauses ?? []) {
      if (entry.action === 'whitelist') this.#whitelist(one, entry, place)
      else if (!greylistsAll) this.#greylist(one, entry, place)
    }
  }

  #whitelist({ kind, value }: Clause, entry: Entry, place: string): void {
    const { draft, dnsLists } = this.#context
    const rule = this.#ruleOf(value, place)
    if (rule === undefined) return
    const order =
      this.#greylistsFrom === undefined ? undefined : `line ${this.#greylistsFrom} is asked before`
    switch (kind) {
      case 'addr':
      case 'domain':
        addClient(draft, 'exempt.clients', rule, place, order)
        return
      case 'from':
        addAddress(draft, 'exempt.senders', addressRule(rule), place, order)
        return
      case 'rcpt':
        addAddress(draft, 'exempt.recipients', addressRule(rule), place, order)
        return
      case 'dnsrbl':
        draft.add('dnswl', dnsLists.get(rule) ?? rule, order)
        draft.remark(place, `${entry.text}: ${ANY_ANSWER}`)
        return
      case 'auth':
        if (rule === '/.*/') draft.set('exempt.authenticated', 'true')
        else draft.remark(place, `${entry.text}: greymx exempts all logins or none`)
        return
      case 'spf':
        draft.set('exempt.spf', 'true')
        return
      default:
        draft.remark(place, `${entry.text}: greymx has no exemption by ${kind}`)
    }
  }

  #greylist({ kind, value }: Clause, entry: Entry, place: string): void {
    const { draft, dnsLists } = this.#context
    const rule = this.#ruleOf(value, place)
    if (rule === undefined) return
    if (kind === 'rcpt') addAddress(draft, 'recipients.only', addressRule(rule), place)
    else if (kind === 'dnsrbl') this.#greylistedBy.push({ zone: dnsLists.get(rule) ?? rule, entry, place })
    else {
      this.#greylistsNoneKnown = true
      draft.remark(
        place,
        `${entry.text}: greymx greylists by recipient (recipients.only) or DNS list (only_if_listed)`,
      )
    }
  }

  /** A value as a rule of greymx; undefined for an expression that means something else there. */
  #ruleOf(value: Word | undefined, place: string): string | undefined {
    if (value === undefined) return ''
    if (value.kind !== 'regex') return value.text
    const rule = `/${value.text}/`
    if (this.#context.isExtended || !/[+?|(){}]/.test(value.text)) return rule
    this.#context.draft.remark(
      place,
      `${rule}: in it, + ? | ( ) { } are letters without extendedregex, and signs in greymx`,
    )
    return undefined
  }
}

/** milter-greylist looks for the text anywhere in an address; a single word is a user's name, and no domain. */
function addressRule(text: string): string {
  if (text.startsWith('/')) return text
  const bare = text.replace(/^<(.+)>$/, '$1')
  if (!/[@.]/.test(bare)) return `${bare}@`
  return bare.startsWith('@') ? bare.slice(1) : bare
}

/** The entry of an `acl` or `racl`. */
function entryOf(statement: Statement): Entry {
  const words = statement.words.slice(1)
  if (words[0]?.kind === 'quoted') words.shift() // its id
  const action = words.shift()?.text.toLowerCase().replace(/:$/, '') ?? ''
  const begun = {
    line: statement.line,
    text: shown(statement),
    action,
    clauses: [],
    isDefault: false,
    ignored: [],
  }
  if (action !== 'greylist' && action !== 'whitelist')
    return {
      ...begun,
      problem: action === 'blacklist' ? 'greymx has no blacklist' : 'no such action is known',
    }
  const clauses: Clause[] = []
  const ignored: string[] = []
  const values: Partial<Record<'delay' | 'autowhite', string>> = {}
  let isDefault = false
  while (words.length > 0) {
    const kind = words.shift()?.text.toLowerCase().replace(/:$/, '') ?? ''
    if (kind === 'default') isDefault = true
    else if (kind === 'delay' || kind === 'autowhite') values[kind] = durationOf(words.shift()?.text ?? '')
    else if (['code', 'ecode', 'msg', 'report', 'addheader'].includes(kind)) {
      ignored.push(kind)
      words.shift()
    } else if (kind === 'flushaddr' || kind === 'nolog') ignored.push(kind)
    else if (kind === 'spf') {
      const status = /^(?:pass|softfail|fail|neutral|unknown|error|none|self)$/i
      const value = status.test(words[0]?.text ?? '') ? words.shift() : undefined
      if (value !== undefined && value.text.toLowerCase() !== 'pass')
        return { ...begun, problem: `greymx knows of SPF whether it passes, and not ${value.text}` }
      clauses.push({ kind, value: undefined })
    } else if (CLAUSES.has(kind)) clauses.push({ kind, value: words.shift() })
    else return { ...begun, problem: `greymx has no condition such as ${kind}` }
  }
  return { ...begun, clauses, isDefault, ignored, ...values }
}

/** The items of a `list "NAME" KIND { … }`, each as a clause. */
function listOf(words: readonly Word[]): readonly Clause[] {
  const [kind, ...items] = words
  return items
    .filter(({ kind: form, text }) => form !== 'word' || !/^[{}]$/.test(text))
    .map((value) => ({ kind: kind?.text.toLowerCase().replace(/:$/, '') ?? '', value }))
}

function shown({ words }: Statement): string {
  return words
    .map(({ kind, text }) => (kind === 'quoted' ? `"${text}"` : kind === 'regex' ? `/${text}/` : text))
    .join(' ')
}

/** A string in quotes, an expression, a comment, a backslash with the rest of its line, a brace, or a word. */
const TOKEN =
  /"((?:[^"\n\\]|\\.)*)"|\/((?:[^/\n\\]|\\.)+)\/(?=\s|$)|(#.*)|(\\.*(?:\n|$))|([{}]|[^\s{}"]+)|(\n)/g

/** The statements, of which each ends with its line. */
function statementsIn(text: string): readonly Statement[] {
  const statements: Statement[] = []
  let words: Word[] = []
  let line = 1
  let begun = 1
  const end = () => {
    if (words.length > 0) statements.push({ line: begun, words })
    words = []
  }
  for (const [whole, quoted, regex, , , word, newline] of text.matchAll(TOKEN)) {
    if (words.length === 0) begun = line
    if (quoted !== undefined) words.push({ kind: 'quoted', text: quoted.replace(/\\"/g, '"') })
    else if (regex !== undefined) words.push({ kind: 'regex', text: regex.replace(/\\\//g, '/') })
    else if (word !== undefined) words.push({ kind: 'word', text: word })
    else if (newline !== undefined) end()
    if (whole.endsWith('\n')) line += 1
  }
  end()
  return statements
}
