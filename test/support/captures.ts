// Reads the files of test/captures, which have what real MTAs sent, packet by packet. Each file describes its form.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

export interface Conversation {
  readonly title: string
  /** The packets, length included, that the MTA sent on each of its connections. */
  readonly connections: ReadonlyArray<readonly Buffer[]>
}

export function readCaptures(name: string): Conversation[] {
  const conversations: Array<{ title: string; connections: Buffer[][] }> = []
  for (const line of readFileSync(`test/captures/${name}`, 'utf8').split('\n')) {
    const [content = ''] = line.split('#')
    const conversation = conversations.at(-1)
    if (line.startsWith('== ')) conversations.push({ title: line.slice(3), connections: [] })
    else if (line.startsWith('-- ')) conversation?.connections.push([])
    else if (content.trim() !== '') {
      const packet = Buffer.from(content.replaceAll(' ', ''), 'hex')
      assert.equal(packet.length, packet.readUInt32BE(0) + 4, line)
      const last = conversation?.connections.at(-1)
      assert.ok(last, `a packet before its connection: ${line}`)
      last.push(packet)
    }
  }
  return conversations
}
