// A local store's journal that outlives the store, in memory.

import type { Journal } from '../../src/store/local.ts'

export function journalIn(kept: Map<string, string>): Journal {
  return {
    getRange: () => [...kept].map(([key, value]) => ({ key, value })),
    async put(key, value) {
      kept.set(key, value)
    },
    async remove(key) {
      kept.delete(key)
    },
    async close() {},
  }
}
