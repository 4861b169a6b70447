// Postgrey's options, as settings of greymx by which it decides as Postgrey does. They come as a command line, or in a file:
// Debian's /etc/default/postgrey, or a unit of systemd.
// Source: postgrey 1.37, main() with its defaults; postgrey(8); Debian's /etc/init.d/postgrey. The meaning of each option is
// that of src/doors/postgrey.md.

import { existsSync } from 'node:fs'
import { Draft } from './draft.ts'

/** Postgrey's options by name, with the place-holder of their value; those without take none. */
const OPTIONS: Readonly<Record<string, string>> = {
  ...{ help: '', man: '', version: '', noaction: '', 'no-action': '', verbose: '', quiet: '', daemonize: '' },
  ...{ unix: 'PATH', inet: 'PORT', socketmode: 'MODE', user: 'NAME', group: 'NAME', dbdir: 'DIR' },
  ...{ pidfile: 'FILE', delay: 'N', 'max-age': 'N', 'lookup-by-subnet': '', 'lookup-by-host': '' },
  ...{ ipv4cidr: 'N', ipv6cidr: 'N', 'auto-whitelist-clients': 'N?', 'whitelist-clients': 'FILE' },
  ...{ 'whitelist-recipients': 'FILE', syslogfacility: 'F', 'syslog-facility': 'F', facility: 'F' },
  ...{ 'retry-window': 'N', 'greylist-action': 'A', 'greylist-text': 'TEXT', privacy: '', hostname: 'NAME' },
  ...{ exim: '', 'listen-queue-size': 'N', 'x-greylist-header': 'TEXT' },
}

/** Options of one letter. */
const SHORT: Readonly<Record<string, string>> = {
  ...{ h: 'help', n: 'noaction', v: 'verbose', q: 'quiet', d: 'daemonize', u: 'unix', i: 'inet' },
}

const DEFAULT_TEXT = 'Greylisted, see http://postgrey.schweikert.ch/help/%r.html'
const DEFAULT_LISTS = '/etc/postgrey'
const DEFAULT_PASSES = '5'

/** What has no counterpart, and what there is instead. */
const REMARKS: Readonly<Record<string, string>> = {
  user: 'User= of the service',
  group: 'Group= of the service',
  dbdir: 'the store of greymx has a folder of its own, and greymx import postgrey reads this one',
  'listen-queue-size': 'the queue has 4096 places, which the kernel limits by net.core.somaxconn',
  'x-greylist-header': 'greymx has a text of its own; header: false leaves it out',
  hostname: "the host's own name stands in the header",
  privacy: 'privacy: hmac, with privacy_keys; hashes of Postgrey cannot be taken over',
  exim: 'Exim asks greymx by listen_exim',
  'greylist-action': 'greymx always answers DEFER_IF_PERMIT, so that later restrictions still count',
  noaction: 'Postgrey refuses it; greylist.mode: observe',
  syslogfacility: 'the log is in journalctl -u greymx',
}

/** Names of the same option. */
const SAME: Readonly<Record<string, string>> = {
  ...{ 'syslog-facility': 'syslogfacility', facility: 'syslogfacility', 'no-action': 'noaction' },
}

/** Settings that make greymx decide as Postgrey does; `where` names the text in remarks. */
export function postgreySettings(
  text: string,
  where: string,
  exists: (path: string) => boolean = existsSync,
): Draft {
  const { words, text: greylistText } = commandLineIn(text)
  const { options, strange } = readOptions(words)
  const value = (name: string) => options.get(name)?.at(-1)
  const draft = new Draft(`Made by greymx import postgrey --settings of ${where}.`)
  const [inet, path] = [value('inet'), value('unix')]
  if (inet !== undefined) draft.set('listen_policy', socketOf(inet))
  else if (path !== undefined) draft.set('listen_policy', `unix:${path}`)
  const mode = value('socketmode')
  if (mode !== undefined) draft.set('socket_mode', mode.padStart(4, '0'))
  const valueOr = (name: string, usual: string) => {
    const given = value(name) ?? ''
    // In Perl, 0 stands for no value.
    return given === '' || given === '0' ? usual : given
  }
  const age = `${valueOr('max-age', '35')}d`
  draft.set('greylist.delay', `${valueOr('delay', '300')}s`)
  draft.set('greylist.retry_window', windowOf(value('retry-window') ?? '2'))
  draft.set('greylist.lifetime', age)
  draft.set('greylist.client.spf_domain', 'false')
  draft.set('greylist.client.host_domain', 'false')
  const isByHost = options.has('lookup-by-host')
  draft.set('greylist.client.ipv4_prefix', isByHost ? '32' : valueOr('ipv4cidr', '24'))
  draft.set('greylist.client.ipv6_prefix', isByHost ? '128' : valueOr('ipv6cidr', '64'))
  draft.set('greylist.null_sender_at', 'rcpt')
  draft.set('greylist.probe_senders', [])
  const after = value('auto-whitelist-clients') || DEFAULT_PASSES
  if (Number(after) === 0) draft.set('greylist.auto_whitelist', 'false')
  else {
    draft.set('greylist.auto_whitelist.after', after)
    draft.set('greylist.auto_whitelist.lifetime', age)
  }
  draft.set('greylist.max_deferrals', '0')
  draft.set('exempt.authenticated', 'false')
  draft.set('exempt.clients', [])
  draft.set('exempt.recipients', [])
  for (const list of ['clients', 'recipients'] as const) {
    const usual = `${DEFAULT_LISTS}/whitelist_${list}`
    const files = options.get(`whitelist-${list}`) ?? [usual, `${usual}.local`].filter(exists)
    draft.set(`exempt.${list.slice(0, -1)}_files`, files)
  }
  draft.set('reply', `450 4.2.0 ${templateOf(value('greylist-text') ?? greylistText ?? DEFAULT_TEXT)}`)
  if (options.has('verbose')) draft.set('log.level', 'debug')
  else if (options.has('quiet')) draft.set('log.level', 'warn')
  for (const name of options.keys()) {
    const remark = REMARKS[name]
    if (remark !== undefined) draft.remark(where, `--${name}: ${remark}`)
  }
  for (const word of strange) draft.remark(where, `${word}: not known as an option of Postgrey`)
  return draft
}

/** The words of Postgrey's command line in a file or text, and the text of deferrals if it stands apart. */
function commandLineIn(text: string): { readonly words: readonly string[]; readonly text?: string } {
  const options = assigned(text, 'POSTGREY_OPTS')
  const greylistText = assigned(text, 'POSTGREY_TEXT')
  if (options !== undefined || greylistText !== undefined)
    return {
      words: wordsOf(options ?? ''),
      ...(greylistText === undefined ? {} : { text: greylistText }),
    }
  const [, start] = /^\s*ExecStart=\S+(.*(?:\\\n.*)*)$/m.exec(text) ?? []
  const line = start?.replaceAll('\\\n', ' ') ?? text.replace(/^\s*#.*$/gm, '')
  return { words: wordsOf(line).filter((word) => !/(?:^|\/)(?:postgrey|perl)$/.test(word)) }
}

/** The value that a shell gives to a variable in its last assignment. */
function assigned(text: string, name: string): string | undefined {
  const all = [...text.matchAll(new RegExp(`^\\s*${name}=(.*)$`, 'gm'))]
  const value = all.at(-1)?.[1]
  return value === undefined ? undefined : wordsOf(value)[0]
}

/** The words of a shell's line; a comment ends it. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  for (const [, word = ''] of line.matchAll(/((?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+)/gs)) {
    if (word.startsWith('#')) break
    words.push(
      word.replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/gs, (_, double, single, escaped) =>
        double === undefined ? (single ?? escaped) : double.replace(/\\(["\\$`])/g, '$1'),
      ),
    )
  }
  return words
}

/** The values of options by name, and words that are none. Getopt::Long takes a beginning that is unique for a name. */
function readOptions(words: readonly string[]) {
  const options = new Map<string, string[]>()
  const strange: string[] = []
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? ''
    const [, long, short, joined] = /^(?:--([\w-]+)|-(\w))(?:=?(.*))$/s.exec(word) ?? []
    const name = long === undefined ? SHORT[short ?? ''] : nameOf(long)
    const form = name === undefined ? undefined : OPTIONS[name]
    if (name === undefined || form === undefined) {
      strange.push(word)
      continue
    }
    const key = SAME[name] ?? name
    const next = words[index + 1]
    let value = joined ?? ''
    const takesNext = form !== '' && value === '' && !word.includes('=') && next !== undefined
    if (takesNext && !(form.endsWith('?') && next.startsWith('-'))) {
      value = next
      index += 1
    }
    options.set(key, [...(options.get(key) ?? []), value])
  }
  return { options, strange }
}

function nameOf(begun: string): string | undefined {
  if (Object.hasOwn(OPTIONS, begun)) return begun
  const names = Object.keys(OPTIONS).filter((name) => name.startsWith(begun))
  return names.length === 1 ? names[0] : undefined
}

/** `[HOST:]PORT` in libmilter's notation; without a host it is the loopback. */
function socketOf(inet: string): string {
  const [, host = 'localhost', port = ''] = /^(?:(.*):)?([^:]*)$/s.exec(inet) ?? []
  return `inet:${port}@${host === 'localhost' ? '127.0.0.1' : host.replace(/^\[(.*)\]$/, '$1')}`
}

/** Days, or hours with an h. */
function windowOf(text: string): string {
  return /^\d+h$/i.test(text) ? text.toLowerCase() : `${text}d`
}

function templateOf(text: string): string {
  return text.replace('%s', '{seconds}').replace('%r', '{domain}')
}
