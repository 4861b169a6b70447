// A journal in memory that outlives the local store.

import { type Journal, SteadyJournal } from '../../src/store/local/journal.ts'

export function journalIn(kept: Map<string, string>): Journal {
  return {
    async load(after, most) {
      const keys = [...kept.keys()].filter((key) => key > after).sort()
      return keys.slice(0, most).map((key) => [key, kept.get(key) ?? ''] as const)
    },
    async put(key, text) {
      kept.set(key, text)
    },
    async remove(key) {
      kept.delete(key)
    },
    watch() {},
    async close() {},
  }
}

/** The journal in the form that a local store takes; its events are ignored. */
export function steady(journal: Journal): SteadyJournal {
  return new SteadyJournal(journal, { onWritten() {}, onUnwritten() {} })
}
