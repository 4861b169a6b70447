// Tests of the warnings of greymx check --postfix on restriction lists that ask greymx by check_policy_service.

import { test } from 'node:test'
import { checkPostfix } from '../../src/check/postfix.ts'
import { assertWarnings, configOf } from './support.ts'

const LISTEN = 'listen_policy: [inet:10023@127.0.0.1, unix:/var/spool/postfix/greymx/policy.sock]'
const ENTRY = 'check_policy_service { inet:127.0.0.1:10023, default_action=DUNNO, timeout=10s }'
const CONTENT = `smtpd_data_restrictions = ${ENTRY}\n`
/** The lines of the migration page. */
const LINES = `smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated,\n  reject_unauth_destination,\n  ${ENTRY}\n${CONTENT}`

const CASES: ReadonlyArray<
  readonly [name: string, mainCf: string, expected: readonly RegExp[], settings?: string, masterCf?: string]
> = [
  ['the lines of the migration page', LINES, []],
  [
    'by name, with the action and the time for all',
    `smtpd_policy_service_default_action = DUNNO\nsmtpd_policy_service_timeout=10s\ngreylisting = check_policy_service inet:localhost:10023\nsmtpd_recipient_restrictions = reject_unauth_destination, $greylisting\nsmtpd_data_restrictions = $greylisting`,
    [],
  ],
  [
    'a restriction class',
    `smtpd_restriction_classes = greylisting\ngreylisting = ${ENTRY}\nsmtpd_recipient_restrictions = reject_unauth_destination greylisting\nsmtpd_end_of_data_restrictions = greylisting`,
    [],
  ],
  [
    'a unix socket below the queue directory, with chroot',
    LINES.replaceAll('inet:127.0.0.1:10023', 'unix:greymx/policy.sock'),
    [],
    LISTEN,
    'smtp inet n - y - - smtpd\n',
  ],
  [
    'relaying refused by the default of smtpd_relay_restrictions',
    `smtpd_recipient_restrictions = ${ENTRY}\n${CONTENT}`,
    [],
  ],
  [
    'an override in master.cf',
    CONTENT,
    [],
    LISTEN,
    `smtp inet n - n - - smtpd\n  -o { smtpd_recipient_restrictions = reject_unauth_destination, ${ENTRY} }\n`,
  ],
  [
    'no bounces',
    `smtpd_recipient_restrictions = reject_unauth_destination, ${ENTRY}`,
    [
      /^no list for a message's content asks inet:127\.0\.0\.1:10023: expected the same entry in smtpd_data_restrictions, or greylist\.null_sender_at: rcpt,/,
    ],
  ],
  [
    'no bounces, which are judged at RCPT',
    `smtpd_recipient_restrictions = reject_unauth_destination, ${ENTRY}`,
    [],
    `${LISTEN}\ngreylist: { null_sender_at: rcpt }`,
  ],
  [
    'bounces only',
    CONTENT,
    [
      /^only smtpd_data_restrictions asks inet:127\.0\.0\.1:10023: expected it in smtpd_recipient_restrictions as well/,
    ],
  ],
  [
    'as for Postgrey',
    'smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, check_policy_service inet:127.0.0.1:10023',
    [
      /^smtpd_recipient_restrictions: the default action of check_policy_service inet:127\.0\.0\.1:10023 is "451 4\.3\.5 Server configuration problem", which mail gets while greymx is away: expected check_policy_service \{ inet:127\.0\.0\.1:10023, default_action=DUNNO, timeout=10s \}, so that mail flows$/,
      /^no list for a message's content/,
    ],
  ],
  [
    'a short time-out',
    LINES.replace('timeout=10s', 'timeout=2s'),
    [
      /^smtpd_recipient_restrictions: the timeout of inet:127\.0\.0\.1:10023, 2s is below 3s: expected more, such as 10s/,
    ],
  ],
  [
    'before relaying is refused',
    `smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = ${ENTRY}, reject_unauth_destination\n${CONTENT}`,
    [/^smtpd_recipient_restrictions asks inet:127\.0\.0\.1:10023 before reject_unauth_destination: expected/],
  ],
  [
    'in a list for senders',
    `smtpd_sender_restrictions = ${ENTRY}\n${CONTENT}`,
    [
      /^smtpd_sender_restrictions asks inet:127\.0\.0\.1:10023 before reject_unauth_destination: expected it in smtpd_recipient_restrictions/,
    ],
  ],
  [
    'before own clients are let through',
    `smtpd_recipient_restrictions = ${ENTRY}, permit_mynetworks permit_sasl_authenticated\n${CONTENT}`,
    [
      /^smtpd_recipient_restrictions asks inet:127\.0\.0\.1:10023 before permit_mynetworks and permit_sasl_authenticated: expected it behind/,
    ],
  ],
  [
    'a path from the root, with chroot',
    LINES.replaceAll('inet:127.0.0.1:10023', 'unix:/var/spool/postfix/greymx/policy.sock'),
    [/^smtpd is chrooted in master\.cf, so that unix:\/var\/spool\/postfix\/greymx\/policy\.sock is /],
    LISTEN,
    'smtp inet n - y - - smtpd\n',
  ],
  [
    'both ways',
    `smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }\n${LINES}`,
    [
      /^smtpd_milters has greymx, and smtpd_recipient_restrictions asks inet:127\.0\.0\.1:10023, which is greymx as well: expected one of both/,
    ],
  ],
  ['as a milter alone', 'smtpd_milters = { inet:127.0.0.1:10891, default_action=accept }', []],
  [
    'another policy server',
    LINES.replaceAll(':10023', ':10024'),
    [
      /^no milter in smtpd_milters and no check_policy_service is greymx: expected inet:127\.0\.0\.1:10891 as a milter, or check_policy_service \{ inet:127\.0\.0\.1:10023, default_action=DUNNO, timeout=10s \} or check_policy_service \{ unix:greymx\/policy\.sock, .* in smtpd_recipient_restrictions and smtpd_data_restrictions; nothing is greylisted$/,
    ],
  ],
  [
    'certificates that nobody is asked for',
    LINES,
    [/^exempt\.tls_clients subject:\/CN=x never applies/, /^smtpd_tls_ask_ccert is not yes/],
    `${LISTEN}\nexempt: { tls_clients: ["fingerprint:${'ab'.repeat(16)}", "subject:x", "subject:/CN=x"] }`,
  ],
]

for (const [name, mainCf, expected, settings = LISTEN, masterCf] of CASES) {
  test(`checkPostfix(), asked by check_policy_service: ${name}`, () => {
    const files = { mainCf, ...(masterCf === undefined ? {} : { masterCf }) }
    assertWarnings(name, checkPostfix(files, configOf(settings)), expected)
  })
}
