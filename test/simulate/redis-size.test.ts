// What a state is said to take in Redis, next to what it takes in a real one.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sizeOf } from '../../src/simulate/redis-size.ts'
import { startRedis } from '../support/redis.ts'
import { scratch } from '../support/scratch.ts'

const dir = await scratch({ after })
const redis = await startRedis({ dir })

/** Memory that Redis has allocated, in bytes. */
async function usedMemory(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.cli('info', 'memory'))?.[1])
}

/** Keys as greymx makes them: triplets of many lengths, counters and marks, and what is one number. */
function stateOf(count: number): Array<readonly [key: string, text: string]> {
  return Array.from({ length: count }, (_, index) => {
    const network = `network:198.51.${index % 250}.0/24`
    const sender = `${'some.sender'.repeat(1 + (index % 4))}${index}@mail.example.org`
    switch (index % 6) {
      case 0:
        return [`t:${network}|${sender}|recipient@example.com`, '1:pending:172800000'] as const
      case 1:
        return [`t:spf:example.org|${sender}|recipient@example.com`, '1:passed:3110400000'] as const
      case 2:
        return [`n:${network}|${sender}|recipient@example.com`, '3'] as const
      case 3:
        return [
          `o:${network}`.padEnd(20 + (index % 50), `${index}`) + index,
          `${(1 + (index % 9)) * 100_000_000}`,
        ] as const
      case 4:
        return [`f:${String(index).padStart(20, 'f')}`, '1234567890123456220'] as const
      default:
        return [`w:${index}`, '1:passed:3110400000'] as const
    }
  })
}

test('the memory that a state takes in Redis is told to a tenth; Valkey takes no more', async () => {
  const isValkey = /^valkey_version:/m.test(await redis.cli('info', 'server'))
  // Just below and just above a power of two, as the tables of Redis double there.
  for (const count of [16_000, 17_000]) {
    const state = stateOf(count)
    await redis.cli('flushall')
    const before = await usedMemory()
    const script =
      'for i = 1, #ARGV, 2 do redis.call("SET", ARGV[i], ARGV[i + 1], "PX", 100000000) end return redis.call("DBSIZE")'
    for (let start = 0; start < state.length; start += 500) {
      const batch = state.slice(start, start + 500).flatMap(([key, text]) => [`greymx:${key}`, text])
      await redis.cli('eval', script, '0', ...batch)
    }
    assert.equal((await redis.cli('dbsize')).trim(), String(count))
    const used = (await usedMemory()) - before
    const told = sizeOf(state)
    assert.equal(told.keys, count)
    const ratio = told.bytes / used
    // The hash table of Valkey 8.1 has no nodes beside the keys.
    assert.ok(ratio > 0.9 && (ratio < 1.1 || isValkey), `${count} keys: told ${told.bytes}, used ${used}`)
  }
})
