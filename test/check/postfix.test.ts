// Tests of the warnings of greymx check --postfix, on main.cf as administrators write it, and that greymx reads the
// file as Postfix does.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parseMainCf, parseMilters, settingOf } from '../../src/check/main-cf.ts'
import { checkPostfix } from '../../src/check/postfix.ts'
import { scratch } from '../support/scratch.ts'
import { assertWarnings, configOf } from './support.ts'

const run = promisify(execFile)

const BASE = `# See /usr/share/postfix/main.cf.dist for a commented, more complete version
compatibility_level = 3.6
myhostname = mx1.example.org
mydestination = $myhostname, localhost.$mydomain,
\tlocalhost
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated
  # a comment within
  defer_unauth_destination
`

const SYSTEMD_LISTEN = 'listen: [unix:/run/greymx/greymx.sock, unix:/var/spool/postfix/greymx/greymx.sock]'
const SYSTEMD_MILTER = 'smtpd_milters = { unix:greymx/greymx.sock, default_action=accept }'

const CASES: Array<[name: string, mainCf: string, expected: RegExp[], settings?: string, masterCf?: string]> =
  [
    ['the line of the README', 'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }', []],
    ['localhost is 127.0.0.1', 'smtpd_milters = { inet:localhost:10891, default_action=accept }', []],
    [
      'another default action for all',
      'milter_default_action = accept\nsmtpd_milters = inet:127.0.0.1:10891',
      [],
    ],
    [
      'over several lines, one of many',
      'smtpd_milters =\n  { inet:127.0.0.1:10891\n    default_action = accept\n   command_timeout=15s },\n  unix:/run/opendkim/s\nnon_smtpd_milters = unix:/run/opendkim/s',
      [],
    ],
    [
      'by names',
      'greymx = { inet:127.0.0.1:10891, default_action=accept }\ndkim = unix:/d\nsmtpd_milters = $' +
        '{greymx}, $(dkim)\nnon_smtpd_milters = $dkim',
      [],
    ],
    [
      'the last one counts',
      'milter_default_action = reject\nmilter_default_action = accept\nsmtpd_milters = inet:127.0.0.1:10891',
      [],
    ],
    [
      'a conditional name',
      'g = inet:127.0.0.1:10891\nmilter_default_action=accept\nsmtpd_milters = $' +
        '{g?{$g}:{inet:127.0.0.1:1}}, $' +
        '{none?$g}$' +
        '{g:x}',
      [],
    ],
    [
      'none',
      'smtpd_milters = unix:/run/opendkim/s',
      [/^no milter in smtpd_milters is greymx: expected inet:127\.0\.0\.1:10891, as in listen; /],
    ],
    ['no setting', '', [/^no milter in smtpd_milters is greymx/]],
    ['another port', 'smtpd_milters = inet:127.0.0.1:10892', [/^no milter/]],
    [
      'the line for systemd’s sockets, with and without chroot',
      SYSTEMD_MILTER,
      [],
      SYSTEMD_LISTEN,
      'smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n  -o syslog_name=postfix/submission\n',
    ],
    [
      'a path from the root, without chroot',
      'smtpd_milters = { unix:/run/greymx/greymx.sock, default_action=accept }',
      [],
      SYSTEMD_LISTEN,
      'smtp inet n - n - - smtpd\ncleanup unix n - y - 0 cleanup\nsubmission inet n - - - - smtpd',
    ],
    [
      'a path from the root, in the chroot of Debian',
      'smtpd_milters = { unix:/run/greymx/greymx.sock, default_action=accept }',
      [
        /^smtpd is chrooted in master\.cf, so that unix:\/run\/greymx\/greymx\.sock is \/var\/spool\/postfix\/run\/greymx\/greymx\.sock, where greymx does not listen: expected a socket below \/var\/spool\/postfix, /,
      ],
      SYSTEMD_LISTEN,
      '# service type\nsmtp      inet  n       -       y       -       -       smtpd\n',
    ],
    [
      'a path within a chroot that smtpd does not have',
      'queue_directory = /q\nsmtpd_milters = { unix:/g/s, default_action=accept }',
      [/^smtpd is not chrooted in master\.cf, so that unix:\/g\/s is \/g\/s, where greymx does not listen: /],
      'listen: unix:/q/g/s',
      'smtp inet n - n - - smtpd',
    ],
    [
      'none, with a socket below the queue directory',
      'queue_directory = /q',
      [/^no milter in smtpd_milters is greymx: expected unix:g\/s or unix:\/run\/s, as in listen; /],
      'listen: [unix:/q/g/s, unix:/run/s]',
    ],
    [
      'Postfix’s own default',
      'smtpd_milters = inet:127.0.0.1:10891',
      [
        /^milter_default_action is not set for inet:127\.0\.0\.1:10891: while greymx is away, Postfix before 3\.11 defers all mail \(tempfail\), and Postfix 3\.11 and later disconnects every client with 421 \(shutdown\): expected \{ inet:127\.0\.0\.1:10891, default_action=accept \}/,
      ],
    ],
    [
      'the default of a Postfix that must be 3.11 or later',
      'compatibility_level = 3.11\nsmtpd_milters = inet:127.0.0.1:10891',
      [
        / while greymx is away, Postfix 3\.11 and later disconnects every client with 421 \(shutdown\): expected /,
      ],
    ],
    [
      'that default, written down',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=shutdown }',
      [/^default_action shutdown for inet:127\.0\.0\.1:10891 disconnects every client with 421 while /],
    ],
    ['a port alone is on localhost', 'smtpd_milters = { inet:10891, default_action=accept }', []],
    [
      'another port alone',
      'smtpd_milters = { inet:8890, default_action=accept }',
      [/^no milter in smtpd_milters is greymx/],
    ],
    [
      'local: is unix:',
      'smtpd_milters = { local:greymx/greymx.sock, default_action=accept }',
      [],
      SYSTEMD_LISTEN,
    ],
    [
      'a table with one result for all',
      'smtpd_milter_maps = static:{{ inet:127.0.0.1:10891, default_action=accept }}',
      [],
    ],
    [
      'a table within main.cf',
      'smtpd_milter_maps = inline:{ {192.0.2.1 = DISABLE} {198.51.100.7 = inet:127.0.0.1:10891} }\nmilter_default_action = accept',
      [],
    ],
    [
      'a table whose milter defers',
      'smtpd_milter_maps = static:{{ inet:127.0.0.1:10891, default_action=tempfail }}',
      [/^default_action tempfail for inet:127\.0\.0\.1:10891 defers all mail/],
    ],
    [
      'a table that is elsewhere',
      'smtpd_milter_maps = ldap:/etc/postfix/milters',
      [
        /^no milter in smtpd_milters is greymx, and ldap:\/etc\/postfix\/milters of smtpd_milter_maps cannot be looked into: expected /,
      ],
    ],
    [
      'one that refuses',
      'milter_default_action = accept\nsmtpd_milters = { inet:127.0.0.1:10891, default_action=reject }',
      [/^default_action reject for inet:127\.0\.0\.1:10891 rejects all mail while greymx is away/],
    ],
    [
      'one that holds',
      'milter_default_action = quarantine\nsmtpd_milters = inet:127.0.0.1:10891',
      [/ puts all mail on hold /],
    ],
    [
      'impatient by its own setting',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept, command_timeout=2s }',
      [/^command_timeout 2s is below 3s: expected more, such as 10s, as a decision takes up to 2s /],
    ],
    [
      'impatient by that of all, without unit',
      'milter_command_timeout = 2\nsmtpd_milters = { inet:127.0.0.1:10891, default_action=accept }',
      [/^milter_command_timeout 2s is below 3s/],
    ],
    [
      'patient enough, however slow the store may be',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept, command_timeout=3s }',
      [],
      'store_timeout: 10s',
    ],
    [
      'mail that was never sent by a client',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\nnon_smtpd_milters = $smtpd_milters',
      [/^non_smtpd_milters has greymx: expected it in smtpd_milters alone, /],
    ],
    [
      'macros, which greymx chooses by itself',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\nmilter_connect_macros = {daemon_name} v\nmilter_mail_macros = i',
      [],
    ],
    [
      'macros of an old protocol',
      'milter_protocol = 4\nsmtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\nmilter_connect_macros = {daemon_name} v\nmilter_mail_macros = i, {auth_type}',
      [
        /^milter_connect_macros lacks j _: expected them, or the MTA's default, /,
        /^milter_mail_macros lacks \{auth_authen\}: /,
      ],
    ],
    [
      'macros that nobody needs',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\nmilter_connect_macros = j _\nmilter_mail_macros = i',
      [],
      'exempt: { authenticated: false }',
    ],
    [
      'certificates of which it tells nothing',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }',
      [
        /^exempt\.tls_clients fingerprint:0{32} never applies with this MTA: expected subject: and issuer: with common names, /,
        /^exempt\.tls_clients issuer:\/CN=x never applies with this MTA: /,
        /^smtpd_tls_ask_ccert is not yes: expected yes, /,
      ],
      `exempt: { tls_clients: ["fingerprint:${'0'.repeat(32)}", issuer:/CN=x, subject:x] }`,
    ],
    [
      'certificates that it asks for',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\nsmtpd_tls_ask_ccert = yes',
      [],
      'exempt: { tls_clients: ["subject:x issuer:y"] }',
    ],
    [
      'a unix socket',
      'smtpd_milters = { unix:/run/greymx/s, default_action=accept }',
      [],
      'listen: unix:/run/greymx/s',
    ],
    [
      'a unix socket as a chrooted smtpd sees it',
      'smtpd_milters = { unix:/greymx/s, default_action=accept }',
      [],
      'listen: unix:/var/spool/postfix/greymx/s',
    ],
    [
      'another queue directory',
      'queue_directory = /q\nsmtpd_milters = { unix:greymx/s, default_action=accept }',
      [],
      'listen: unix:/q/greymx/s',
    ],
    [
      'IPv6',
      'smtpd_milters = { inet:[2001:db8::1]:10891, default_action=accept }',
      [],
      'listen: inet6:10891@2001:db8::1',
    ],
    [
      'any address',
      'smtpd_milters = { inet:192.0.2.1:10891, default_action=accept }',
      [],
      'listen: inet:10891@0.0.0.0',
    ],
    [
      'another machine',
      'smtpd_milters = inet:192.0.2.1:10891',
      [/^no milter/],
      'listen: inet:10891@192.0.2.2',
    ],
    [
      'a name, which may be any',
      'smtpd_milters = { inet:g.test:10891, default_action=accept }',
      [],
      'listen: inet:10891@192.0.2.2',
    ],
    [
      'in master.cf alone',
      '',
      [],
      '',
      'smtp inet n - y - - smtpd\n  -o smtpd_tls_security_level=may\n  -o { smtpd_milters = { inet:127.0.0.1:10891, default_action=accept } }\n',
    ],
    [
      'in master.cf, by name',
      'g = inet:127.0.0.1:10891',
      [/^milter_default_action is not set/],
      '',
      'smtp inet n - y - - smtpd -o smtpd_milters=$g\n',
    ],
    [
      'in both',
      'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }',
      [/^default_action reject/],
      '',
      'submission inet n - y - - smtpd\n  -o { smtpd_milters = { inet:127.0.0.1:10891, default_action=reject } }\n',
    ],
    ['values that go round in circles', 'a = $b\nb = $a\nsmtpd_milters = $a', [/^no milter/]],
  ]

test('checkPostfix() says what would lose, hold up or never greylist mail', () => {
  for (const [name, mainCf, expected, settings = '', masterCf] of CASES) {
    const files = { mainCf: `${BASE}${mainCf}\n`, ...(masterCf === undefined ? {} : { masterCf }) }
    assertWarnings(name, checkPostfix(files, configOf(settings)), expected)
  }
})

test('main.cf is read as Postfix itself reads it', async (t) => {
  const names = [
    'smtpd_milters',
    'non_smtpd_milters',
    'milter_default_action',
    'milter_connect_macros',
    'queue_directory',
  ]
  for (const [name, text] of CASES) {
    if (name.includes('circles')) continue
    const mainCf = `${BASE}${text}\n`
    const dir = await scratch(t)
    await writeFile(join(dir, 'main.cf'), mainCf)
    await utimes(join(dir, 'main.cf'), 0, 0) // Postfix waits until a file is older than a second
    const { stdout } = await run('postconf', ['-c', dir, '-xh', ...names])
    const settings = parseMainCf(mainCf)
    const expected = stdout.split('\n').slice(0, names.length)
    for (const [index, setting] of names.entries()) {
      if (!settings.has(setting) && setting.endsWith('macros')) continue // the defaults of these are not needed
      const plain = (value: string) => value.replace(/\s+/g, ' ').trim()
      assert.equal(plain(settingOf(settings, setting)), plain(expected[index] ?? ''), `${name}: ${setting}`)
    }
  }
})

test('a list of milters is cut where Postfix cuts it', () => {
  assert.deepEqual(
    parseMilters(
      'inet:a:1, { unix:/b, default_action=accept, { protocol = 6 } connect_timeout = 5s },unix:/c',
    ).map(({ service, settings }) => [service, Object.fromEntries(settings)]),
    [
      ['inet:a:1', {}],
      ['unix:/b', { default_action: 'accept', protocol: '6', connect_timeout: '5s' }],
      ['unix:/c', {}],
    ],
  )
})

test('tables of smtpd_milter_maps are read where they are files of text', () => {
  const mainCf = 'smtpd_milter_maps = cidr:/etc/postfix/milters, hash:/etc/postfix/none\n'
  const tables: Record<string, string> = {
    '/etc/postfix/milters':
      '# local clients\n127.0.0.0/8 DISABLE\n0.0.0.0/0  { inet:127.0.0.1:10891,\n  default_action=reject }\n',
  }
  const readTable = (file: string) => tables[file]
  assertWarnings('a table', checkPostfix({ mainCf, readTable }, configOf('')), [
    /^default_action reject for inet:127\.0\.0\.1:10891 rejects all mail while greymx is away/,
  ])
})
