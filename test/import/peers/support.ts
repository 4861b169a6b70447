// Reads what a peer has left behind, for tests.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { PEERS } from '../../../src/import/peers/peers.ts'
import type { NotTaken, Remembered } from '../../../src/import/remembered.ts'
import { scratch } from '../../support/scratch.ts'

/** The instant at which sources are read unless a test says otherwise, in milliseconds: 2023-11-14 22:13:20 UTC. */
export const NOW = 1_700_000_000_000

/** All that the reader of the peer makes of a source. */
export async function readPeer(
  name: string,
  source: string,
  now = NOW,
  { delay = 300_000, passes = 5 } = {},
): Promise<Array<Remembered | NotTaken>> {
  const peer = PEERS.find((one) => one.name === name) ?? assert.fail(`no peer is called ${name}`)
  const records: Array<Remembered | NotTaken> = []
  for await (const record of peer.read(source, { now, delay, passes })) records.push(record)
  return records
}

/** A file of the test with this content. */
export async function fileWith(t: TestContext, content: string | Buffer): Promise<string> {
  const file = join(await scratch(t), 'source')
  await writeFile(file, content)
  return file
}

/** What the reader of the peer makes of a file with this content. */
export async function readText(t: TestContext, name: string, content: string | Buffer, now = NOW) {
  return readPeer(name, await fileWith(t, content), now)
}
