// The peers as they stand in a table: all of them greylist, and each has a name of its own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peersWith } from '../../../src/simulate/peers/presets.ts'
import { attemptOf } from './stories.ts'

const MINUTE = 60_000

test('each peer defers a stranger, and has let the sender pass once two retries came after an hour', async () => {
  const peers = peersWith(async () => false).map((makePeer) => makePeer())
  assert.equal(new Set(peers.map(({ name }) => name)).size, peers.length)
  for (const peer of peers) {
    const verdicts = []
    for (const minutes of [0, 4, 60, 62]) verdicts.push(await peer.judge(attemptOf({}), minutes * MINUTE))
    assert.deepEqual(verdicts.toSpliced(2, 1), ['tempfail', 'tempfail', 'pass'], peer.name)
  }
})

test('milter-greylist alone asks whether SPF passes', async () => {
  const passing = []
  for (const makePeer of peersWith(async () => true)) {
    const peer = makePeer()
    if ((await peer.judge(attemptOf({}), 0)) === 'pass') passing.push(peer.name)
  }
  assert.deepEqual(passing, ['milter-greylist'])
})
