// Tests of the policy protocol on one connection, with a handler of the test, and a fuzzer of the door behind it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PolicyRequest } from '../../src/policy/request.ts'
import { type PolicyHandler, PolicySession } from '../../src/policy/session.ts'
import { encodeRequest, RCPT, RecordingPeer } from './recording.ts'

class TestHandler implements PolicyHandler {
  held = 0
  isOver = false
  readonly asked: string[] = []
  answer(request: PolicyRequest): string | Promise<string> {
    this.asked.push(request.recipient)
    return `DUNNO ${request.recipient}`
  }
  end(): void {
    this.isOver = true
  }
}

function begin(handler = new TestHandler()) {
  const peer = new RecordingPeer()
  return { handler, peer, session: new PolicySession(handler, peer) }
}

function request(recipient: string): Buffer {
  return encodeRequest({ ...RCPT, recipient })
}

test('several requests on a connection are answered in their order, one at a time', async () => {
  const resolvers: Array<(action: string) => void> = []
  class Slow extends TestHandler {
    override answer(given: PolicyRequest): Promise<string> {
      super.answer(given)
      return new Promise((resolve) => resolvers.push(resolve))
    }
  }
  const { handler, peer, session } = begin(new Slow())
  session.receive(Buffer.concat([request('one'), request('two')]))
  assert.deepEqual(handler.asked, ['one'])
  assert.equal(session.waiting, 'us')
  session.receive(request('three'))
  assert.ok(peer.isPaused)
  for (const action of ['1', '2', '3']) {
    resolvers.shift()?.(action)
    await nextTurn()
  }
  assert.deepEqual(handler.asked, ['one', 'two', 'three'])
  assert.equal(peer.sent, 'action=1\n\naction=2\n\naction=3\n\n')
  assert.ok(!peer.isPaused)
  assert.equal(session.waiting, 'idle')
})

test('what has arrived is answered before a connection ends whose other half is closed', async () => {
  const resolvers: Array<(action: string) => void> = []
  class Slow extends TestHandler {
    override answer(): Promise<string> {
      return new Promise((resolve) => resolvers.push(resolve))
    }
  }
  const { handler, peer, session } = begin(new Slow())
  session.receive(Buffer.concat([request('one'), request('two'), Buffer.from('request=')]))
  session.inputOver()
  for (const action of ['1', '2']) {
    assert.ok(!peer.isEnded)
    resolvers.shift()?.(action)
    await nextTurn()
  }
  assert.equal(peer.sent, 'action=1\n\naction=2\n\n')
  assert.ok(peer.isEnded && handler.isOver)
})

test('a connection on which nothing is asked ends with its other half', () => {
  const { handler, peer, session } = begin()
  session.receive(request('one'))
  assert.ok(!peer.isEnded)
  session.inputOver()
  assert.equal(peer.sent, 'action=DUNNO one\n\n')
  assert.ok(peer.isEnded && handler.isOver)
})

test('a connection waits for a request, for the rest of one, for its reader, and is idle between requests', () => {
  const { peer, session } = begin()
  assert.equal(session.waiting, 'frame')
  session.receive(request('u'))
  assert.equal(session.waiting, 'idle')
  const progress = session.progress
  session.receive(Buffer.from('request='))
  assert.equal(session.waiting, 'frame')
  assert.equal(session.progress, progress)
  peer.takes = false
  session.receive(request('u').subarray('request='.length))
  assert.equal(session.waiting, 'reader')
  session.endIfIdle()
  assert.ok(!peer.isEnded)
  session.replied()
  assert.equal(session.waiting, 'idle')
  assert.ok(session.progress > progress)
  session.endIfIdle()
  assert.ok(peer.isEnded)
})

test('what is no request closes the connection, after the requests before it were answered', () => {
  const { handler, peer, session } = begin()
  session.receive(Buffer.concat([request('u'), Buffer.from('EHLO x\n\n'), request('v')]))
  assert.equal(peer.sent, 'action=DUNNO u\n\n')
  assert.deepEqual(peer.faults, [['policy-malformed', 'line "EHLO x": expected NAME=VALUE']])
  assert.ok(handler.isOver)
  session.receive(request('w'))
  session.disconnected()
  assert.deepEqual(handler.asked, ['u'])
})

test('a request without end closes the connection', () => {
  const { peer, session } = begin()
  session.receive(Buffer.alloc(100_000, 'a=b\n'))
  assert.deepEqual(
    peer.faults.map(([kind]) => kind),
    ['policy-length'],
  )
})

test('thousands of requests at once leave other connections their turns', () => {
  const { handler, peer, session } = begin()
  session.receive(Buffer.concat(Array.from({ length: 100 }, () => request('u'))))
  assert.ok(handler.asked.length < 20)
  for (let turn = peer.turns.shift(); turn; turn = peer.turns.shift()) turn()
  assert.equal(handler.asked.length, 100)
  assert.ok(!peer.isPaused)
})

test('an answer that comes after the connection has gone is dropped', async () => {
  let resolve = (_: string) => {}
  class Slow extends TestHandler {
    override answer(): Promise<string> {
      return new Promise((resolver) => {
        resolve = resolver
      })
    }
  }
  const { handler, peer, session } = begin(new Slow())
  session.receive(request('u'))
  session.disconnected()
  resolve('DUNNO')
  await nextTurn()
  assert.equal(peer.sent, '')
  assert.ok(handler.isOver)
})
