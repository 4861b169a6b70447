// Outcomes, and records in memory that a test can take away, for tests of what is kept in records.

import { parseAddress } from '../../src/address.ts'
import { parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { RecordStore } from '../../src/store/records.ts'

/** A store whose next operations fail as the test says. */
export interface FaultyRecords extends RecordStore {
  /** `away`: nothing is done; `full`: reads go on; `lost`: a write is done, and its answer is lost. */
  fault: 'none' | 'away' | 'full' | 'lost'
  /** Names of the operations so far, with their records. */
  readonly asked: string[]
  /** The store's clock less that of the host. */
  offset: number
}

export function faultyRecords(now: () => number): FaultyRecords {
  const store = new MemoryStore(now)
  const read = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (faulty.fault === 'away') throw new Error('ECONNREFUSED')
    return operation()
  }
  const write = async (operation: () => Promise<void>): Promise<void> => {
    if (faulty.fault === 'away') throw new Error('ECONNREFUSED')
    if (faulty.fault === 'full') throw new Error('OOM command not allowed')
    await operation()
    if (faulty.fault === 'lost') throw new Error('ECONNRESET')
  }
  const faulty: FaultyRecords = {
    fault: 'none',
    asked: [],
    offset: 0,
    readRecord(name) {
      faulty.asked.push(`read ${name}`)
      return read(() => store.readRecord(name))
    },
    revisionOf: (name) => read(() => store.revisionOf(name)),
    changeRecord(name, changes, lifetime) {
      faulty.asked.push(`change ${name}`)
      return write(() => store.changeRecord(name, changes, lifetime))
    },
    addToRecord(name, by, lifetime) {
      faulty.asked.push(`add ${name}`)
      return write(() => store.addToRecord(name, by, lifetime))
    },
    scanKeys: (signal, isWanted) => store.scanKeys(signal, isWanted),
    clockOffset: () => read(async () => faulty.offset),
  }
  return faulty
}

export interface OutcomeOptions extends Partial<Omit<Outcome, 'attempt'>> {
  readonly client?: string
  readonly sender?: string
}

/** The outcome of an attempt, by default the first one of a stranger. */
export function outcome(options: OutcomeOptions = {}): Outcome {
  const { client = '198.51.100.7', sender = 'a@example.org', ...rest } = options
  const address = parseIp(client)
  return {
    attempt: {
      client: address ? { address } : {},
      authenticated: false,
      sender: parseAddress(`<${sender}>`),
      recipient: parseAddress('<b@example.com>'),
    },
    verdict: 'tempfail',
    reason: 'new',
    waited: 0,
    retryIn: 180_000,
    ...rest,
  }
}

/** The outcome of a retry that passes after a wait in milliseconds. */
export function returned(waited: number, options: OutcomeOptions = {}): Outcome {
  return outcome({ verdict: 'pass', reason: 'retry', retryIn: 0, waited, ...options })
}
