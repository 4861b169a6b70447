// sqlgrey's sqlgrey.conf, its whitelists of clients, and its tables of recipients who want greylisting or do not, as settings
// of greymx that come closest.
// Source: sqlgrey 1.8.0 (Debian's package 1:1.8.0-4): %dflt, read_conffile(), read_an_ip_whitelist(),
// read_an_fqdn_whitelist(), greylisting_active(); README.OPTINOUT.

import { Draft } from './draft.ts'
import { addAddress, addClient } from './rules.ts'

/** A file, or a table, by the name that remarks have of it. */
export interface SqlgreyFile {
  readonly name: string
  readonly text: string
}

/** What there is of sqlgrey's settings. */
export interface SqlgreyFiles {
  readonly conf: SqlgreyFile
  /** clients_ip_whitelist and clients_fqdn_whitelist, also `.local`. */
  readonly lists: readonly SqlgreyFile[]
  /** The domains and addresses in optin_domain, optin_email, optout_domain and optout_email; absent without a database. */
  readonly tables?: ReadonlyMap<string, readonly string[]>
}

/** Settings that have no counterpart, with what there is instead. */
const REMARKS: Readonly<Record<string, string>> = {
  connect_src_throttle: 'greylist.max_pending bounds what strangers leave, and crowds wait longer',
  group_domain_level: 'greylist.auto_whitelist lists networks, whatever domains they send for',
  discrimination:
    'only_if: suspicious is nearest: clients without a telling name and without SPF are greylisted',
  reject_first_attempt: 'greymx always answers DEFER_IF_PERMIT, so that later restrictions still count',
  reject_early_reconnect: 'greymx always answers DEFER_IF_PERMIT, so that later restrictions still count',
  reject_code: "the code is Postfix's access_map_defer_code",
  db_type: 'store: lmdb:DIR, or redis://HOST:PORT/DB for several MX hosts',
  db_dsn: 'store: lmdb:DIR, or redis://HOST:PORT/DB for several MX hosts',
  db_cluster: 'store: redis+sentinel:// or redis+cluster://',
  log_override: 'log.level holds for all',
  user: 'User= of the service',
  group: 'Group= of the service',
  admin_mail: 'greymx sends no mail; /healthz and /metrics tell that a store is away',
  whitelists_host: 'greymx fetches no lists; dnswl asks lists in DNS',
}

/** Settings about which there is nothing to say. */
const SILENT: ReadonlySet<string> = new Set([
  ...[
    'conf_dir',
    'pidfile',
    'log_ident',
    'db_name',
    'db_host',
    'db_port',
    'db_user',
    'db_pass',
    'read_hosts',
  ],
  ...['db_prepare_cache', 'db_cleandelay', 'clean_method', 'discrimination_add_rulenr', 'dont_db_clean'],
])

const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'debug'] as const

export function sqlgreySettings({ conf, lists, tables }: SqlgreyFiles): Draft {
  const draft = new Draft(`Made by greymx import sqlgrey --settings of ${conf.name}.`)
  const settings = settingsIn(conf.text)
  const value = (name: string, usual: string) => settings.get(name)?.value || usual
  const unix = settings.get('unix')?.value
  draft.set('listen_policy', unix ? `unix:${unix}` : socketOf(value('inet', '2501')))
  const age = `${value('awl_age', '60')}d`
  draft.set('greylist.delay', `${value('reconnect_delay', '5')}m`)
  draft.set('greylist.retry_window', `${value('max_connect_age', '24')}h`)
  draft.set('greylist.lifetime', age)
  const method = value('optmethod', 'none').toLowerCase()
  // sqlgrey keeps a pass for all recipients, but here a key without recipients has no exemptions for them.
  if (method === 'none') draft.set('greylist.key', ['client', 'sender'])
  else
    draft.remark(
      conf.name,
      'sqlgrey lets a sender who has passed write to everybody; greylist.key: [client, sender] would do so, ' +
        'but then nobody could opt in or out',
    )
  draft.set('greylist.client.spf_domain', 'false')
  draft.set('greylist.client.host_domain', 'false')
  const isFull = value('greymethod', 'smart') === 'full'
  draft.set('greylist.client.ipv4_prefix', isFull ? '32' : '24')
  draft.set('greylist.client.ipv6_prefix', isFull ? '128' : '64')
  if (value('greymethod', 'smart') === 'smart')
    draft.remark(
      conf.name,
      'greymethod = smart: greymx takes the network of all clients, so that dyn_fqdn.regexp and smtp_server.regexp have no use',
    )
  draft.set('greylist.null_sender_at', 'rcpt')
  draft.set('greylist.probe_senders', [])
  draft.set('greylist.auto_whitelist.lifetime', age)
  draft.set('greylist.max_deferrals', '0')
  draft.set('exempt.authenticated', 'false')
  draft.set('exempt.clients', [])
  for (const list of lists) addList(draft, list)
  draft.set('exempt.recipients', [])
  addOptions(draft, method, conf.name, tables)
  draft.set('reply', `450 4.7.1 Greylisted for ${value('reconnect_delay', '5')} minutes`)
  if (value('prepend', '1') === '0') draft.set('header', 'false')
  const level = settings.get('loglevel')?.value
  if (level !== undefined) draft.set('log.level', LOG_LEVELS[Number(level)] ?? 'error')
  for (const [name, { line }] of settings) {
    const remark = REMARKS[name]
    if (remark !== undefined) draft.remark(`${conf.name}:${line}`, `${name}: ${remark}`)
    else if (!KNOWN.has(name) && !SILENT.has(name))
      draft.remark(`${conf.name}:${line}`, `${name}: not known as a setting of sqlgrey`)
  }
  return draft
}

/** Settings that are read above. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['inet', 'unix', 'reconnect_delay', 'max_connect_age', 'awl_age', 'optmethod', 'greymethod', 'prepend'],
  'loglevel',
])

/** The settings of a sqlgrey.conf with their lines; the last of a name counts. */
export function settingsIn(
  text: string,
): ReadonlyMap<string, { readonly value: string; readonly line: number }> {
  const settings = new Map<string, { readonly value: string; readonly line: number }>()
  for (const [index, whole] of text.split('\n').entries()) {
    const [, name, value = ''] = /^([^=\s]+)\s*(?:=\s*(.*))?$/.exec(whole.replace(/#.*/, '').trim()) ?? []
    if (name !== undefined) settings.set(name, { value, line: index + 1 })
  }
  return settings
}

/** `[HOST:]PORT` in libmilter's notation; without a host it is the loopback. */
function socketOf(inet: string): string {
  const [, host = 'localhost', port = ''] = /^(?:(.*):)?([^:]*)$/s.exec(inet) ?? []
  return `inet:${port}@${host === 'localhost' ? '127.0.0.1' : host}`
}

/** Adds the clients of a whitelist, each with sqlgrey's comment on it. */
function addList(draft: Draft, { name, text }: SqlgreyFile): void {
  let areNames = false
  for (const [index, line] of text.split('\n').entries()) {
    const [, entry = '', behind] = /^([^#]*)(?:#\s*(.*))?$/s.exec(line) ?? []
    const rule = entry.replace(/\s+/g, '')
    if (rule === '') continue
    const comment = behind?.trim() || undefined
    const where = `${name}:${index + 1}`
    addClient(draft, 'exempt.clients', clientRule(rule), where, comment)
    areNames ||= !/^[\d.:a-f/]+$/i.test(rule)
  }
  if (areNames)
    draft.remark(
      name,
      'greymx takes a name for itself and all below it, in any case of letters, and only if the MTA has confirmed it',
    )
}

/** `1.2.3` is a network of 256 addresses, and `*.example.org` is all below that. */
function clientRule(rule: string): string {
  if (/^\d+\.\d+\.\d+$/.test(rule)) return `${rule}.0/24`
  return rule.startsWith('*.') ? rule.slice(2) : rule
}

/** Who is greylisted: with `optin` only who is in these tables, with `optout` all but who is in those. */
function addOptions(
  draft: Draft,
  method: string,
  where: string,
  tables: ReadonlyMap<string, readonly string[]> | undefined,
): void {
  if (method !== 'optin' && method !== 'optout') return
  if (tables === undefined) {
    draft.remark(
      where,
      `optmethod = ${method}: expected the database as a second SOURCE, as its tables have the recipients: recipients.` +
        `${method === 'optin' ? 'only' : 'except'}`,
    )
    return
  }
  const rows = (table: string) => tables.get(table) ?? []
  const add = (list: string, table: string) => {
    for (const rule of rows(table)) addAddress(draft, list, rule, table)
  }
  if (method === 'optin') {
    for (const table of ['optin_domain', 'optin_email']) add('recipients.only', table)
    add('recipients.except', 'optout_email')
    if (!draft.has('recipients.only')) {
      draft.set('greylist.mode', 'observe')
      draft.remark(where, 'optmethod = optin, and nobody has opted in: greymx observes')
    }
    return
  }
  for (const table of ['optout_domain', 'optout_email']) add('recipients.except', table)
  for (const address of rows('optin_email'))
    draft.remark(
      'optin_email',
      `${address}: greymx has no exception from recipients.except, so that it is not greylisted if its domain has opted out`,
    )
}
