// The forms of the setting `store`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatStoreSpec, parseStoreSpec } from '../../src/store/open.ts'

test('parseStoreSpec() reads each form, and formatStoreSpec() shows it without credentials', () => {
  const cases: Array<[text: string, shown: string, credentials?: { username?: string; password?: string }]> =
    [
      ['memory:', 'memory:'],
      ['lmdb:/var/lib/greymx', 'lmdb:/var/lib/greymx'],
      ['lmdb:./state', `lmdb:${process.cwd()}/state`],
      ['redis://127.0.0.1:6379/0', 'redis://127.0.0.1:6379/0'],
      ['redis://redis.example.org', 'redis://redis.example.org:6379/0'],
      ['redis://[::1]:6380/3', 'redis://[::1]:6380/3'],
      ['rediss://u:p%40w@h:1/2', 'rediss://h:1/2', { username: 'u', password: 'p@w' }],
      ['redis://:secret@h', 'redis://h:6379/0', { password: 'secret' }],
      ['redis+unix:///run/redis.sock?db=2', 'redis+unix:///run/redis.sock?db=2'],
      ['redis+unix:///run/redis.sock', 'redis+unix:///run/redis.sock?db=0'],
      [
        'redis+unix://u:pw@/run/redis.sock?db=1',
        'redis+unix:///run/redis.sock?db=1',
        { username: 'u', password: 'pw' },
      ],
    ]
  for (const [text, shown, credentials] of cases) {
    const spec = parseStoreSpec(text)
    assert.ok(spec, text)
    assert.equal(formatStoreSpec(spec), shown)
    if (spec.kind === 'redis') {
      const { username, password } = spec.redis
      assert.deepEqual([username, password], [credentials?.username, credentials?.password], text)
    }
  }
})

test('parseStoreSpec() refuses everything else', () => {
  const cases = [
    '',
    'memory',
    'lmdb:',
    'lmdb',
    'redis:',
    'redis://',
    'redis:///0',
    'redis://h:99999/0',
    'redis://h/x',
    'redis+unix://',
    'redis+unix:///',
    'redis+unix:///s?db=x',
    'http://h/',
    'redis+unix://host/run/s',
  ]
  for (const text of cases) assert.equal(parseStoreSpec(text), undefined, text)
})
