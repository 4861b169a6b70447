// Tests of the warnings of greymx check --exim: on the lines of src/doors/exim.md and of greylistd as administrators may
// change them, and on what a real Exim prints of its configuration.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { checkExim } from '../../src/check/exim.ts'
import { greylistdExample, startExim } from '../support/exim.ts'
import { certificateFields, pageFiles } from '../support/exim-page.ts'
import { scratch } from '../support/scratch.ts'
import { assertWarnings, configOf } from './support.ts'

const SOCKET = '/run/greymx/exim.sock'
const LISTEN = `listen_exim: unix:${SOCKET}`

const page = pageFiles({ socket: SOCKET, program: '/usr/bin/greymx' })
const file = (name: string) => page[name] ?? assert.fail(name)
const MACROS = file('/etc/exim4/conf.d/main/00_greymx')
const RCPT = file('/etc/exim4/greymx_rcpt')
const DATA = file('/etc/exim4/greymx_data')
const RUN = `${file('/etc/exim4/greymx_run_rcpt')}${file('/etc/exim4/greymx_run_data')}`
const OWN = `${MACROS}\nbegin acl\nacl_check_rcpt:\n  accept hosts = :\n${RCPT}\n  accept\nacl_check_data:\n${DATA}\n  accept\n`
const GREYLISTD = readFileSync(greylistdExample, 'utf8').split('---->8').slice(7, 8).join('')

const READSOCKET = '$' + '{readsocket'

/** A statement of the triplet form. */
function triplet(verb: string, rest: string): string {
  return `${verb}\n  condition = ${READSOCKET}{${SOCKET}}${rest}}\n`
}

const CASES: ReadonlyArray<[name: string, text: string, expected: RegExp[], settings?: string]> = [
  ['the lines of greymx', OWN, []],
  ['the command', RUN, []],
  ['the command, with no door', RUN, [], 'store: "memory:"'],
  ['greylistd’s, moved', moved(GREYLISTD), []],
  [
    'greylistd’s, as they were',
    GREYLISTD,
    [
      /^no ACL asks greymx by readsocket, but \/var\/run\/greylistd\/socket: expected \/run\/greymx\/exim\.sock, as in listen_exim; nothing/,
    ],
  ],
  [
    'none',
    'begin acl\n  accept\n',
    [/^no ACL asks greymx by readsocket: expected \/run\/greymx\/exim\.sock/],
  ],
  ['none, and no door', '', [/^no ACL asks greymx, and listen_exim is empty: /], 'store: "memory:"'],
  ['over TCP', OWN.replace(`= ${SOCKET}`, '= inet:127.0.0.1:10894'), [], 'listen_exim: inet:10894@127.0.0.1'],
  [
    'over TCP with IPv6',
    OWN.replace(`= ${SOCKET}`, '= inet:[::1]:10894'),
    [],
    'listen_exim: inet6:10894@::1',
  ],
  [
    'over TCP, on another port',
    OWN.replace(`= ${SOCKET}`, '= inet:127.0.0.1:10895'),
    [/^no ACL asks greymx by readsocket, but inet:127\.0\.0\.1:10895: expected inet:\[::1\]:10894, /],
    'listen_exim: inet6:10894@::1',
  ],
  [
    'no fall-back',
    OWN.replaceAll('{5s}{}{pass}', '{5s}'),
    [
      /^readsocket in set acl_m_greymx of warn has no fifth argument, so that Exim defers all mail while greymx is away: expected \{5s\}\{\}\{pass\}/,
    ],
  ],
  [
    'no fall-back of greylistd’s',
    triplet('defer', '{--grey $sender_host_address $sender_address $local_part@$domain}{5s}'),
    [/^readsocket in condition of defer has no fifth argument, .*: expected \{5s\}\{\}\{false\}/],
  ],
  [
    'a fall-back that defers',
    triplet('defer', '{--grey $sender_host_address $sender_address $local_part@$domain}{5s}{}{true}'),
    [/ has true for its fifth argument, so that mail waits while greymx is away: expected \{false\}$/],
  ],
  [
    'a short time-out',
    OWN.replaceAll('{5s}', '{2s}'),
    [/^the time-out of readsocket in set acl_m_greymx of warn 2s is below 3s/],
  ],
  [
    'a field without quotes',
    OWN.replace('helo=$' + '{quote:$sender_helo_name}', 'helo=$sender_helo_name'),
    [/ has the field helo without \$\{quote:…\}: expected it, /],
  ],
  [
    'a condition',
    triplet('defer', '{rcpt client=$' + '{quote:$sender_host_address} sender="" recipient="u"}{5s}{}{pass}'),
    [
      / is a condition, but pass and defer are no truth values, /,
      /^no ACL asks at DATA, so that bounces are never judged: /,
    ],
  ],
  [
    'greylistd’s without --grey',
    triplet('defer', '{$sender_host_address $sender_address $local_part@$domain}{5s}{}{}'),
    [/ asks without --grey, and grey and white are no truth values, /],
  ],
  [
    'greylistd’s without --grey, compared',
    `defer\n  condition = $\{if eq {grey}{${READSOCKET}{${SOCKET}}{$sender_host_address x y}{5s}{}{}}}{true}{false}}\n`,
    [],
  ],
  [
    '--white',
    triplet('defer', '{--white x y z}{5s}{}{false}'),
    [/ asks with --white, so that known mail waits and no other: /],
  ],
  [
    'deny',
    triplet('deny', '{--grey x y z}{5s}{}{false}'),
    [/: expected defer, as deny makes nobody come back$/],
  ],
  ['--black', triplet('deny', '{--black x y z}{5s}{}{false}'), []],
  [
    'no defer',
    OWN.replaceAll('\ndefer\n', '\nwarn\n'),
    [/^no defer has \$acl_m_greymx in its condition: expected one, /],
  ],
  [
    'deny for the answer',
    OWN.replaceAll('\ndefer\n', '\ndeny\n'),
    [/^deny has \$acl_m_greymx in its condition: expected defer, /],
  ],
  ['no question at DATA', `${MACROS}\n${RCPT}`, [/^no ACL asks at DATA, so that bounces are never judged: /]],
  [
    'no question at DATA, for none is needed',
    `${MACROS}\n${RCPT}`,
    [],
    `${LISTEN}\ngreylist: { null_sender_at: rcpt }`,
  ],
  [
    'preexpand',
    RUN.replaceAll('{run{', '{run,preexpand{'),
    [/^run in set acl_m_greymx of warn has preexpand: expected none, /],
  ],
  [
    'a command whose failure defers',
    RUN.replaceAll('{}{$' + '{if eq{$runrc}{75}{$value}}}', '{}{$value}'),
    [/^run in set acl_m_greymx of warn does not look whether \$runrc is 75: /],
  ],
  [
    'no certificate',
    OWN,
    [/^no request has a field for the certificate, so that exempt\.tls_clients never applies: /],
    `${LISTEN}\nexempt: { tls_clients: ["subject:a"] }`,
  ],
  [
    'a certificate',
    OWN.replace('sender=$', `${certificateFields()} \\\n  sender=$`),
    [],
    `${LISTEN}\nexempt: { tls_clients: ["subject:a"] }`,
  ],
]

function moved(text: string): string {
  return text.replaceAll('/var/run/greylistd/socket', SOCKET)
}

for (const [name, text, expected, settings = LISTEN] of CASES) {
  test(`checkExim() on ${name}`, () => {
    assertWarnings(name, checkExim({ text }, configOf(settings)), expected)
  })
}

test('checkExim() reads included files, and ends at circles', () => {
  const files: Record<string, string> = { ...page, '/circle': '.include /circle\n' }
  const text = `${MACROS}\n.include /circle\n.include_if_exists /none\n.include CHECK_RCPT_LOCAL_ACL_FILE\n.include CHECK_DATA_LOCAL_ACL_FILE\n`
  assert.deepEqual(checkExim({ text, readIncluded: (path) => files[path] }, configOf(LISTEN)), [])
})

test('checkExim() reads what a real Exim prints of its configuration', async (t) => {
  const exim = await startExim({
    dir: await scratch(t),
    configuration: 'debian',
    files: {
      '/etc/exim4/conf.d/main/00_greymx': MACROS,
      '/etc/exim4/greymx_rcpt': RCPT,
      '/etc/exim4/greymx_data': DATA,
    },
  })
  const text = await exim.printedConfig()
  assert.deepEqual(checkExim({ text }, configOf(LISTEN)), [])
  assertWarnings('printed', checkExim({ text: text.replaceAll('{5s}{}{pass}', '') }, configOf(LISTEN)), [
    / has no fifth argument/,
  ])
})
