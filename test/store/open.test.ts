// Tests of the forms of the setting `store`.

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
      [
        'redis+sentinel://u:p@h1,h2:26380,[::1]:3/my-master.1?db=2',
        'redis+sentinel://h1:26379,h2:26380,[::1]:3/my-master.1?db=2',
        { username: 'u', password: 'p' },
      ],
      ['rediss+sentinel://h/m', 'rediss+sentinel://h:26379/m?db=0'],
      ['redis+cluster://h1,h2:7000/0', 'redis+cluster://h1:6379,h2:7000'],
      ['rediss+cluster://:a%3Ab%40c@10.0.0.1/', 'rediss+cluster://10.0.0.1:6379', { password: 'a:b@c' }],
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
      const { username, password } = spec.redis.login
      assert.deepEqual([username, password], [credentials?.username, credentials?.password], text)
    }
  }
})

test('parseStoreSpec() refuses everything else', () => {
  const cases = [
    '',
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
    'rediss+unix:///run/s',
    'redis://h:0/0',
    'redis://h/0?db=1',
    'redis://h/0?x=1',
    'redis://h1,h2/0',
    'redis://h/123456',
    'redis://[h]/0',
    'redis+sentinel://h',
    'redis+sentinel://h/',
    'redis+sentinel://h/a/b',
    'redis+sentinel://h/a b',
    'redis+sentinel://h,/m',
    'redis+sentinel://,h/m',
    'redis+sentinel://h/m?db=x',
    'redis+sentinel://h/m/1',
    'redis+cluster://',
    'redis+cluster://h/1',
    'redis+cluster://h?db=1',
    'redis+other://h',
    'redis://u:100%@h',
  ]
  for (const text of cases) assert.equal(parseStoreSpec(text), undefined, text)
})
