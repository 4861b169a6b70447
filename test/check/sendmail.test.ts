// Tests of the warnings of greymx check --sendmail: each case as .mc, and as the sendmail.cf that Sendmail's m4 files
// make.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { checkSendmail } from '../../src/check/sendmail.ts'
import { scratch } from '../support/scratch.ts'
import { sendmailRoot } from '../support/sendmail.ts'
import { assertWarnings, configOf } from './support.ts'

const run = promisify(execFile)

const CF = `${sendmailRoot}/usr/share/sendmail/cf`

function masterConfig(filters: string): string {
  return `divert(-1)dnl
include(\`${CF}/m4/cf.m4')
OSTYPE(\`linux')
dnl INPUT_MAIL_FILTER(\`old', \`S=inet:10891@127.0.0.1, F=R')
define(\`confLOG_LEVEL', \`12')dnl
${filters}
MAILER(\`smtp')
`
}

const UNIX = 'listen: unix:/run/greymx/s'

const CASES: Array<[name: string, filters: string, expected: RegExp[], settings?: string]> = [
  [
    'the line of the README',
    "INPUT_MAIL_FILTER(`greymx', `S=unix:/run/greymx/s, T=C:10s;S:10s;R:10s;E:1m')dnl",
    [],
    UNIX,
  ],
  ['local: is unix:', "INPUT_MAIL_FILTER(`greymx', `S=local:/run/greymx/s')", [], UNIX],
  [
    'over TCP, among others',
    "INPUT_MAIL_FILTER(`dkim', `S=local:/d, F=T')\nINPUT_MAIL_FILTER(`g', `S=inet:10891@localhost')",
    [],
  ],
  [
    'by a list of its own',
    "MAIL_FILTER(`dkim', `S=local:/d')\nMAIL_FILTER(`g', `S=inet:10891@127.0.0.1')\ndefine(`confINPUT_MAIL_FILTERS', `g,dkim')",
    [],
  ],
  [
    'none',
    "INPUT_MAIL_FILTER(`dkim', `S=local:/d')",
    [/^no mail filter is greymx: expected one with S=inet:10891@127\.0\.0\.1, as in listen/],
  ],
  ['none at all', '', [/^no mail filter is greymx/]],
  [
    'defined, not used',
    "MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')\nINPUT_MAIL_FILTER(`dkim', `S=local:/d')",
    [/^InputMailFilters is dkim, without g, which is greymx: expected it there, /],
  ],
  [
    'tempfails',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1, F=T')",
    [/^F=T of g defers all mail while greymx is away: expected no F=, /],
  ],
  ['rejects', "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1, F=R')", [/^F=R of g rejects all mail /]],
  ['hangs up', "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1, F=4')", [/^F=4 of g defers all mail /]],
  [
    'impatient',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1, T=C:1m;S:1s;R:1s;E:5m')",
    [/^T=R: of g, 1s is below 3s: expected more, such as 10s, /],
  ],
  ['patient by default', "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')", [], 'store_timeout: 10s'],
  [
    'macros, which greymx chooses by itself',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')\ndefine(`confMILTER_MACROS_CONNECT', `{daemon_name}')\ndefine(`confMILTER_MACROS_ENVFROM', `i, {auth_type}')",
    [],
  ],
  [
    'macros added',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')\ndefine(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT`, {if_addr}')",
    [],
  ],
  [
    'fingerprints as it tells them by default',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')",
    [/^exempt\.tls_clients fingerprint:0{64} never applies with this MTA: expected the digits of md5, /],
    `exempt: { tls_clients: ["fingerprint:${'0'.repeat(64)}", "fingerprint:${'0'.repeat(32)}", subject:x] }`,
  ],
  [
    'fingerprints of another digest',
    "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1')\ndefine(`confCERT_FINGERPRINT_ALGORITHM', `sha256')",
    [/^exempt\.tls_clients fingerprint:0{32} never applies with this MTA: expected the digits of sha256, /],
    `exempt: { tls_clients: ["fingerprint:${'0'.repeat(64)}", "fingerprint:${'0'.repeat(32)}", issuer:/CN=x] }`,
  ],
]

test('checkSendmail() says what would lose, hold up or never greylist mail', async (t) => {
  const dir = await scratch(t)
  for (const [name, filters, expected, settings = ''] of CASES) {
    const mc = masterConfig(filters)
    assertWarnings(`${name}, .mc`, checkSendmail(mc, configOf(settings)), expected)
    await writeFile(join(dir, 'sendmail.mc'), mc)
    const { stdout: cf } = await run('m4', [`-D_CF_DIR_=${CF}/`, join(dir, 'sendmail.mc')])
    assertWarnings(`${name}, sendmail.cf`, checkSendmail(cf, configOf(settings)), expected)
  }
})

test('before version 8.14, Sendmail sends the macros that sendmail.cf names, and no others', () => {
  const cf =
    'V10/Berkeley\nDZ8.13.8\nO InputMailFilters=g\nXg, S=inet:10891@127.0.0.1\nO Milter.macros.connect=v\n'
  const lacking = [
    /^Milter\.macros\.connect lacks j _: expected them, /,
    /^Milter\.macros\.envfrom lacks \{auth_type\}/,
  ]
  assertWarnings('8.13', checkSendmail(cf, configOf('')), lacking)
  assertWarnings('8.14', checkSendmail(cf.replace('8.13.8', '8.14.0'), configOf('')), [])
})
