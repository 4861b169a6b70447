// Tests of the warnings of greymx check on the configuration of greymx.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSettings, MIN_ANSWER_TIMEOUT } from '../../src/check/settings.ts'
import { DECISION_TIMEOUT } from '../../src/greylist/deadline.ts'
import { assertWarnings, configOf } from './support.ts'

const WITHOUT_WARNINGS = [
  '',
  'greylist: { delay: 299s }',
  'greylist: { retry_window: 4h }',
  'greylist: { lifetime: 20h }',
  'socket_mode: "0666"', // has no effect, as there is no unix socket
  'listen: unix:/run/greymx/s\nsocket_mode: "0660"',
  'listen: ["inet:1@127.8.0.1", "inet:1@localhost", "inet6:1@::1", "inet6:1@0:0:0:0:0:0:0:1"]',
  'listen: unix:/run/greymx/s\nsocket_mode: "0664"',
  'store: redis://127.0.0.1:6379/0',
  'store: redis://localhost:6379/0',
  'store: redis://[::1]:6379/0',
  'store: rediss://redis.test:6379/0',
  'store: redis+unix:///run/redis/s?db=0',
  'store_timeout: 1999ms',
]

test('checkSettings() has nothing against the defaults, nor against what is as good', () => {
  for (const text of WITHOUT_WARNINGS) assert.deepEqual(checkSettings(configOf(text)), [], text)
})

const WARNED: Array<[text: string, warnings: RegExp[]]> = [
  [
    'greylist: { delay: 5m }',
    [/^greylist\.delay 5m is not below 5m: expected less, such as 3m, as Postfix and Courier/],
  ],
  ['greylist: { delay: 4h }', [/^greylist\.delay 4h is not below 5m: /]],
  ['greylist: { delay: 241m }', [/^greylist\.delay 241m is above 4h: expected less, /]],
  ['greylist: { retry_window: 12m }', [/^greylist\.retry_window 12m is below 4h: expected more, /]],
  [
    'greylist: { lifetime: 19h }',
    [/^greylist\.lifetime 19h is below greylist\.retry_window 20h: expected more, /],
  ],
  [
    'listen: [unix:/run/a, unix:/run/b, "inet:1@127.0.0.1"]\nsocket_mode: "0666"',
    [
      /^socket_mode "0666" lets every user of this machine write to \/run\/a: expected "0660", /,
      /^socket_mode "0666" lets every user of this machine write to \/run\/b: /,
    ],
  ],
  [
    'listen: ["inet:10891@0.0.0.0", "inet6:10891@::", "inet:10891@192.0.2.7", "inet:10891@mx1.test", "inet:10891@127.0.0.1"]',
    [
      /^listen inet:10891@0\.0\.0\.0 can be reached from other machines: expected a unix socket, or a loopback address, /,
      /^listen inet6:10891@:: can be reached .* have any mail passed/,
      /^listen inet:10891@192\.0\.2\.7 can be reached /,
      /^listen inet:10891@mx1\.test can be reached /,
    ],
  ],
  [
    'store: redis://user:secret@redis.test:6380/2',
    [
      /^store redis:\/\/redis\.test:6380\/2 is on another machine and has no TLS: expected rediss in place of redis, /,
    ],
  ],
  [
    'store: redis+sentinel://127.0.0.1,redis.test/mymaster',
    [/^store redis\+sentinel:\/\/.* is on another machine and has no TLS: /],
  ],
  [
    'store_timeout: 2s',
    [/^store_timeout 2s is not below 2s: expected less, such as 250ms, as a decision takes no longer, /],
  ],
  [
    'greylist: { delay: 10m, retry_window: 30m, lifetime: 20m }',
    [/^greylist\.delay 10m/, /^greylist\.retry_window 30m/, /^greylist\.lifetime 20m/],
  ],
  ['dnswl: [zen.spamhaus.org, list.dnswl.org]', [/^dnswl zen\.spamhaus\.org is a list of bad clients: /]],
  [
    'only_if_listed: [list.dnswl.org, zen.spamhaus.org, hostkarma.junkemailfilter.com]',
    [/^only_if_listed list\.dnswl\.org is a list of trustworthy clients: /],
  ],
  [
    'dnswl: [score.senderscore.com, "score.senderscore.com=127.0.4.[90..100]", dbl.spamhaus.org, list.example]',
    [
      /^dnswl score\.senderscore\.com has no effect, .* like "score\.senderscore\.com=127\.0\.4\.\[90\.\.100\]"$/,
      /^dnswl dbl\.spamhaus\.org is a list of domains: expected a list of addresses, /,
    ],
  ],
  [
    'only_if_listed: [nobl.junkemailfilter.com, "key.zrd.dq.spamhaus.net=127.0.2.2"]',
    [
      /^only_if_listed nobl\.junkemailfilter\.com has no effect, /,
      /^only_if_listed key\.zrd\.dq\.spamhaus\.net is a list of domains: /,
    ],
  ],
]

test('checkSettings() says what will not do well, with its value, what is expected, and why', () => {
  for (const [text, expected] of WARNED) assertWarnings(text, checkSettings(configOf(text)), expected)
})

test('MTAs have to wait for longer than a decision can take', () => {
  assert.ok(MIN_ANSWER_TIMEOUT > DECISION_TIMEOUT)
})
