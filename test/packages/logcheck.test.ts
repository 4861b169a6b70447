// Tests the rules for logcheck, which mails an operator the lines of the log that no rule matches.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('logcheck passes over what greymx logs in the ordinary course, and reports the rest', async () => {
  const head = (host: string) => `2026-11-27T04:17:44.123456+00:00 ${host} greymx[123]: `
  const ordinary = [
    'greymx 0.1.0 is listening on unix:/run/greymx/greymx.sock (inherited)',
    'state: lmdb:/var/lib/greymx/state',
    'Postfix, in main.cf:    smtpd_milters = { unix:greymx/greymx.sock, default_action=accept }',
    'verdict=tempfail reason=new client=198.51.100.7 sender=a@example.org recipient=b@example.com waited=0s',
    'level=info msg="configuration read again"',
    '{"time":"2026-11-27T04:37:05.134Z","verdict":"tempfail","reason":"new"}',
    '{"time":"2026-11-27T04:37:05.134Z","level":"info","msg":"stopped"}',
  ].map((line) => `${head('mx1')}${line}`)
  const remarkable = [
    `${head('mx1')}level=warn msg="DNS does not answer"`,
    `${head('mx1')}level=error msg="store is down" problem="verdict=pass reason=known"`,
    `${head('mx1')}{"time":"2026-11-27T04:37:05.134Z","level":"error","msg":"store is down"}`,
    `${head('mx1').replace('greymx', 'other')}level=info msg=x`,
    'Nov 27 04:17:44 mx1 greymx[123]: Error: something that nobody expected',
  ]
  const oldStamp = 'Nov 27 04:17:44 mx1.example.com greymx[123]: level=info msg=stopped'
  const input = [...ordinary, ...remarkable, oldStamp].join('\n')
  const grep = promisify(execFile)('grep', ['-E', '-v', '-f', 'debian/greymx.logcheck.ignore.server'])
  grep.child.stdin?.end(`${input}\n`)
  assert.deepEqual((await grep).stdout.trimEnd().split('\n'), remarkable)
})
