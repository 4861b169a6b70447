// Tests of settings in environment variables, which override the file and are named in faults, and of printed settings,
// which read back as the settings that were in effect.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { variableOf } from '../../src/config/environment.ts'
import { parseConfig } from '../../src/config/load.ts'
import { printSettings } from '../../src/config/print.ts'
import { ConfigReader } from '../../src/config/reader.ts'
import { type Config, readConfig } from '../../src/config/schema.ts'

type Variables = Readonly<Record<string, string>>

function faultsOf(text: string, environment: Variables): readonly string[] {
  const loaded = parseConfig('milter.yaml', text, environment)
  return loaded.kind === 'faults' ? loaded.faults : []
}

function configOf(text: string, environment: Variables): Config {
  const loaded = parseConfig('milter.yaml', text, environment)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  return loaded.config
}

function printed(text: string, environment: Variables = {}): string {
  const loaded = parseConfig('milter.yaml', text, environment)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  return printSettings(loaded.settings)
}

test('a variable goes before the file, and stands for a setting that the file does not have', () => {
  const file = 'greylist: { delay: 5m }\nstore: "memory:"\nheader: false\n'
  const config = configOf(file, {
    GREYMX_GREYLIST_DELAY: '10s',
    GREYMX_GREYLIST_CLIENT_IPV4_PREFIX: '32',
    GREYMX_LOG_FORMAT: 'json',
  })
  assert.equal(config.greylist.times.delay, 10_000)
  assert.equal(config.identity.ipv4Prefix, 32)
  assert.equal(config.log.format, 'json')
  assert.equal(config.milter.header, false)
  assert.deepEqual(config.store, { kind: 'memory' })
})

test('a variable needs no quotes', () => {
  const config = configOf('', {
    GREYMX_STORE: 'memory:',
    GREYMX_SOCKET_MODE: '0600',
    GREYMX_REPLY: '451 4.7.1 Later: "{ref}" # please',
    GREYMX_ADMIN: '[::1]:80',
  })
  assert.deepEqual(config.store, { kind: 'memory' })
  assert.equal(config.socketMode, 0o600)
  const values = { ref: 'REF', seconds: 1, recipient: 'a@b', domain: 'b', host: 'h' }
  assert.deepEqual(config.reply.fill(values).lines, ['Later: "REF" # please'])
  assert.deepEqual(config.admin, { host: '::1', port: 80 })
})

test('a list is written as in the file; anything else is its one item', () => {
  const senders = (text: string) => configOf('', { GREYMX_EXEMPT_SENDERS: text }).exempt.senders
  const [example, local] = [
    { kind: 'domain', domain: 'example.org' },
    { kind: 'local', local: 'a' },
  ]
  assert.deepEqual(senders('example.org'), [example])
  assert.deepEqual(senders('[example.org, "a@"]'), [example, local])
  assert.deepEqual(senders('[]'), [])
  assert.equal(senders('["/a{1,2}/"]').length, 1)
})

test('an empty variable is none, and so is what the environment has of a service named greymx', () => {
  const environment = {
    GREYMX_GREYLIST_DELAY: '',
    GREYMX_SERVICE_HOST: '10.0.0.1',
    GREYMX_SERVICE_PORT: '10891',
    GREYMX_SERVICE_PORT_MILTER: '10891',
    GREYMX_PORT: 'tcp://10.0.0.1:10891',
    GREYMX_PORT_8891_TCP: 'tcp://10.0.0.1:10891',
    GREYMX_PORT_8891_TCP_ADDR: '10.0.0.1',
    GREYMX_TEST_PORT_8891_TCP_PROTO: 'tcp',
    GREYLIST_DELAY: '1m',
  }
  assert.equal(configOf('', environment).greylist.times.delay, 180_000)
})

test('a variable that only looks like that of a service is a fault', () => {
  assert.deepEqual(faultsOf('', { GREYMX_ADMIN_PORT: '8080' }).length, 1)
})

test('a fault in a variable names it, and comes after those of the file', () => {
  assert.deepEqual(
    faultsOf('header: maybe\ngreylist: { delay: 3m }\n', {
      GREYMX_GREYLIST_RETRY_WINDOW: '1m',
      GREYMX_EXEMPT_CLIENTS: '127.0.0.0/8,::1',
      GREYMX_EXEMPT_SENDERS: '[a@example.org, [b]]',
      GREYMX_DNSWL: '[list.dnswl.org',
      GREYMX_STORE: 'redis://user:secret@/0',
      GREYMX_GREYLST_DELAY: '5m',
      GREYMX_GREYLIST: '5m',
    }),
    [
      'milter.yaml:1:9: Cannot read header "maybe": expected true or false',
      'milter.yaml:2:20: greylist.delay 3m is not below greylist.retry_window 1m: expected a retry window that is longer than the delay, as no retry would pass otherwise',
      'GREYMX_STORE: Cannot read store "redis://***@/0": expected lmdb:DIR, memory, redis://HOST:PORT/DB, redis+unix:///PATH?db=0, redis+sentinel://HOST:PORT,…/NAME?db=0 or redis+cluster://HOST:PORT,…, with rediss for TLS and user:password@ where needed',
      'GREYMX_EXEMPT_CLIENTS: Cannot read exempt.clients "127.0.0.0/8,::1": expected an IP address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/',
      'GREYMX_EXEMPT_SENDERS: Cannot read exempt.senders a list: expected a single value',
      'GREYMX_DNSWL: Cannot read dnswl "[list.dnswl.org": Flow sequence must end with a ]',
      "GREYMX_GREYLST_DELAY: names no setting (did you mean GREYMX_GREYLIST_DELAY?): expected the setting's name as in GREYMX_GREYLIST_DELAY for greylist.delay",
      "GREYMX_GREYLIST: names no setting: expected the setting's name as in GREYMX_GREYLIST_DELAY for greylist.delay",
    ],
  )
  assert.deepEqual(faultsOf('', { GREYMX_GREYLIST_DELAY: '2d' }), [
    'GREYMX_GREYLIST_DELAY: greylist.delay 2d is not below greylist.retry_window 20h: expected a retry window that is longer than the delay, as no retry would pass otherwise',
  ])
  assert.deepEqual(faultsOf('', { GREYMX_LISTEN: '[' }).length, 1)
})

test('a faulty value in the file does no harm where a variable goes before it', () => {
  assert.deepEqual(faultsOf('header: maybe\n', { GREYMX_HEADER: 'true' }), [])
})

test('a setting that is one value or a group is what the variables say', () => {
  const whitelist = (text: string, environment: Variables) =>
    configOf(text, environment).greylist.autoWhitelist?.after
  const group = 'greylist: { auto_whitelist: { after: 5 } }\n'
  assert.equal(whitelist(group, { GREYMX_GREYLIST_AUTO_WHITELIST: 'false' }), undefined)
  assert.equal(whitelist(group, { GREYMX_GREYLIST_AUTO_WHITELIST_SPACING: '2h' }), 5)
  const off = 'greylist: { auto_whitelist: false }\n'
  assert.equal(whitelist(off, { GREYMX_GREYLIST_AUTO_WHITELIST_AFTER: '3' }), 3)
  const { greylisted } = configOf('recipients: all', { GREYMX_RECIPIENTS_ONLY: 'example.com' }).exempt
  assert.ok(greylisted !== 'store')
  assert.equal(greylisted.only?.length, 1)
  assert.deepEqual(faultsOf('', { GREYMX_RECIPIENTS: 'all', GREYMX_RECIPIENTS_ONLY: 'example.com' }), [
    'GREYMX_RECIPIENTS_ONLY: has no effect beside GREYMX_RECIPIENTS',
  ])
})

test('each setting has a variable of its own', () => {
  const reader = new ConfigReader('milter.yaml', 'recipients: { except: [] }')
  readConfig(reader)
  const names = [...reader.asked, 'recipients']
  assert.equal(new Set(names.map(variableOf)).size, names.length)
  assert.equal(variableOf('greylist.client.ipv4_prefix'), 'GREYMX_GREYLIST_CLIENT_IPV4_PREFIX')
})

test('settings are printed with where they come from', () => {
  const lines = printed('greylist:\n  delay: 5m\nlog: { level: warn }\n', {
    GREYMX_GREYLIST_DELAY: '10s',
    GREYMX_LISTEN: 'unix:/run/greymx.sock',
  }).split('\n')
  for (const line of [
    'listen: [unix:/run/greymx.sock] # GREYMX_LISTEN',
    'socket_mode: "0660"',
    'greylist:',
    '  delay: 10s # GREYMX_GREYLIST_DELAY',
    '  retry_window: 20h',
    '  client:',
    '    ipv4_prefix: 24',
    '  clients: [127.0.0.0/8, "::1/128"]',
    'log:',
    '  level: warn # milter.yaml:3',
    'reply: "451 4.7.1 Greylisted, please try again later ({ref})"',
  ]) {
    assert.ok(lines.includes(line), line)
  }
})

// Property: printed settings read back as the same texts.
test('what is printed is read back as it was', () => {
  const word = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      'null',
      '~',
      'true',
      '0660',
      '1e3',
      '-',
      '---',
      '# x',
      'a: b',
      'a #b',
      '<<',
      '.inf',
      'a:',
    ),
  )
  fc.assert(
    fc.property(word, fc.array(word), (value, list) => {
      const settings = [
        { name: 'reply', value, origin: undefined },
        { name: 'exempt.clients', value: list, origin: 'milter.yaml:3' },
        { name: 'exempt.spf', value: 'true', origin: 'GREYMX_EXEMPT_SPF' },
      ]
      const reader = new ConfigReader('printed.yaml', printSettings(settings))
      assert.equal(
        reader.text('reply', '', (text) => text),
        value,
      )
      assert.deepEqual(
        reader.list('exempt.clients', [], (text) => text),
        list,
      )
      assert.equal(reader.boolean('exempt.spf', false), true)
      assert.deepEqual(reader.faults, [])
    }),
    { numRuns: 1000 },
  )
})

test('what is printed has the same effect', () => {
  for (const text of [
    '',
    'recipients: { only: [a@] }',
    'greylist: { auto_whitelist: false }\nadmin: false',
  ]) {
    const again = printed(printed(text))
    assert.equal(again.replaceAll(/ # .*/g, ''), printed(text).replaceAll(/ # .*/g, ''))
  }
})

test('settings that are passwords are not among those that can be printed', () => {
  const text = printed('store: redis://h\nredis: { password: secret, sentinel: { password: secret } }\n', {
    GREYMX_REDIS_PASSWORD: 'secret',
  })
  assert.match(text, /^ {2}prefix: "greymx:"$/m)
  assert.doesNotMatch(text, /secret|password:/)
})
