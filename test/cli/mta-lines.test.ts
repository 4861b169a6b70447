// Tests of the lines for the MTAs that serve prints: they prefer unix sockets, with the path by which each MTA finds
// them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mtaLines } from '../../src/cli/mta-lines.ts'
import { parseSocketSpec } from '../../src/sockets/spec.ts'

const TCP = 'inet:10891@127.0.0.1'
const TCP6 = 'inet6:10891@::1'
const RUN = 'unix:/run/greymx/greymx.sock'
const QUEUE = 'unix:/var/spool/postfix/greymx/greymx.sock'

const NONE = /^$/
const OVER_TCP =
  /^anyone who can reach a TCP socket, .* can have any mail passed; use unix sockets in listen instead: unix:\/var\/spool\/postfix\/greymx\//
const CHROOT =
  /^a chrooted Postfix, such as Debian's, needs listen: unix:\/var\/spool\/postfix\/greymx\/greymx\.sock$/
const CHROOT_OR_TCP =
  /^a chrooted Postfix, .*greymx\.sock, unless you write inet:127\.0\.0\.1:10891 into the line below$/

for (const [listen, postfix, sendmail, hint] of [
  [[TCP], 'inet:127.0.0.1:10891', TCP, OVER_TCP],
  [[TCP6], 'inet:[::1]:10891', TCP6, OVER_TCP],
  [[RUN], RUN, RUN, CHROOT],
  [[TCP, RUN], RUN, RUN, CHROOT_OR_TCP],
  [[QUEUE], 'unix:greymx/greymx.sock', QUEUE, NONE],
  [[TCP, QUEUE], 'unix:greymx/greymx.sock', QUEUE, NONE],
  [[RUN, QUEUE], 'unix:greymx/greymx.sock', RUN, NONE],
  [[QUEUE, TCP, RUN], 'unix:greymx/greymx.sock', RUN, NONE],
] as const) {
  test(`listening on ${listen.join(' and ')}, Postfix has ${postfix} and Sendmail ${sendmail}`, () => {
    const lines = mtaLines(listen.flatMap((text) => parseSocketSpec(text) ?? []))
    assert.equal(lines.postfix, `smtpd_milters = { ${postfix}, default_action=accept }`)
    assert.equal(
      lines.sendmail,
      `INPUT_MAIL_FILTER(\`greymx', \`S=${sendmail}, T=C:10s;S:10s;R:10s;E:1m')dnl`,
    )
    assert.match(lines.hint ?? '', hint)
    assert.equal(lines.policy, undefined)
  })
}

test('listening for the policy protocol, Postfix has the entry for its best socket', () => {
  const policyOf = (sockets: readonly string[]) =>
    mtaLines(
      [],
      sockets.flatMap((text) => parseSocketSpec(text) ?? []),
    ).policy
  const entry = (service: string) => `check_policy_service { ${service}, default_action=DUNNO, timeout=10s }`
  assert.equal(policyOf([TCP]), entry('inet:127.0.0.1:10891'))
  assert.equal(policyOf([TCP6]), entry('inet:[::1]:10891'))
  assert.equal(policyOf([TCP, RUN, QUEUE]), entry('unix:greymx/greymx.sock'))
})
