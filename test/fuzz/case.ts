// One input of the fuzzer: the packets that some MTAs send on a connection each, and a number that decides how the
// bytes are cut and mixed. Nothing else has an influence, so that a case can be written down, replayed and made
// smaller.

import { mulberry32 } from '../bench/random.ts'

export interface Case {
  /** Index of the settings in target.ts. */
  readonly settings: number
  /** The packets of each connection: mostly frames, and some other bytes. */
  readonly lanes: ReadonlyArray<readonly Buffer[]>
  /** Seed for where bytes are cut, how connections take turns, and when they do something other than send. */
  readonly schedule: number
}

export type Step =
  | { readonly kind: 'send'; readonly lane: number; readonly bytes: Buffer }
  /**
   * The MTA stops taking replies, or takes them again; it drops the connection; greymx stops and takes it for silent.
   */
  | { readonly kind: 'stall' | 'take' | 'drop' | 'silence'; readonly lane: number }
  /** All actions that wait for their turn run. */
  | { readonly kind: 'turn' }

export class Random {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = mulberry32(seed)
  }

  /** A whole number below `bound`. */
  below(bound: number): number {
    return Math.floor(this.#next() * bound)
  }

  chance(share: number): boolean {
    return this.#next() < share
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  seed(): number {
    return this.below(2 ** 32)
  }
}

/** Chunks as a network may deliver them: single packets, several together, or cut anywhere. */
function chunksOf(packets: readonly Buffer[], random: Random): Buffer[] {
  const way = random.below(4)
  if (way === 0) return [...packets]
  const stream = Buffer.concat(packets)
  if (way === 1) return [stream]
  if (way === 2 && stream.length <= 400) return Array.from(stream, (byte) => Buffer.of(byte))
  const chunks: Buffer[] = []
  for (let at = 0; at < stream.length; ) {
    const end = at + 1 + random.below(random.chance(0.5) ? 40 : 5000)
    chunks.push(stream.subarray(at, end))
    at = end
  }
  return chunks
}

export function stepsOf({ lanes, schedule }: Case): Step[] {
  const random = new Random(schedule)
  const waiting = lanes.map((packets) => chunksOf(packets, random))
  const isOdd = random.chance(0.3)
  const steps: Step[] = []
  for (;;) {
    const open = waiting.flatMap((chunks, lane) => (chunks.length > 0 ? [lane] : []))
    if (open.length === 0) return steps
    const lane = random.pick(open)
    const bytes = waiting[lane]?.shift()
    if (bytes) steps.push({ kind: 'send', lane, bytes })
    if (random.chance(0.1)) steps.push({ kind: 'turn' })
    if (isOdd && random.chance(0.1)) {
      steps.push({ kind: random.pick(['stall', 'take', 'take', 'drop', 'silence'] as const), lane })
    }
  }
}

/** The case as text, which `readCase` reads. */
export function writeCase({ settings, lanes, schedule }: Case): string {
  const packets = lanes.flatMap((lane, index) => lane.map((packet) => `${index} ${packet.toString('hex')}`))
  return [`settings ${settings}`, `schedule ${schedule}`, `lanes ${lanes.length}`, ...packets, ''].join('\n')
}

export function readCase(text: string): Case {
  const numbers = new Map<string, number>()
  const packets: Array<readonly [lane: number, packet: Buffer]> = []
  for (const line of text.split('\n')) {
    const [name = '', value = ''] = line.trim().split(' ')
    if (/^\d+$/.test(name)) packets.push([Number(name), Buffer.from(value, 'hex')])
    else if (name !== '') numbers.set(name, Number(value))
  }
  const lanes = Array.from({ length: numbers.get('lanes') ?? 0 }, (_, lane) =>
    packets.filter(([other]) => other === lane).map(([, packet]) => packet),
  )
  return { settings: numbers.get('settings') ?? 0, schedule: numbers.get('schedule') ?? 0, lanes }
}
