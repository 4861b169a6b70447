// Starts a DNS server on loopback, for UDP and TCP, that answers for the hostile zones as their owner wants, and for
// all other names at once and rightly. It is the resolver of greymx. It runs in a process of its own, so that its CPU
// time is not counted as greymx's.

import { createSocket } from 'node:dgram'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import { endWith, freePort } from './scratch.ts'

/** Counts of one zone, or of all other names (`others`). */
export interface ZoneCount {
  /** Number of different questions, by name and type. */
  readonly questions: number
  /** Number of packets and TCP messages, with repetitions. */
  readonly packets: number
  /** Number of senders' domains with questions, and the most different questions for one domain. */
  readonly senders: number
  readonly most: number
}

export type DnsCounts = Readonly<Record<string, ZoneCount>>

export interface HostileDns {
  /** `127.0.0.1:5353`, as `dns_servers` takes it. */
  readonly server: string
  readonly pid: number
  /** The counts since the start or the last `reset`. */
  counts(): Promise<DnsCounts>
  reset(): Promise<void>
}

export const NO_COUNT: ZoneCount = { questions: 0, packets: 0, senders: 0, most: 0 }

/** Starts the server; `dir` is a folder of `scratch`. */
export async function startHostileDns({ dir }: { readonly dir: string }): Promise<HostileDns> {
  const [port, controlPort] = [await freeDnsPort(), await freePort()]
  const program = join(process.cwd(), 'build/test/support/hostile-dns-process.js')
  const daemon: Daemon = await startDaemon({
    command: process.execPath,
    args: [program, `${port}`, `${controlPort}`],
    cwd: process.cwd(),
    ready: (output) => output.includes('ready'),
  })
  endWith(dir, () => daemon.stop())
  const control = async (path: string) => (await fetch(`http://127.0.0.1:${controlPort}${path}`)).json()
  return {
    server: `127.0.0.1:${port}`,
    pid: daemon.pid,
    counts: async () => (await control('/counts')) as DnsCounts,
    reset: async () => void (await control('/reset')),
  }
}

/** The sum over all zones and others. */
export function totalOf(counts: DnsCounts): { questions: number; packets: number } {
  const all = Object.values(counts)
  const sum = (figure: (count: ZoneCount) => number) => all.reduce((total, count) => total + figure(count), 0)
  return { questions: sum(({ questions }) => questions), packets: sum(({ packets }) => packets) }
}

async function freeDnsPort(): Promise<number> {
  for (;;) {
    const port = await freePort()
    const isFree = await new Promise<boolean>((resolve) => {
      const socket = createSocket('udp4')
      socket.once('error', () => resolve(false))
      socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}
