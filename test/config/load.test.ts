// Tests of the configuration file: every kind of fault with its place and its exact words, and milter.yaml, which shows
// every setting with its default.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { loadAdminSocket, loadConfig, parseConfig } from '../../src/config/load.ts'
import { ConfigReader } from '../../src/config/reader.ts'
import { type Config, readConfig } from '../../src/config/schema.ts'
import { parseClientRule } from '../../src/exempt/clients.ts'
import { parseNetwork } from '../../src/ip.ts'
import { LIMITS } from '../milter/recording.ts'

const TOP =
  'listen, listen_policy, listen_exim, socket_mode, store, redis, store_timeout, on_store_error, on_store_full, local_store, local_entries, privacy, privacy_keys, greylist, exempt, trusted_relays, recipients, dnswl, only_if_listed, only_if, dns_servers, reply, header, limits, log, admin, admin_socket, admin_tokens, admin_page, admin_base'
const DURATION = 'expected a number and ms, s, m, h, d or w'
const SOCKETS = 'inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH'
const STORES =
  'expected lmdb:DIR, memory, redis://HOST:PORT/DB, redis+unix:///PATH?db=0, redis+sentinel://HOST:PORT,…/NAME?db=0 or redis+cluster://HOST:PORT,…, with rediss for TLS and user:password@ where needed'
const ADDRESSES = 'expected an address, a domain, a local part with its @ like postmaster@, <> or a /regex/'
const CLIENTS =
  'expected an IP address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/'
const NOT_BELOW = 'expected a retry window that is longer than the delay, as no retry would pass otherwise'

function faultsOf(text: string): readonly string[] {
  const loaded = parseConfig('milter.yaml', text)
  return loaded.kind === 'faults' ? loaded.faults : []
}

function configOf(text: string): Config {
  const loaded = parseConfig('milter.yaml', text)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  return loaded.config
}

/** Asserts that each text has exactly one fault: `LINE:COLUMN: message`. */
function assertFaults(cases: ReadonlyArray<readonly [text: string, fault: string]>): void {
  for (const [text, fault] of cases) assert.deepEqual(faultsOf(text), [`milter.yaml:${fault}`], text)
}

const REPLY_VALUES = { ref: 'REF', seconds: 9, recipient: 'a@b', domain: 'b', host: 'mx' }

/** The configuration with functions replaced by what they do, as functions cannot be compared. */
function comparable(config: Config) {
  return { ...JSON.parse(JSON.stringify(config)), reply: config.reply.fill(REPLY_VALUES) }
}

test('a file without settings is one with all defaults', () => {
  const defaults = configOf('')
  assert.deepEqual(defaults.listen, [{ kind: 'inet', host: '127.0.0.1', port: 10891 }])
  assert.equal(defaults.socketMode, 0o660)
  assert.deepEqual(defaults.store, { kind: 'lmdb', directory: './state' })
  assert.equal(defaults.storeTimeout, 250)
  assert.equal(defaults.greylist.onStoreError, 'accept')
  assert.deepEqual(defaults.local, { store: { kind: 'memory' }, entries: 100_000 })
  assert.deepEqual(defaults.greylist.times, {
    delay: 180_000,
    retryWindow: 72_000_000,
    lifetime: 3_110_400_000,
  })
  assert.deepEqual(defaults.identity, {
    spfDomain: true,
    hostDomain: true,
    ipv4Prefix: 24,
    ipv6Prefix: 64,
    asksSpf: true,
  })
  assert.equal(defaults.greylist.normalizeSender, true)
  assert.equal(defaults.greylist.maxDeferrals, 4)
  assert.deepEqual(defaults.greylist.autoWhitelist, {
    after: 1,
    spacing: 3_600_000,
    lifetime: 3_110_400_000,
  })
  assert.deepEqual(defaults.investigate, { exemptSpf: false, onlyIf: 'all' })
  assert.deepEqual([defaults.dns, defaults.dnswl, defaults.onlyIfListed], [{ servers: [] }, [], []])
  assert.deepEqual(defaults.exempt.trustedRelays, [])
  const { reply, milter } = defaults
  assert.deepEqual(milter, {
    judgeAt: 'rcpt',
    nat64Prefixes: [parseNetwork('64:ff9b::/96')],
    nullSenderAt: 'data',
    probeSenders: [
      { kind: 'local', local: 'double-bounce' },
      { kind: 'local', local: 'postmaster' },
    ],
    needsHelo: true,
    needsCertificate: false,
    header: true,
  })
  assert.deepEqual(reply.fill(REPLY_VALUES), {
    code: '451',
    enhanced: '4.7.1',
    lines: ['Greylisted, please try again later (REF)'],
  })
  assert.deepEqual(defaults.limits, LIMITS)
  assert.deepEqual(defaults.log, { level: 'info', format: 'text' })
  assert.deepEqual(defaults.admin, { host: '127.0.0.1', port: 10892 })
  assert.equal(defaults.adminSocket, './admin.sock')
  assert.equal(defaults.adminTokens, undefined)
  assert.equal(defaults.exempt.authenticated, true)
  assert.deepEqual(
    [defaults.exempt.clients.length, defaults.exempt.senders, defaults.exempt.recipients],
    [
      2,
      [],
      [
        { kind: 'local', local: 'postmaster' },
        { kind: 'local', local: 'abuse' },
      ],
    ],
  )
  for (const text of [
    '\n',
    '# nothing\n',
    '---\n',
    '--- {}\n',
    'null',
    '~',
    '\ufeff',
    '...\n',
    '\r\n# nothing\r\n',
  ]) {
    assert.deepEqual(comparable(configOf(text)), comparable(defaults), JSON.stringify(text))
  }
})

test('each setting is read', () => {
  const config = configOf(`
listen: [ "inet:1@h", inet6:2@::1, 'unix:/run/x.sock', local:/run/y.sock ]
socket_mode: "0600"
store: redis://u:p@h:1/2
redis:
  prefix: "mx:"
  sentinel: { username: watcher, password: 5ecret }
store_timeout: 1s
on_store_error: tempfail
local_store: lmdb:/var/lib/greymx/local
local_entries: 5000
greylist:
  delay: 5m
  retry_window: 1.5h
  lifetime: 1w
  key: [client, sender]
  client: { spf_domain: false, host_domain: false, ipv4_prefix: 32, ipv6_prefix: 48, nat64_prefixes: ['2001:db8::/32'] }
  normalize_sender: false
  null_sender_at: rcpt
  probe_senders: [verify.example.org]
  auto_whitelist: { after: 3, spacing: 10m, lifetime: 1w }
  max_deferrals: 0
exempt:
  authenticated: false
  tls_clients: [subject:mail.example.org]
  clients: []
  senders: example.org
  recipients: [a@example.org, /x/]
  client_files: [/etc/postgrey/whitelist_clients, local]
  sender_files: senders
  recipient_files: []
trusted_relays: [192.0.2.1, mx2.example.org]
dnswl: [list.dnswl.org]
only_if_listed: [ZEN.example.org, bl.example.net]
dns_servers: [127.0.0.1:5353, "[::1]:53", "::1", 192.0.2.53]
reply: |
  450 4.2.0 One {ref}
  two {seconds}
header: false
limits:
  connections: 100
  memory: 1GiB
  frame: 64KiB
  macros: 50
  recipients: 100
  stall: 30s
  idle: 10m
  idle_in_transaction: 1h
log: { level: warn, format: json }
admin: "[::1]:80"
admin_socket: unix:/run/greymx/admin.sock
`)
  assert.deepEqual(config.listen, [
    { kind: 'inet', host: 'h', port: 1 },
    { kind: 'inet6', host: '::1', port: 2 },
    { kind: 'unix', path: '/run/x.sock' },
    { kind: 'unix', path: '/run/y.sock' },
  ])
  assert.equal(config.socketMode, 0o600)
  assert.deepEqual(config.store, {
    kind: 'redis',
    redis: {
      servers: { kind: 'tcp', address: { host: 'h', port: 1 } },
      database: 2,
      prefix: 'mx:',
      login: { username: 'u', password: 'p' },
      sentinelLogin: { username: 'watcher', password: '5ecret' },
    },
  })
  assert.equal(config.storeTimeout, 1000)
  assert.equal(config.greylist.onStoreError, 'tempfail')
  assert.deepEqual(config.local, {
    store: { kind: 'lmdb', directory: '/var/lib/greymx/local' },
    entries: 5000,
  })
  assert.deepEqual(config.greylist.times, { delay: 300_000, retryWindow: 5_400_000, lifetime: 604_800_000 })
  assert.deepEqual(config.identity, {
    spfDomain: false,
    hostDomain: false,
    ipv4Prefix: 32,
    ipv6Prefix: 48,
    asksSpf: false,
  })
  assert.equal(config.greylist.normalizeSender, false)
  assert.equal(config.greylist.maxDeferrals, 0)
  assert.deepEqual(config.greylist.autoWhitelist, { after: 3, spacing: 600_000, lifetime: 604_800_000 })
  assert.deepEqual(config.exempt.trustedRelays, [
    parseClientRule('192.0.2.1'),
    parseClientRule('mx2.example.org'),
  ])
  assert.deepEqual(config.listFiles, {
    clients: ['/etc/postgrey/whitelist_clients', 'local'],
    senders: ['senders'],
    recipients: [],
  })
  const zones = (lists: typeof config.dnswl) => lists.map(({ zone }) => zone)
  assert.deepEqual(zones(config.dnswl), ['list.dnswl.org'])
  assert.deepEqual(zones(config.onlyIfListed), ['zen.example.org', 'bl.example.net'])
  assert.deepEqual(config.dns.servers, ['127.0.0.1:5353', '[::1]:53', '::1', '192.0.2.53'])
  const { authenticated, clients, senders, recipients } = config.exempt
  assert.deepEqual(
    [authenticated, clients, senders],
    [false, [], [{ kind: 'domain', domain: 'example.org' }]],
  )
  assert.deepEqual(
    recipients.map(({ kind }) => kind),
    ['address', 'pattern'],
  )
  const { reply, milter } = config
  assert.deepEqual(milter, {
    judgeAt: 'mail',
    nullSenderAt: 'rcpt',
    probeSenders: [{ kind: 'domain', domain: 'verify.example.org' }],
    nat64Prefixes: [parseNetwork('2001:db8::/32')],
    needsHelo: false,
    needsCertificate: true,
    header: false,
  })
  assert.deepEqual(reply.fill(REPLY_VALUES), { code: '450', enhanced: '4.2.0', lines: ['One REF', 'two 9'] })
  assert.deepEqual(config.limits, {
    connections: 100,
    memory: 1024 ** 3,
    frame: 65_536,
    macros: 50,
    recipients: 100,
    stall: 30_000,
    idle: 600_000,
    idleInTransaction: 3_600_000,
  })
  assert.deepEqual(config.log, { level: 'warn', format: 'json' })
  assert.deepEqual(config.admin, { host: '::1', port: 80 })
  assert.equal(config.adminSocket, '/run/greymx/admin.sock')
})

test('the page has readers and a base, which is a path or a URL without more', () => {
  const pageOf = (text: string) => configOf(text).adminPage
  assert.deepEqual(pageOf(''), { readers: 'loopback', base: { path: '', isHttps: false } })
  assert.equal(pageOf('admin_page: false'), undefined)
  assert.equal(pageOf('admin_page: token')?.readers, 'token')
  const baseOf = (text: string) => pageOf(`admin_base: ${text}`)?.base
  assert.deepEqual(baseOf('/ops/greymx/'), { path: '/ops/greymx', isHttps: false })
  assert.deepEqual(baseOf('https://MX.example.org/greymx'), {
    ...{ path: '/greymx', isHttps: true, host: 'mx.example.org' },
  })
  assert.deepEqual(baseOf('http://mx.example.org:8080'), {
    path: '',
    isHttps: false,
    host: 'mx.example.org:8080',
  })
  for (const text of ['greymx', '//evil.example', 'ftp://a.test/', '/a b', '/a?b', '/a#b', '/../x@y'])
    assertFaults([
      [
        `admin_base: "${text}"\n`,
        `1:13: Cannot read admin_base "${text}": expected a path like /greymx, or a URL like https://mx.example.org/greymx`,
      ],
    ])
  assertFaults([
    [
      'admin_page: everybody\n',
      '1:13: Cannot read admin_page "everybody": expected loopback or token or false',
    ],
  ])
})

test('admin_tokens is a file in which each line is NAME TOKEN, and no token is shown', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'greymx-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'tokens')
  const secret = 's3cr3t-'.repeat(3)
  writeFileSync(file, `# who may call\n\n monitoring\t${secret} \n`)
  assert.equal(configOf(`admin_tokens: ${file}`).adminTokens, file)
  const cases = [
    ['', 'there is no token in it'],
    ['# nothing\n', 'there is no token in it'],
    [`${secret}\n`, 'line 1: it has 1 words: expected NAME TOKEN'],
    [`a ${secret} b\n`, 'line 1: it has 3 words: expected NAME TOKEN'],
    [`a ${secret}\na ${secret}x\n`, 'line 2: there is another token of a'],
    ['a s3cr3t\n', 'line 1: the token of a has 6 characters: expected 20 or more'],
    [`a ${secret}\u00e4\n`, 'line 1: the token of a has characters that HTTP cannot carry: expected ASCII'],
    [`a/b ${secret}\n`, 'line 1: expected a name of at most 64 letters, digits and . _ - @'],
    [`a ${secret}\n`.repeat(4000), 'it has more than 65536 characters'],
  ] as const
  for (const [text, problem] of cases) {
    writeFileSync(file, text)
    const fault = `1:15: Cannot read admin_tokens "${file}": expected a file of lines NAME TOKEN: ${problem}`
    assertFaults([[`admin_tokens: ${file}\n`, fault]])
    assert.ok(!fault.includes('s3cr3t'))
  }
  assertFaults([
    [
      `admin_tokens: ${dir}/none\n`,
      `1:15: Cannot read admin_tokens "${dir}/none": expected a file of lines NAME TOKEN: no such file`,
    ],
  ])
})

test('privacy: hmac needs a file of one key or two, and no key is shown', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'greymx-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'keys')
  const [one, other] = ['k3y-'.repeat(8), 'k3z-'.repeat(8)]
  const given = `privacy: hmac\nprivacy_keys: ${file}\n`
  writeFileSync(file, `# made by openssl\n${one}\n`)
  assert.deepEqual(configOf(given).greylist.privacy, [one])
  assert.equal(configOf(`privacy_keys: ${file}\n`).greylist.privacy, undefined)
  for (const former of [other, 'none']) {
    writeFileSync(file, `${one}\n${former}\n`)
    assert.deepEqual(configOf(given).greylist.privacy, [one, former])
  }
  const what = 'expected a file of one key, or of two where the second is the former one or none'
  for (const [text, problem] of [
    ['', 'there is no key in it'],
    ['k3y', 'key 1 has 3 characters: expected 32 or more, as of openssl rand -hex 32'],
    ['none', 'the first key is none'],
    [`${one}\n${one}`, 'both keys are the same'],
    [`${one}\n${other}\nnone`, 'there are 3 keys in it'],
  ] as const) {
    writeFileSync(file, text)
    assertFaults([[given, `2:15: Cannot read privacy_keys "${file}": ${what}: ${problem}`]])
  }
  const missing = `privacy: hmac\nprivacy_keys: ${dir}/none\n`
  assertFaults([
    [missing, `2:15: Cannot read privacy_keys "${dir}/none": ${what}: no such file`],
    ['privacy: hmac\n', '1:10: privacy is hmac without keys: expected privacy_keys: FILE'],
  ])
})

test('who asks the daemon needs no setting but admin_socket', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'greymx-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'milter.yaml')
  writeFileSync(file, 'privacy: hmac\nprivacy_keys: /nowhere\nadmin_socket: /run/a.sock\nstroe: memory\n')
  assert.deepEqual(loadAdminSocket(file, {}), { kind: 'path', path: '/run/a.sock' })
  assert.deepEqual(loadAdminSocket(file, { GREYMX_ADMIN_SOCKET: 'false' }), { kind: 'path', path: undefined })
  writeFileSync(file, 'admin_socket: [\n')
  assert.equal(loadAdminSocket(file, {}).kind, 'faults')
  assert.deepEqual(loadAdminSocket(join(dir, 'none'), {}), {
    kind: 'faults',
    faults: [`${dir}/none: no such file`],
  })
})

test('admin_socket is a path that the kernel takes, with or without unix:, or false', () => {
  for (const path of ['admin.sock', './a/b.sock', '/run/a.sock', `/${'a'.repeat(106)}`])
    assert.equal(configOf(`admin_socket: ${path}`).adminSocket, path)
  assert.equal(configOf('admin_socket: unix:/a').adminSocket, '/a')
  for (const off of ['false', '"false"'])
    assert.equal(configOf(`admin_socket: ${off}`).adminSocket, undefined, off)
  const forms = 'expected the path of a unix socket like ./admin.sock or unix:/PATH, or false'
  const long = `/${'a'.repeat(107)}`
  const same = 'admin_socket and listen have the same path: expected a path of its own for each'
  assertFaults([
    ['admin_socket: /a\nlisten: [inet:1@h, unix:/a]\n', `1:15: ${same}`],
    [`listen: unix:${process.cwd()}/admin.sock\n`, `1:9: ${same}`],
    ['admin_socket: inet:1@h\n', `1:15: Cannot read admin_socket "inet:1@h": ${forms}`],
    ['admin_socket: unix:a\n', `1:15: Cannot read admin_socket "unix:a": ${forms}`],
    ['admin_socket: /run/\n', `1:15: Cannot read admin_socket "/run/": ${forms}`],
    ['admin_socket: ""\n', `1:15: Cannot read admin_socket "": ${forms}`],
    [
      `admin_socket: ${long}\n`,
      `1:15: Cannot read admin_socket "${long}": expected a path of 107 bytes at most, as the kernel takes no longer one`,
    ],
  ])
})

test('each door has sockets of its own', () => {
  assert.deepEqual(configOf('').listenPolicy, [])
  const { listenPolicy } = configOf('listen_policy: [inet:10023@127.0.0.1, unix:/run/policy.sock]')
  assert.deepEqual(listenPolicy, [
    { kind: 'inet', host: '127.0.0.1', port: 10023 },
    { kind: 'unix', path: '/run/policy.sock' },
  ])
  assert.deepEqual(configOf('').listenExim, [])
  assert.deepEqual(configOf('listen_exim: unix:/run/exim.sock').listenExim, [
    { kind: 'unix', path: '/run/exim.sock' },
  ])
  configOf('listen: inet:0@h\nlisten_policy: inet:0@h\n')
  const same = 'listen and listen_policy have the same socket: expected a socket of its own for each'
  assertFaults([
    ['listen: inet:1@h\nlisten_policy: [unix:/a, inet:1@h]\n', `1:9: ${same}`],
    [
      'admin_socket: /a\nlisten_policy: unix:/a\n',
      '1:15: admin_socket and listen_policy have the same path: expected a path of its own for each',
    ],
    [
      'listen_policy: unix:/a\nlisten_exim: unix:/a\n',
      '1:16: listen_policy and listen_exim have the same socket: expected a socket of its own for each',
    ],
    [
      'listen_policy: 10023\n',
      '1:16: Cannot read listen_policy "10023": expected inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH',
    ],
  ])
})

test('values are read as an operator writes them, quoted or not', () => {
  for (const mode of ['0660', '"0660"', '660', "'660'"]) {
    assert.equal(configOf(`socket_mode: ${mode}`).socketMode, 0o660, mode)
  }
  for (const off of ['false', '"false"']) assert.equal(configOf(`admin: ${off}`).admin, undefined, off)
  for (const yes of ['true', '"true"']) assert.equal(configOf(`header: ${yes}`).milter.header, true, yes)
  assert.equal(configOf('greylist: { client: { ipv4_prefix: "32" } }').identity.ipv4Prefix, 32)
  assert.deepEqual(configOf('listen: unix:/a').listen, configOf('listen: ["unix:/a"]').listen)
  assert.equal(configOf('header: false\r\nadmin: 127.0.0.1:1\r\n').admin?.port, 1)
})

test('True and FALSE are true and false, as YAML has it', () => {
  assert.equal(configOf('header: True').milter.header, true)
  assert.equal(configOf('header: FALSE').milter.header, false)
  assert.equal(configOf('admin: False').admin, undefined)
})

test('a setting without a value, or with null, has its default', () => {
  const text = 'listen:\nstore: ~\ngreylist:\nexempt: null\nlog: { level: , format: null }\nheader: Null\n'
  assert.deepEqual(comparable(configOf(text)), comparable(configOf('')))
})

test('an unknown setting is named with what is known in its place', () => {
  const known =
    'expected authenticated, tls_clients, clients, senders, recipients, client_files, sender_files, recipient_files, spf'
  assertFaults([
    [
      'listen: inet:1@h\nlissten: inet:2@h\n',
      `2:1: unknown setting lissten (did you mean listen?): expected ${TOP}`,
    ],
    [
      'greylist:\n  delay: 5m\n  dealy: 5m\n',
      '3:3: unknown setting greylist.dealy (did you mean greylist.delay?): expected mode, delay, retry_window, lifetime, key, client, normalize_sender, null_sender_at, probe_senders, auto_whitelist, max_deferrals, max_pending, credit, learn_replies',
    ],
    [
      'greylist:\n  client: { ipv4_prefix: 24, ipv5_prefix: 24 }\n',
      '2:30: unknown setting greylist.client.ipv5_prefix (did you mean greylist.client.ipv4_prefix or greylist.client.ipv6_prefix?): expected spf_domain, host_domain, ipv4_prefix, ipv6_prefix, nat64_prefixes',
    ],
    [
      'exempt:\n  client: []\n',
      `2:3: unknown setting exempt.client (did you mean exempt.clients?): ${known}`,
    ],
    [
      'log: { levle: info }\n',
      '1:8: unknown setting log.levle (did you mean log.level?): expected level, format',
    ],
    ['delay: 5m\n', `1:1: unknown setting delay (did you mean greylist.delay?): expected ${TOP}`],
    ['Listen: inet:1@h\n', `1:1: unknown setting Listen (did you mean listen?): expected ${TOP}`],
    ['foo:\n', `1:1: unknown setting foo: expected ${TOP}`],
    ['foo: { bar: [1] }\n', `1:1: unknown setting foo: expected ${TOP}`],
    ['1: 2\n', `1:1: unknown setting 1: expected ${TOP}`],
    ['[a]: b\n', `1:1: unknown setting ?: expected ${TOP}`],
    ['__proto__: 1\n', `1:1: unknown setting __proto__: expected ${TOP}`],
  ])
})

test('a dotted name is no setting: it would be overlooked where it stands', () => {
  assertFaults([
    ['greylist.delay: 10m\n', `1:1: unknown setting greylist.delay: expected ${TOP}`],
    [
      'greylist:\n  client.ipv4_prefix: 32\n',
      '2:3: unknown setting greylist.client.ipv4_prefix: expected mode, delay, retry_window, lifetime, key, client, normalize_sender, null_sender_at, probe_senders, auto_whitelist, max_deferrals, max_pending, credit, learn_replies',
    ],
    ['greylist.client: { ipv4_prefix: 32 }\n', `1:1: unknown setting greylist.client: expected ${TOP}`],
  ])
})

test('a value that cannot be read is shown, with its place and what is expected', () => {
  assertFaults([
    ['listen: 10891\n', `1:9: Cannot read listen "10891": expected ${SOCKETS}`],
    [
      'listen: [ "inet:1@h", "inet:70000@h" ]\n',
      `1:23: Cannot read listen "inet:70000@h": expected ${SOCKETS}`,
    ],
    ['listen: unix:relative\n', `1:9: Cannot read listen "unix:relative": expected ${SOCKETS}`],
    ['listen: []\n', `1:9: Cannot read listen: expected at least one of ${SOCKETS}`],
    ['socket_mode: 0990\n', '1:14: Cannot read socket_mode "0990": expected octal permissions like "0660"'],
    [
      'socket_mode: rw-rw----\n',
      '1:14: Cannot read socket_mode "rw-rw----": expected octal permissions like "0660"',
    ],
    ['store: redis\n', `1:8: Cannot read store "redis": ${STORES}`],
    ['store_timeout: 250\n', `1:16: Cannot read store_timeout "250": ${DURATION}`],
    ['store_timeout: 61s\n', '1:16: Cannot read store_timeout "61s": expected 1ms to 1m'],
    [
      'on_store_error: reject\n',
      '1:17: Cannot read on_store_error "reject": expected accept or tempfail or local',
    ],
    ['local_store: redis://h\n', '1:14: Cannot read local_store "redis://h": expected memory or lmdb:DIR'],
    [
      'local_entries: 10\n',
      '1:16: Cannot read local_entries "10": expected a whole number from 1000 to 10000000',
    ],
    [
      'on_store_error: local\nlocal_store: lmdb:state/\nstore: lmdb:./state\n',
      '2:14: local_store and store are the same directory: expected a directory of its own for each',
    ],
    ['greylist:\n  delay: 5 minutes\n', `2:10: Cannot read greylist.delay "5 minutes": ${DURATION}`],
    ['greylist:\n  delay: 0s\n', '2:10: Cannot read greylist.delay "0s": expected 1ms to 366d'],
    [
      'greylist:\n  lifetime: 99999w\n',
      '2:13: Cannot read greylist.lifetime "99999w": expected 1ms to 3660d',
    ],
    [
      'greylist:\n  client:\n    ipv4_prefix: 33\n',
      '3:18: Cannot read greylist.client.ipv4_prefix "33": expected a whole number from 1 to 32',
    ],
    [
      'greylist: { client: { ipv6_prefix: 0 } }\n',
      '1:36: Cannot read greylist.client.ipv6_prefix "0": expected a whole number from 1 to 128',
    ],
    [
      'greylist: { null_sender_at: mail }\n',
      '1:29: Cannot read greylist.null_sender_at "mail": expected rcpt or data',
    ],
    [
      'exempt:\n  tls_clients:\n    - mail.example.org\n',
      '3:7: Cannot read exempt.tls_clients "mail.example.org": expected fingerprint:HEX, subject:NAME, issuer:NAME, or several of them like "subject:NAME issuer:NAME"',
    ],
    [
      'exempt: { authenticated: yes }\n',
      '1:26: Cannot read exempt.authenticated "yes": expected true or false',
    ],
    ['exempt: { clients: [127.1] }\n', `1:21: Cannot read exempt.clients "127.1": ${CLIENTS}`],
    ['exempt:\n  senders:\n    - a@b\n    - "@b"\n', `4:7: Cannot read exempt.senders "@b": ${ADDRESSES}`],
    [
      'exempt: { recipients: ["/(a)\\\\1/"] }\n',
      '1:24: Cannot read exempt.recipients "/(a)\\\\1/": error parsing regexp: invalid escape sequence: `\\1`',
    ],
    [
      'reply: 551 5.7.1 Go away\n',
      '1:8: Cannot read reply "551 5.7.1 Go away": expected a temporary reply code, 400 to 459 and not 421, which ends the session; found 551',
    ],
    ['header: maybe\n', '1:9: Cannot read header "maybe": expected true or false'],
    [
      'limits: { frame: 1000 }\n',
      '1:18: Cannot read limits.frame "1000": expected a number and B, KiB, MiB or GiB',
    ],
    [
      'limits: { frame: 64KB }\n',
      '1:18: Cannot read limits.frame "64KB": expected a number and B, KiB, MiB or GiB',
    ],
    ['limits: { frame: 1KiB }\n', '1:18: Cannot read limits.frame "1KiB": expected 64KiB to 64MiB'],
    [
      'limits: { recipients: 10 }\n',
      '1:23: Cannot read limits.recipients "10": expected a whole number from 100 to 1000000',
    ],
    ['limits: { idle: 0s }\n', '1:17: Cannot read limits.idle "0s": expected 1s to 30d'],
    ['log: { level: loud }\n', '1:15: Cannot read log.level "loud": expected debug or info or warn or error'],
    ['log: { format: xml }\n', '1:16: Cannot read log.format "xml": expected text or json'],
    ['admin: 10892\n', '1:8: Cannot read admin "10892": expected HOST:PORT like 127.0.0.1:10892, or false'],
    ['admin: true\n', '1:8: Cannot read admin "true": expected HOST:PORT like 127.0.0.1:10892, or false'],
    [
      'admin: h:65536\n',
      '1:8: Cannot read admin "h:65536": expected HOST:PORT like 127.0.0.1:10892, or false',
    ],
  ])
})

test('a list or a group where a single value belongs, and the other way round, is a fault', () => {
  assertFaults([
    ['store: [memory:]\n', '1:8: Cannot read store a list: expected a single value'],
    ['store:\n  redis: h\n', '2:3: Cannot read store a group of settings: expected a single value'],
    ['listen: { port: 1 }\n', '1:9: Cannot read listen a group of settings: expected a single value'],
    ['listen: [["inet:1@h"]]\n', '1:10: Cannot read listen a list: expected a single value'],
    ['greylist: 5m\n', '1:11: Cannot read greylist "5m": expected settings below it'],
    ['greylist: [delay]\n', '1:11: Cannot read greylist a list: expected settings below it'],
    ['greylist:\n  client: 24\n', '2:11: Cannot read greylist.client "24": expected settings below it'],
    ['log: info\n', '1:6: Cannot read log "info": expected settings below it'],
    ['- listen\n', '1:1: the file is a list: expected settings like listen: …'],
    ['listen\n', '1:1: the file is "listen": expected settings like listen: …'],
    ['listen=inet:1@h\n', '1:1: the file is "listen=inet:1@h": expected settings like listen: …'],
  ])
})

test('an alias and an empty item are named as what they are', () => {
  assertFaults([
    [
      'admin: &a "h:1"\nlisten: *a\n',
      '2:9: Cannot read listen an alias: expected a single value: a value that begins with * needs quotes',
    ],
    ['exempt: { clients: [null] }\n', '1:21: Cannot read exempt.clients "null": expected a value'],
    ['exempt:\n  clients:\n    - ~\n', '3:7: Cannot read exempt.clients "null": expected a value'],
  ])
})

test('what is no YAML is told with its place', () => {
  const cases: Array<[text: string, place: string, what: RegExp]> = [
    ['listen: "inet:1@h\n', '2:1: ', /quote/],
    ['listen: [a, b\n', '', /./],
    ['\tlisten: a\n', '1:1: ', /Tabs/],
    ['listen: a: b\n', '1:9: ', /Nested mappings/],
    ['header: true\nheader: false\n', '2:1: ', /^Map keys must be unique$/],
    ['greylist:\n  delay: 5m\n  delay: 6m\n', '3:3: ', /^Map keys must be unique$/],
    ['log: *nowhere\n', '1:6: ', /alias|anchor/i],
    ['header: !wrong true\n', '1:9: ', /tag/],
    ['---\nheader: true\n---\nheader: false\n', '3:1: ', /multiple documents/],
    ['reply: @x\n', '1:8: ', /reserved/],
  ]
  for (const [text, place, what] of cases) {
    const [first = ''] = faultsOf(text)
    assert.ok(first.startsWith(`milter.yaml:${place}`), `${JSON.stringify(text)}: ${first}`)
    assert.match(first.replace(/^milter\.yaml:\d+:\d+: /, ''), what)
    assert.match(first, /^milter\.yaml:\d+:\d+: \S/)
  }
})

test('the delay must be below the retry window, whichever of them the file has', () => {
  const said = (delay: string, window: string) =>
    `greylist.delay ${delay} is not below greylist.retry_window ${window}: ${NOT_BELOW}`
  assertFaults([
    ['greylist:\n  retry_window: 4m\n  delay: 5m\n', `3:10: ${said('5m', '4m')}`],
    ['greylist:\n  delay: 20h\n', `2:10: ${said('20h', '20h')}`],
    ['greylist:\n  retry_window: 180s\n', `2:17: ${said('3m', '3m')}`],
  ])
  assert.equal(configOf('greylist: { delay: 1ms, retry_window: 2ms }').greylist.times.delay, 1)
})

test('SPF is asked where the client, an exemption or a suspicion depends on it', () => {
  const cases: Array<[text: string, asked: boolean]> = [
    ['', true],
    ['greylist: { client: { spf_domain: false } }', false],
    ['greylist: { client: { spf_domain: false } }\nexempt: { spf: true }', true],
    ['greylist: { client: { spf_domain: false } }\nonly_if: suspicious', true],
  ]
  for (const [text, asked] of cases) {
    const { identity, milter } = configOf(text)
    assert.deepEqual([identity.asksSpf, milter.needsHelo], [asked, asked], text)
  }
})

test('credit is a group of settings, or false', () => {
  assert.equal(configOf('').greylist.credit, undefined)
  assert.equal(configOf('greylist: { credit: false }').greylist.credit, undefined)
  const { credit } = configOf('greylist: { credit: { messages: 3 } }').greylist
  assert.deepEqual(credit, { messages: 3, perNetwork: 2 })
  assertFaults([
    [
      'greylist: { credit: 2 }\n',
      '1:21: Cannot read greylist.credit "2": expected settings below it, or false',
    ],
    [
      'greylist: { credit: { per_network: 0 } }\n',
      '1:36: Cannot read greylist.credit.per_network "0": expected a whole number from 1 to 1000',
    ],
  ])
})

test('what users write is learnt for a time, or not', () => {
  assert.equal(configOf('').greylist.learnReplies, undefined)
  assert.equal(configOf('greylist: { learn_replies: 30d }').greylist.learnReplies, 2_592_000_000)
  assertFaults([
    [
      'greylist: { learn_replies: true }\n',
      '1:28: Cannot read greylist.learn_replies "true": expected false, or a number and ms, s, m, h, d or w',
    ],
  ])
})

test('the auto-whitelist is a group of settings, or false', () => {
  assert.equal(configOf('greylist: { auto_whitelist: false }').greylist.autoWhitelist, undefined)
  assert.equal(configOf('greylist: { auto_whitelist: { after: 3 } }').greylist.autoWhitelist?.after, 3)
  assert.equal(configOf('greylist: { auto_whitelist: }').greylist.autoWhitelist?.after, 1)
  assertFaults([
    [
      'greylist: { auto_whitelist: true }\n',
      '1:29: Cannot read greylist.auto_whitelist "true": expected settings below it, or false',
    ],
    [
      'greylist: { auto_whitelist: { after: 0 } }\n',
      '1:38: Cannot read greylist.auto_whitelist.after "0": expected a whole number from 1 to 1000000',
    ],
  ])
})

test('prefixes of NAT64 are read strictly', () => {
  const expected = 'expected an IPv6 network with a prefix of 32, 40, 48, 56, 64, 96 bits, like 64:ff9b::/96'
  for (const prefix of ['64:ff9b::/97', '2001:db8::/36', '64:ff9b::', '192.0.2.0/24', '::ffff:0:0/96', 'x']) {
    assert.deepEqual(faultsOf(`greylist: { client: { nat64_prefixes: ["${prefix}"] } }\n`), [
      `milter.yaml:1:40: Cannot read greylist.client.nat64_prefixes "${prefix}": ${expected}`,
    ])
  }
})

test('DNS servers and zones are read strictly', () => {
  const server = 'expected IP or IP:PORT, with [IP]:PORT for IPv6'
  const zone = 'expected a DNS zone like list.dnswl.org'
  const filter =
    'expected four numbers from 0 to 255 after =, or lists of them in brackets, like 127.0.[0..255].[1;3..5]'
  assertFaults([
    ['dns_servers: [localhost]\n', `1:15: Cannot read dns_servers "localhost": ${server}`],
    ['dns_servers: 127.0.0.1:0\n', `1:14: Cannot read dns_servers "127.0.0.1:0": ${server}`],
    ['dns_servers: 127.0.0.1:65536\n', `1:14: Cannot read dns_servers "127.0.0.1:65536": ${server}`],
    ['dns_servers: "::1:5353x"\n', `1:14: Cannot read dns_servers "::1:5353x": ${server}`],
    ['dnswl: list\n', `1:8: Cannot read dnswl "list": ${zone}`],
    ['only_if_listed: [a b.c]\n', `1:18: Cannot read only_if_listed "a b.c": ${zone}`],
    ['dnswl: [a.b, "a.b=127.0.0"]\n', `1:14: Cannot read dnswl "a.b=127.0.0": ${filter}`],
    ['dnswl: "a.b=127.0.0.2*3"\n', `1:8: Cannot read dnswl "a.b=127.0.0.2*3": ${filter}`],
    [
      'only_if_listed:\n  - a.b=127.0.0.[5..2]\n',
      '2:5: Cannot read only_if_listed "a.b=127.0.0.[5..2]": expected numbers from 0 to 255, and ranges from less to more, in place of 5..2',
    ],
    ['only_if: odd\n', '1:10: Cannot read only_if "odd": expected all or suspicious'],
    [
      'exempt: { client_files: [""] }\n',
      '1:26: Cannot read exempt.client_files "": expected the path of a file',
    ],
  ])
})

test('a value that cannot be read is told once, and not judged by its default as well', () => {
  assertFaults([
    ['greylist: { delay: 5x, retry_window: 3m }\n', `1:20: Cannot read greylist.delay "5x": ${DURATION}`],
    [
      'greylist: { delay: 3d, retry_window: 5x }\n',
      `1:38: Cannot read greylist.retry_window "5x": ${DURATION}`,
    ],
    ['listen: nowhere\n', `1:9: Cannot read listen "nowhere": expected ${SOCKETS}`],
    [
      'greylist: { key: [client, [sender]] }\n',
      '1:27: Cannot read greylist.key a list: expected a single value',
    ],
  ])
})

test('greylist.key has two values', () => {
  const expected = 'expected [client, sender, recipient] or [client, sender]'
  assert.equal(configOf('greylist: { key: [client, sender, recipient] }').milter.judgeAt, 'rcpt')
  assert.equal(configOf('greylist: { key: [client, sender] }').milter.judgeAt, 'mail')
  for (const key of [
    '[]',
    '[client]',
    'client',
    '[sender, client]',
    '[client, recipient]',
    '[client, sender, sender]',
  ]) {
    assert.deepEqual(
      faultsOf(`greylist: { key: ${key} }`),
      [`milter.yaml:1:18: Cannot read greylist.key: ${expected}`],
      key,
    )
  }
})

test('greylist.key as one text is a fault, not a key without recipient', () => {
  for (const key of [
    '"client,sender,recipient"',
    '[client, "sender,recipient"]',
    '"client,sender"',
    '[client, to]',
  ]) {
    const faults = faultsOf(`greylist: { key: ${key} }`)
    assert.ok(faults.length > 0, key)
    for (const fault of faults) assert.match(fault, /^milter\.yaml:1:\d+: Cannot read greylist\.key /)
  }
})

test('all faults are told together, in the order of the file', () => {
  assert.deepEqual(
    faultsOf(`header: maybe
foo: 1
greylist:
  lifetime: long
  delay: 3d
  bar: 2
admin: off
listen: [nowhere, "inet:1@h", neither]
`),
    [
      'milter.yaml:1:9: Cannot read header "maybe": expected true or false',
      `milter.yaml:2:1: unknown setting foo: expected ${TOP}`,
      `milter.yaml:4:13: Cannot read greylist.lifetime "long": ${DURATION}`,
      `milter.yaml:5:10: greylist.delay 3d is not below greylist.retry_window 20h: ${NOT_BELOW}`,
      'milter.yaml:6:3: unknown setting greylist.bar: expected mode, delay, retry_window, lifetime, key, client, normalize_sender, null_sender_at, probe_senders, auto_whitelist, max_deferrals, max_pending, credit, learn_replies',
      'milter.yaml:7:8: Cannot read admin "off": expected HOST:PORT like 127.0.0.1:10892, or false',
      `milter.yaml:8:10: Cannot read listen "nowhere": expected ${SOCKETS}`,
      `milter.yaml:8:31: Cannot read listen "neither": expected ${SOCKETS}`,
    ],
  )
})

test('a password in a URL never shows, wherever the URL stands', () => {
  const cases = [
    'store: redis://user:secret@h:6379/x',
    'store: rediss://:secret@h:99999',
    'store: redis://user:secret@/0',
    'store: redis+unix://user:secret@/run/redis.sock?db=x',
    'listen: redis://user:secret@h/0',
    'admin: redis://user:secret@h/0',
    'greylist: redis://user:secret@h/0',
    'greylist: { delay: "redis://user:secret@h/0" }',
    'exempt: { clients: ["redis://user:secret@h/0"] }',
    'redis://user:secret@h/0',
    'store:redis://user:secret@h/0',
    'header: true\nstore:redis://user:secret@h/0',
    'store: "redis://user:secret@h/0',
    'store: [redis://user:secret@h/0',
  ]
  for (const text of cases) {
    const faults = faultsOf(text)
    assert.ok(faults.length > 0, text)
    for (const fault of faults) assert.doesNotMatch(fault, /secret/, text)
  }
  assert.match(faultsOf(cases[0] ?? '')[0] ?? '', /"redis:\/\/\*\*\*@h:6379\/x"/)
})

test('a password that should have been percent-encoded does not show either', () => {
  for (const password of [
    'pa/secret',
    'pa@secret',
    '/secret',
    'secret/+=',
    'pa/se@secret',
    'pa?secret',
    'pa#secret',
    'secret%',
  ]) {
    for (const store of [
      `redis://:${password}@h:6379/0`,
      `redis://u:${password}@h:x/0`,
      `redis+unix://u:${password}@/s`,
    ]) {
      for (const text of [`store: "${store}"`, `header: ${store}`]) {
        for (const fault of faultsOf(text)) assert.doesNotMatch(fault, /secret/, text)
      }
    }
  }
})

test('a store URL that is not percent-encoded is told like any other that cannot be read', () => {
  assertFaults([['store: redis://u:100%@h\n', `1:8: Cannot read store "redis://***@h": ${STORES}`]])
})

test('loadConfig() names the file as it was given, and tells when it cannot be read', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'greymx-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'other.yaml')
  writeFileSync(file, 'header: maybe\n')
  assert.deepEqual(loadConfig(file), {
    kind: 'faults',
    faults: [`${file}:1:9: Cannot read header "maybe": expected true or false`],
  })
  writeFileSync(file, 'header: false\n')
  const loaded = loadConfig(file)
  assert.ok(loaded.kind === 'config' && !loaded.config.milter.header)
  for (const [unreadable, problem] of [
    [join(dir, 'absent.yaml'), 'no such file'],
    [join(file, 'below.yaml'), 'no such file'],
    [dir, 'it is a folder'],
  ]) {
    assert.deepEqual(loadConfig(unreadable), { kind: 'faults', faults: [`${unreadable}: ${problem}`] })
  }
})

const SETTINGS_TEXT = readFileSync('milter.yaml', 'utf8')

test('milter.yaml shows the defaults', () => {
  assert.deepEqual(comparable(configOf(SETTINGS_TEXT)), comparable(configOf('')))
})

test('milter.yaml shows every setting there is', () => {
  const reader = new ConfigReader('milter.yaml', SETTINGS_TEXT)
  readConfig(reader)
  const shown = parse(SETTINGS_TEXT)
  for (const name of reader.asked) {
    const value = name.split('.').reduce((group, key) => group?.[key], shown)
    assert.notEqual(value, undefined, `${name} is missing`)
    assert.notEqual(value, null, `${name} has no value`)
  }
  assert.equal(new Set(reader.asked).size, reader.asked.length)
})

const SNIPPET = fc.constantFrom(
  ...[
    'listen',
    'store',
    'greylist',
    'delay',
    'client',
    'exempt',
    'clients',
    'log',
    'level',
    'admin',
    'reply',
  ],
  ...[
    ': ',
    ':\n  ',
    '\n',
    '\n  ',
    '\n- ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '"',
    "'",
    '|\n',
    '>\n',
    '? ',
    '#',
    '%YAML',
  ],
  ...[
    '&a ',
    '*a',
    '!!int ',
    '!x ',
    '<<: ',
    '---\n',
    '...\n',
    '\t',
    '\r',
    '\0',
    '~',
    'null',
    '5m',
    '0660',
    '/(/',
    '.',
  ],
)

// Property: any text is a configuration or gives faults, each with file, line and column.
test('any text is a configuration or has faults', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: SNIPPET, maxLength: 30 }),
  )
  fc.assert(
    fc.property(text, (content) => {
      const loaded = parseConfig('milter.yaml', content)
      if (loaded.kind === 'config') return
      assert.ok(loaded.faults.length > 0)
      for (const fault of loaded.faults) assert.match(fault, /^milter\.yaml:[1-9]\d*:[1-9]\d*: \S/)
    }),
    { numRuns: 3000 },
  )
})

// Property: with any other value in place of one in milter.yaml, nothing throws and the other settings stay.
test('any value in the place of a setting is read or a fault', () => {
  const lines = SETTINGS_TEXT.split('\n')
  const settings = lines.flatMap((line, index) => (/^ *[a-z0-9_]+: \S/.test(line) ? [index] : []))
  const value = fc.oneof(
    fc.string({ unit: SNIPPET, maxLength: 4 }),
    fc.string({ unit: 'grapheme-ascii' }).map((text) => JSON.stringify(text)),
  )
  fc.assert(
    fc.property(fc.constantFrom(...settings), value, (index, text) => {
      const changed = lines
        .with(
          index,
          (lines[index] ?? '').replace(/: .*/, () => `: ${text}`),
        )
        .join('\n')
      const loaded = parseConfig('milter.yaml', changed)
      if (loaded.kind === 'faults')
        assert.ok(loaded.faults.every((fault) => /^milter\.yaml:\d+:\d+: \S/.test(fault)))
    }),
    { numRuns: 1000 },
  )
})

test('recipients is all, or a group of only and except', () => {
  const greylisted = (text: string) => {
    const loaded = parseConfig('milter.yaml', text)
    return loaded.kind === 'faults' ? loaded.faults : loaded.config.exempt.greylisted
  }
  assert.deepEqual(greylisted('recipients: all'), { except: [] })
  assert.deepEqual(greylisted('recipients: { only: [example.com] }'), {
    only: [{ kind: 'domain', domain: 'example.com' }],
    except: [],
  })
  assert.deepEqual(greylisted('recipients: { except: [a@] }'), { except: [{ kind: 'local', local: 'a' }] })
  assert.equal(greylisted('recipients: store'), 'store')
  assert.deepEqual(greylisted('recipients: none'), [
    'milter.yaml:1:13: Cannot read recipients "none": expected all or store',
  ])
  assert.deepEqual(greylisted('recipients: { but: [a@] }'), [
    'milter.yaml:1:15: unknown setting recipients.but: expected except, only',
  ])
})

test('a value that YAML takes for something else is to be quoted', () => {
  const COLON = 'a value with a colon at its end, or before a space, needs quotes, as in "memory:"'
  const cases: Array<[text: string, hint: string]> = [
    ['store: memory:', COLON],
    ['local_store: memory:  # for now', COLON],
    ['reply: 451 4.7.1 Sorry: come back', COLON],
    ['exempt: { clients: [2001:db8::, 192.0.2.1] }', COLON],
    ['exempt:\n  clients:\n    - 2001:db8::', COLON],
    ['exempt: { senders: ["a@b.example", *@example.org] }', 'a value that begins with * needs quotes'],
    ['exempt:\n  senders:\n    - *.example.org', 'a value that begins with * needs quotes'],
    ['trusted_relays: *', 'a value that begins with * needs quotes'],
    ['exempt:\n  recipients:\n    - @example.org', 'a value that begins with @ needs quotes'],
    ['recipients: { only: [@example.org] }', 'a value that begins with @ needs quotes'],
    ['reply: `451', 'a value that begins with ` needs quotes'],
    ['reply: %x', 'a value that begins with % needs quotes'],
  ]
  for (const [text, hint] of cases) {
    const loaded = parseConfig('milter.yaml', text)
    assert.equal(loaded.kind, 'faults', text)
    const [fault = '', ...more] = loaded.kind === 'faults' ? loaded.faults : []
    assert.ok(fault.endsWith(`: ${hint}`), `${text}\n${fault}`)
    assert.deepEqual(more, [], text)
  }
})

test('store: memory needs no quotes, with or without a colon in them', () => {
  for (const value of ['memory', '"memory:"']) {
    const loaded = parseConfig('milter.yaml', `store: ${value}\nlocal_store: ${value}`)
    assert.equal(loaded.kind, 'config')
    if (loaded.kind !== 'config') return
    assert.deepEqual(loaded.config.store, { kind: 'memory' })
    assert.deepEqual(loaded.config.local.store, { kind: 'memory' })
  }
})
