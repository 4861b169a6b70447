// greymx import PEER SOURCE --settings: what becomes of each setting of a peer, and that greymx accepts whatever comes out.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { parseConfig } from '../../../src/config/load.ts'
import { milterGreylistSettings } from '../../../src/import/settings/milter-greylist.ts'
import { postgreySettings } from '../../../src/import/settings/postgrey.ts'
import { settingsFrom } from '../../../src/import/settings/settings.ts'
import { sqlgreySettings } from '../../../src/import/settings/sqlgrey.ts'
import { configOf } from '../../check/support.ts'
import { scratch } from '../../support/scratch.ts'
import { sqlgreySettings as debianSqlgrey } from '../../support/sqlgrey.ts'

const NO_FILES = () => false

/** The lines without the title, comments on what has no counterpart included. */
function linesOf(text: string): string[] {
  return text.split('\n').slice(3, -1)
}

test("Postgrey: the options of Debian's package give the settings of the page for Postgrey", () => {
  const page = readFileSync(join(process.cwd(), 'src/doors/postgrey.md'), 'utf8')
  const [, expected = ''] = /```yaml\n(.*?)```/s.exec(page) ?? []
  const debian = '# options\nPOSTGREY_OPTS="--inet=10023"\n#POSTGREY_TEXT="Wait"\n'
  const text = postgreySettings(debian, 'postgrey', (path) => !path.endsWith('.local')).text()
  assert.deepEqual(configOf(text).texts, configOf(expected).texts)
})

test('Postgrey: each option is a setting or has a comment, however it is written', () => {
  const options =
    `/usr/sbin/postgrey -u /run/postgrey.sock --daemonize --delay 60 --max-a=10 --retry-window=6H --socketmode=660 ` +
    `--auto-whitelist-clients --lookup-by-host --ipv4cidr=0 --greylist-text="Wait %s s, see \\"%r\\"" --user=postgrey --privacy ` +
    `--whitelist-clients=/a --whitelist-clients '/b c' --greylist-action=450 -q --colour`
  assert.deepEqual(linesOf(postgreySettings(options, 'postgrey', NO_FILES).text()), [
    'listen_policy: unix:/run/postgrey.sock',
    'socket_mode: "0660"',
    'greylist:',
    '  delay: 60s',
    '  retry_window: 6h',
    '  lifetime: 10d',
    '  client:',
    '    spf_domain: false',
    '    host_domain: false',
    '    ipv4_prefix: 32',
    '    ipv6_prefix: 128',
    '  null_sender_at: rcpt',
    '  probe_senders: []',
    '  auto_whitelist:',
    '    after: 5',
    '    lifetime: 10d',
    '  max_deferrals: 0',
    'exempt:',
    '  authenticated: false',
    '  clients: []',
    '  recipients: []',
    '  client_files: [/a, "/b c"]',
    '  recipient_files: []',
    'reply: "450 4.2.0 Wait {seconds} s, see \\"{domain}\\""',
    'log:',
    '  level: warn',
    '',
    '# Without a counterpart:',
    '# - postgrey: --user: User= of the service',
    '# - postgrey: --privacy: privacy: hmac, with privacy_keys; hashes of Postgrey cannot be taken over',
    '# - postgrey: --greylist-action: greymx always answers DEFER_IF_PERMIT, so that later restrictions still count',
    '# - postgrey: --colour: not known as an option of Postgrey',
  ])
})

test("sqlgrey: Debian's files, and what its users put beside them", async (t) => {
  const dir = await scratch(t)
  const folder = join(dir, 'sqlgrey')
  await mkdir(folder)
  await writeFile(
    join(folder, 'sqlgrey.conf'),
    [
      ...['reconnect_delay = 3', 'max_connect_age=12 # hours', 'awl_age = 32', 'greymethod = full'],
      ...[
        'optmethod = optout',
        'prepend = 0',
        'loglevel = 1',
        'inet = 192.0.2.1:2501',
        'connect_src_throttle = 5',
      ],
      ...['colour = blue', 'db_type = SQLite'],
    ].join('\n'),
  )
  await writeFile(
    join(folder, 'clients_ip_whitelist.local'),
    '192.0.2.7 # ours\n198.51.100\n2001:db8::/32\n203.0.113.0/99\n',
  )
  await writeFile(
    join(folder, 'clients_fqdn_whitelist.local'),
    'mx.example.org\n*.example.com\n/^mx[0-9]+\\.example\\.net$/\n/(?!no)/\n',
  )
  const database = join(dir, 'sqlgrey.db')
  await promisify(execFile)('sqlite3', [
    database,
    'create table optout_domain (domain varchar(255)); create table optout_email (email varchar(255));' +
      'create table optin_email (email varchar(255)); create table optin_domain (domain varchar(255));' +
      "insert into optout_domain values ('example.com'); insert into optout_email values ('bob@example.org');" +
      "insert into optin_email values ('anna@example.com');",
  ])
  assert.deepEqual(linesOf(await settingsFrom('sqlgrey', [folder, database])), [
    'listen_policy: inet:2501@192.0.2.1',
    'greylist:',
    '  delay: 3m',
    '  retry_window: 12h',
    '  lifetime: 32d',
    '  client:',
    '    spf_domain: false',
    '    host_domain: false',
    '    ipv4_prefix: 32',
    '    ipv6_prefix: 128',
    '  null_sender_at: rcpt',
    '  probe_senders: []',
    '  auto_whitelist:',
    '    lifetime: 32d',
    '  max_deferrals: 0',
    'exempt:',
    '  authenticated: false',
    '  clients:',
    '    - 192.0.2.7 # ours',
    '    - 198.51.100.0/24',
    '    - 2001:db8::/32',
    '    - mx.example.org',
    '    - example.com',
    '    - "/^mx[0-9]+\\\\.example\\\\.net$/"',
    '  recipients: []',
    'recipients:',
    '  except: [example.com, bob@example.org]',
    'reply: "450 4.7.1 Greylisted for 3 minutes"',
    'header: false',
    'log:',
    '  level: warn',
    '',
    '# Without a counterpart:',
    `# - ${folder}/sqlgrey.conf: sqlgrey lets a sender who has passed write to everybody; greylist.key: [client, sender] ` +
      'would do so, but then nobody could opt in or out',
    '# - clients_ip_whitelist.local:4: 203.0.113.0/99: greymx does not take it as exempt.clients: expected an IP ' +
      'address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/',
    '# - clients_fqdn_whitelist.local:4: /(?!no)/: greymx does not take it as exempt.clients: error parsing regexp: ' +
      'invalid or unsupported Perl syntax: `(?!`',
    '# - clients_fqdn_whitelist.local: greymx takes a name for itself and all below it, in any case of letters, and ' +
      'only if the MTA has confirmed it',
    '# - optin_email: anna@example.com: greymx has no exception from recipients.except, so that it is not greylisted ' +
      'if its domain has opted out',
    `# - ${folder}/sqlgrey.conf:9: connect_src_throttle: greylist.max_pending bounds what strangers leave, and crowds ` +
      'wait longer',
    `# - ${folder}/sqlgrey.conf:10: colour: not known as a setting of sqlgrey`,
    `# - ${folder}/sqlgrey.conf:11: db_type: store: lmdb:DIR, or redis://HOST:PORT/DB for several MX hosts`,
  ])
  const debian = configOf(await settingsFrom('sqlgrey', [debianSqlgrey]))
  assert.ok(debian.exempt.clients.length > 80)
  assert.deepEqual(
    [debian.greylist.times.delay, debian.greylist.times.retryWindow, debian.milter.judgeAt],
    [300_000, 86_400_000, 'mail'],
  )
})

test('milter-greylist: entries with one clause, in order, and its times', () => {
  const conf = String.raw`
socket "/run/milter-greylist.sock" 660
greylist 45m
timeout 2d
subnetmatch /24
nospf
report none
peer 192.0.2.17
user "smmsp"
list "ours" addr { 127.0.0.1/8 \ # loopback
	192.0.2.0/24 }
list "grey users" rcpt { anna@example.com /.*@example\.net/ }
dnsrbl "MTAWL" list.dnswl.org 127.0.0.0/16
racl whitelist list "ours"
racl "friends" whitelist domain example.org
racl whitelist from friend@example.org
racl whitelist dnsrbl "MTAWL"
racl blacklist addr 203.0.113.7 msg "no"
racl greylist list "grey users" delay 20m autowhite 3d
racl whitelist rcpt postmaster
racl whitelist addr 198.51.100.0/24 rcpt anna@example.com
racl greylist rcpt /(bob|carl)@example\.com/
racl whitelist default
dacl blacklist body /cid:/
`
  assert.deepEqual(linesOf(milterGreylistSettings(conf, 'greylist.conf').text()), [
    'listen: unix:/run/milter-greylist.sock',
    'socket_mode: "0660"',
    'greylist:',
    '  delay: 45m',
    '  retry_window: 2925m',
    '  lifetime: 1d',
    '  client:',
    '    spf_domain: false',
    '    host_domain: false',
    '    ipv4_prefix: 24',
    '    ipv6_prefix: 128',
    '  null_sender_at: rcpt',
    '  probe_senders: []',
    '  auto_whitelist: false',
    '  max_deferrals: 0',
    'exempt:',
    '  authenticated: true',
    '  spf: false',
    '  clients: [127.0.0.1/8, 192.0.2.0/24, example.org]',
    '  recipients:',
    '    - postmaster@ # line 19 is asked before',
    '  senders: [friend@example.org]',
    'header: false',
    'dnswl: [list.dnswl.org]',
    'recipients:',
    '  only: [anna@example.com, "/.*@example\\\\.net/"]',
    '',
    '# Without a counterpart:',
    '# - greylist.conf:8: peer 192.0.2.17: several MX hosts share one store: redis://HOST:PORT/DB',
    '# - greylist.conf:9: user "smmsp": User= of the service',
    '# - greylist.conf:24: dacl blacklist body /cid:/: greymx does not look at content',
    '# - greylist.conf:19: racl greylist list "grey users" delay 20m autowhite 3d: greymx has the same times for all, ' +
      'here delay 45m',
    '# - greylist.conf:19: racl greylist list "grey users" delay 20m autowhite 3d: greymx has the same times for all, ' +
      'here autowhite 1d',
    '# - greylist.conf:17: racl whitelist dnsrbl "MTAWL": each answer in 127.0.0.0/8 counts, unless dnswl has a filter',
    '# - greylist.conf:18: racl blacklist addr 203.0.113.7 msg "no": greymx has no blacklist',
    '# - greylist.conf:21: racl whitelist addr 198.51.100.0/24 rcpt anna@example.com: greymx has no rule with several ' +
      'conditions',
    '# - greylist.conf:22: /(bob|carl)@example\\.com/: in it, + ? | ( ) { } are letters without extendedregex, and ' +
      'signs in greymx',
  ])
})

test('milter-greylist: nothing that an entry or a statement says is dropped without a comment', () => {
  const conf = `pidfile "/run/x.pid"
dumpfile "/var/x.db" 600
domainexact
verbose
report delays
syncaddr * port 5252
dnsrbl "bad" dnsbl.example 127.0.0.10
racl greylist dnsrbl "bad" delay 60m
racl greylist rcpt anna@example.com delay 1h msg "Wait" flushaddr
racl greylist rcpt bob delay 3600s
racl whitelist default msg "x"
`
  const draft = milterGreylistSettings(conf, 'greylist.conf')
  const lines = linesOf(draft.text())
  assert.ok(lines.includes('  delay: 60m'), lines.join('\n'))
  assert.deepEqual(lines.slice(lines.indexOf('log:')), [
    'log:',
    '  level: debug',
    'recipients:',
    '  only: [anna@example.com, bob@]',
    '',
    '# Without a counterpart:',
    '# - greylist.conf:1: pidfile "/run/x.pid": systemd knows the process',
    '# - greylist.conf:2: dumpfile "/var/x.db" 600: greymx keeps all in its store, and greymx import milter-greylist reads ' +
      'the dumpfile',
    '# - greylist.conf:3: domainexact: greymx takes a name for itself and all below it',
    '# - greylist.conf:6: syncaddr * port 5252: several MX hosts share one store: redis://HOST:PORT/DB',
    '# - greylist.conf: report delays: the header is on all mail that was delayed or auto-whitelisted, or on none',
    '# - greylist.conf:9: racl greylist rcpt anna@example.com delay 1h msg "Wait" flushaddr: greymx has msg, flushaddr for ' +
      'no single entry; reply and header hold for all',
    '# - greylist.conf:11: racl whitelist default msg "x": greymx has msg for no single entry; reply and header hold for all',
    '# - greylist.conf:8: racl greylist dnsrbl "bad" delay 60m: with recipients.only, only_if_listed: [dnsbl.example] would ' +
      'greylist fewer, and not more',
  ])
})

test('milter-greylist: without a default all are greylisted, and with one that whitelists nobody else is', () => {
  const config = (conf: string) => configOf(milterGreylistSettings(conf, 'greylist.conf').text())
  const all = config('acl whitelist addr 192.0.2.7\nrcpt bob@example.com\n')
  assert.deepEqual(
    [all.mode, all.exempt.greylisted, all.exempt.recipients.length],
    ['enforce', { except: [] }, 1],
  )
  assert.equal(config('acl greylist helo "mx" rcpt bob@example.com\nacl whitelist default\n').mode, 'observe')
  assert.equal(config('acl greylist dnsrbl "zen.example"\nacl whitelist default\n').mode, 'enforce')
  assert.equal(
    config('greylist 30m\nacl whitelist auth /.*/\nacl whitelist spf\n').exempt.authenticated,
    true,
  )
})

test('whatever the settings of a peer say, greymx accepts what comes out', () => {
  const words = fc.constantFrom(
    ...[
      '--inet=',
      '--delay=',
      '99999999',
      '0',
      '-1',
      "'",
      '"',
      '\\',
      '#',
      '\n',
      ' ',
      '=',
      'POSTGREY_OPTS=',
      '--unix',
    ],
    ...[
      'reconnect_delay',
      'optmethod = optin',
      'awl_age = 9999',
      'unix = ',
      '*.',
      '/(/',
      '1.2.3',
      'greymethod=full',
    ],
    ...[
      'racl ',
      'whitelist ',
      'greylist ',
      'default',
      'rcpt ',
      'addr ',
      'list "a" ',
      '{',
      '}',
      'delay ',
      '9w',
      '/x/',
    ],
    ...[
      'socket ',
      'subnetmatch ',
      '/99',
      'timeout ',
      '\t',
      '\u2028',
      '\0',
      '{x}',
      '--greylist-text=',
      '%s',
      'dnsrbl ',
    ],
  )
  const text = fc
    .array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 40 })
    .map((all) => all.join(''))
  fc.assert(
    fc.property(text, (conf) => {
      const file = { name: 'a', text: conf }
      const tables = new Map([['optin_domain', conf.split('\n')]])
      for (const draft of [
        postgreySettings(conf, 'a', NO_FILES),
        sqlgreySettings({ conf: file, lists: [file], tables }),
        milterGreylistSettings(conf, 'a'),
      ]) {
        const loaded = parseConfig('milter.yaml', draft.text())
        assert.equal(loaded.kind, 'config', draft.text())
      }
    }),
    { numRuns: 60 },
  )
})

test('a peer without settings, and a file that is not there, are told', async () => {
  await assert.rejects(
    settingsFrom('spamdb', ['x']),
    /^Error: spamdb has no settings that greymx reads: expected postgrey and .*; sqlgrey and .*; milter-greylist and /,
  )
  await assert.rejects(settingsFrom('postgrey', ['/nowhere']), { code: 'ENOENT' })
  assert.match(
    await settingsFrom('postgrey', ['--inet=127.0.0.1:99']),
    /^listen_policy: inet:99@127\.0\.0\.1$/m,
  )
})

test('greymx import --settings prints the settings, or why there are none', async () => {
  const greymx = async (...args: readonly string[]) => {
    const run = promisify(execFile)(process.execPath, ['dist/main.js', 'import', ...args])
    const { code = 0, stdout, stderr } = await run.catch((error) => error)
    return { code, stdout, stderr }
  }
  const printed = await greymx('postgrey', 'postgrey --inet=10023', '--settings')
  assert.deepEqual([printed.code, printed.stderr], [0, ''])
  assert.equal(parseConfig('milter.yaml', printed.stdout).kind, 'config')
  const missing = await greymx('sqlgrey', '/nowhere', '--settings')
  assert.deepEqual([missing.code, missing.stderr], [64, 'Cannot read /nowhere: no such file\n'])
  const none = await greymx('haraka', 'redis://user:secret@127.0.0.1', '--settings')
  assert.equal(none.code, 64)
  assert.match(none.stderr, /^haraka has no settings that greymx reads: expected /)
  assert.doesNotMatch(none.stderr, /secret/)
  assert.equal((await greymx('sqlgrey', 'sqlgrey.conf', 'sqlgrey.db')).code, 64)
})
