// Tests of first messages that need not wait: whose sender is proven, and how many correspondents of a user are kept.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { expectKeys, isAligned, learnReply, writtenToKey } from '../../src/greylist/first-mail.ts'
import { expectKey, repliesKey, replyKey } from '../../src/greylist/keys.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const DAY = 86_400_000

const [user, friend] = [parseAddress('u@example.com'), parseAddress('friend@example.org')]

interface From {
  readonly sender?: string
  readonly helo?: string
  readonly recipient?: string | undefined
  readonly spf?: Identity['spf']
  readonly host?: string
  readonly isNamed?: boolean
}

function given(from: From): readonly [Attempt, Identity] {
  const {
    sender = 'friend@example.org',
    recipient = 'u@example.com',
    spf = 'none',
    host,
    isNamed = false,
  } = from
  return [
    {
      client: from.helo === undefined ? {} : { helo: from.helo },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: recipient === '' ? undefined : parseAddress(recipient),
    },
    {
      id: 'n',
      names: ['n'],
      carriers: [],
      network: 'n',
      spf,
      host: host === undefined ? undefined : { domain: host, isMail: false },
      isNamed,
    },
  ]
}

test('a sender is proven by SPF, or by a host in its domain, for bounces by HELO', () => {
  for (const [isProven, from] of [
    [true, { spf: 'pass' }],
    [false, { spf: 'open' }],
    [false, {}],
    [true, { host: 'example.org' }],
    [false, { host: 'example.net' }],
    [true, { host: 'example.org', sender: 'a@mail.example.org' }],
    [true, { host: 'example.org', sender: '<>', helo: 'mx.example.org' }],
    [false, { host: 'example.org', sender: '<>', helo: 'mx.example.net' }],
    [false, { host: 'example.org', sender: '<>' }],
    [false, { host: 'example.net', helo: 'mx.example.net' }],
  ] as const)
    assert.equal(isAligned(...given(from)), isProven, JSON.stringify(from))
})

test('a message is expected of a client that is somebody, by its recipient from anybody or from the sender', () => {
  const keys = [expectKey(user), expectKey(user, 'example.org')]
  assert.deepEqual(expectKeys(...given({ isNamed: true, sender: 'a@mail.example.org' })), keys)
  assert.deepEqual(expectKeys(...given({ spf: 'pass' })), keys)
  assert.deepEqual(expectKeys(...given({})), [])
  assert.deepEqual(expectKeys(...given({ spf: 'pass', recipient: '' })), [])
})

test('an answer is one of a proven sender to a user, and no bounce', () => {
  assert.equal(writtenToKey(...given({ spf: 'pass' })), replyKey(user, friend))
  assert.equal(writtenToKey(...given({})), undefined)
  assert.equal(writtenToKey(...given({ spf: 'pass', sender: '<>' })), undefined)
  assert.equal(writtenToKey(...given({ spf: 'pass', recipient: '' })), undefined)
})

test('a correspondent counts once, and 10,000 of a user are kept', async () => {
  const store = new MemoryStore(() => 0)
  for (let mail = 0; mail < 3; mail += 1) await learnReply(store, user, friend, DAY)
  assert.deepEqual(await store.counts([repliesKey(user)]), [1])
  const isKept = async (address: string) => {
    const other = parseAddress(address)
    await learnReply(store, user, other, DAY)
    return (await store.find([replyKey(user, other)]))[0] !== undefined
  }
  await store.count(repliesKey(user), DAY, 9998)
  assert.equal(await isKept('last@example.org'), true)
  assert.equal(await isKept('late@example.org'), false)
})

test('a store that fails to note a correspondent does no harm', async () => {
  const store = Object.assign(new MemoryStore(() => 0), { add: () => Promise.reject(new Error('gone')) })
  await learnReply(store, user, friend, DAY)
})
