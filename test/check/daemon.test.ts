// Tests of the warning of greymx check on a running daemon that does not listen where the configuration says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkListeners, withListeners } from '../../src/check/daemon.ts'
import { formatSocketSpec, parseSocketSpec, type SocketSpec } from '../../src/sockets/spec.ts'
import { assertWarnings, configOf } from './support.ts'

const SYSTEMD = ['unix:/run/greymx/greymx.sock', 'unix:/var/spool/postfix/greymx/greymx.sock']

function specs(texts: readonly string[]): SocketSpec[] {
  return texts.flatMap((text) => parseSocketSpec(text) ?? [])
}

test('checkListeners() warns of what the daemon does not listen on', () => {
  for (const [listen, listeners, expected] of [
    ['inet:10891@127.0.0.1', ['inet:10891@127.0.0.1'], []],
    ['inet:10891@localhost', ['inet:10891@127.0.0.1'], []],
    ['inet:10891@mx.test', ['inet:10891@192.0.2.7'], []],
    ['inet:0@127.0.0.1', ['inet:34567@127.0.0.1'], []],
    [`[${SYSTEMD.join(', ')}]`, SYSTEMD, []],
    [
      'inet:10891@127.0.0.1',
      SYSTEMD,
      [
        /^listen inet:10891@127\.0\.0\.1: the running daemon does not listen there, but on unix:\/run\/\S+, unix:\/var/,
      ],
    ],
    ['unix:/run/a', [], [/^listen unix:\/run\/a: .* but on no socket: expected a reload or, /]],
  ] as const) {
    assertWarnings(
      listen,
      checkListeners(configOf(`listen: ${listen}`), { listeners: specs(listeners), policy: [], exim: [] }),
      expected,
    )
  }
})

test('checkListeners() warns of the sockets of each door by themselves', () => {
  const config = configOf('listen: unix:/a\nlisten_policy: inet:10023@127.0.0.1\nlisten_exim: unix:/e')
  const sockets = {
    listeners: specs(['unix:/a']),
    policy: specs(['inet:10023@127.0.0.1']),
    exim: specs(['unix:/e']),
  }
  assert.deepEqual(checkListeners(config, sockets), [])
  assert.deepEqual(checkListeners(config, { ...sockets, policy: [] }), [
    'listen_policy inet:10023@127.0.0.1: the running daemon does not listen there, but on no socket: expected a reload or, ' +
      'where systemd opens the sockets, the same sockets in listen_policy, which tells greymx check what Postfix asks',
  ])
  assert.deepEqual(checkListeners(config, { ...sockets, exim: [] }), [
    'listen_exim unix:/e: the running daemon does not listen there, but on no socket: expected a reload or, ' +
      'where systemd opens the sockets, the same sockets in listen_exim, which tells greymx decide where to ask',
  ])
  const { listen, listenPolicy, listenExim } = withListeners(configOf('listen: unix:/a'), sockets)
  assert.deepEqual([...listen, ...listenPolicy, ...listenExim].map(formatSocketSpec), [
    ...['unix:/a', 'inet:10023@127.0.0.1', 'unix:/e'],
  ])
})

test('withListeners() has each socket once', () => {
  const { listen } = withListeners(configOf('listen: inet:1@localhost'), {
    listeners: specs(['inet:1@127.0.0.1', ...SYSTEMD]),
    policy: [],
    exim: [],
  })
  assert.deepEqual(listen.map(formatSocketSpec), ['inet:1@localhost', ...SYSTEMD])
})
