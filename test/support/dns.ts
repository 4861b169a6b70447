// Starts a real DNS server (Knot) on a loopback address, for UDP and TCP, with the zones of a test. The test can stop,
// kill, freeze and restart it. It refuses all names outside of its zones at once, and forwards nothing.

import { createSocket } from 'node:dgram'
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { endWith, freePort, waitFor } from './scratch.ts'

export interface DnsOptions {
  /** A folder of `scratch`; what the server writes goes there, and it ends before the folder does. */
  readonly dir: string
  /**
   * The records of each zone by its name (`.` for the root), as lines of a zone file (RFC 1035 section 5). `@` is the
   * zone itself, `*` any name in it without records, and a name without a final dot is below the zone. A line that is
   * indented deeper belongs to the name above it. SOA and NS are added.
   */
  readonly zones: Readonly<Record<string, string>>
  /** TTL of all answers, with or without records; 60 by default. */
  readonly ttlSeconds?: number
  /** A free port by default; the port of a stopped server restarts it. */
  readonly port?: number
  /** Address to listen on; 127.0.0.1 by default. */
  readonly address?: string
}

export interface Dns {
  readonly port: number
  /** `127.0.0.1:5353`, as `setServers` of node:dns takes it. */
  readonly server: string
  readonly pid: number
  /** The log so far. */
  log(): string
  stop(): Promise<void>
  /** Kills the server and waits until its port is closed, which a resolver notices at once. */
  kill9(): Promise<void>
  /** Freezes the server: questions get no answer, not even a refusal. Resolves when all its threads are stopped. */
  pause(): Promise<void>
  resume(): void
}

/** Starts the server; resolves when it answers for all zones, and rejects with its log if it cannot read one. */
export async function startDns(options: DnsOptions): Promise<Dns> {
  const { dir, zones, ttlSeconds = 60, address = '127.0.0.1', port = await freeDnsPort() } = options
  const home = await mkdtemp(join(dir, 'dns-'))
  const files = Object.entries(zones).map(([zone, records], index) => ({
    origin: zone === '.' ? '.' : `${zone}.`,
    file: join(home, `${index}.zone`),
    records,
  }))
  for (const { origin, file, records } of files) {
    // The last number of the SOA is the TTL of answers without records (RFC 2308).
    const head = `@ SOA localhost. root.localhost. 1 3600 600 86400 ${ttlSeconds}\n@ NS localhost.`
    await writeFile(file, `$ORIGIN ${origin}\n$TTL ${ttlSeconds}\n${head}\n${outdented(records)}\n`)
  }

  const settings = join(home, 'knot.conf')
  await writeFile(
    settings,
    [
      'server:',
      `  rundir: "${home}"`,
      `  listen: ${address}@${port}`,
      '  udp-workers: 1',
      '  tcp-workers: 1',
      '  background-workers: 1',
      'log:',
      '- target: stdout',
      '  any: info',
      'database:',
      `  storage: "${home}"`,
      'template:',
      '- id: default',
      // Zone files are read, and never written.
      '  zonefile-sync: -1',
      '  journal-content: none',
      'zone:',
      ...files.flatMap(({ origin, file }) => [`- domain: "${origin}"`, `  file: "${file}"`]),
      '',
    ].join('\n'),
  )

  const daemon = await startDaemon({
    command: 'knotd',
    args: ['--config', settings],
    cwd: home,
    ready: (output) => output.includes('server started'),
  })
  endWith(dir, () => daemon.stop())
  // Knot serves the other zones when it cannot read the file of one.
  if (/ error: /.test(daemon.output())) {
    throw new Error(`Cannot serve the zones ${Object.keys(zones).join(', ')}: ${daemon.output()}`)
  }
  return {
    port,
    server: `${address}:${port}`,
    pid: daemon.pid,
    log: () => daemon.output(),
    stop: () => daemon.stop(),
    kill9: () => daemon.stop('SIGKILL'),
    pause: async () => {
      daemon.signal('SIGSTOP')
      await waitFor('knotd to stand still', () => isFrozen(daemon.pid))
    },
    resume: () => daemon.signal('SIGCONT'),
  }
}

/** The lines without their common indentation, as templates in tests are indented. */
function outdented(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const shared = Math.min(...lines.map((line) => line.length - line.trimStart().length))
  return lines.map((line) => line.slice(shared)).join('\n')
}

// Threads stop one by one, so that one may still answer for a moment after the signal.
async function isFrozen(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`)
  const stats = await Promise.all(threads.map((id) => readFile(`/proc/${pid}/task/${id}/stat`, 'latin1')))
  // proc(5): pid (name) state …
  return stats.every((stat) => stat.slice(stat.lastIndexOf(')') + 2).startsWith('T'))
}

async function freeDnsPort(): Promise<number> {
  for (;;) {
    const port = await freePort()
    if (await canBindUdp(port)) return port
  }
}

function canBindUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => resolve(false))
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)))
  })
}
