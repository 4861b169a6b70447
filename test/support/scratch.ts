// Gives a test that uses the machine a folder of its own, a free port, and a way to wait until something is true. A
// server or socket that is bound to the folder ends before the folder is removed.

import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type ListenOptions, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

/** A scope that runs actions at its end: a `TestContext`, or `{ after }` of node:test for a suite or file. */
export interface Scope {
  after(end: () => Promise<void>): void
}

const endings = new Map<string, (() => Promise<void>)[]>()

/** A new folder with mode 0755. It is removed when `scope` ends, after all that `endWith` has for it. */
export async function scratch(scope: Scope): Promise<string> {
  // Sendmail refuses a milter socket below a world-writable folder, sticky or not, so /tmp will not do. Postfix drops
  // its privileges before it opens its folder, so a private folder will not do either.
  const dir = await mkdtemp(join(process.getuid?.() === 0 ? '/run' : tmpdir(), 'greymx-'))
  await chmod(dir, 0o755)
  endings.set(dir, [])
  scope.after(async () => {
    // node:test runs `after` hooks in the order of registration, but a folder that is in use must be removed last.
    const failures: unknown[] = []
    for (const end of (endings.get(dir) ?? []).reverse()) await end().catch((error) => failures.push(error))
    endings.delete(dir)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
    if (failures.length > 0) throw new AggregateError(failures, `Cannot end what ran in ${dir}`)
  })
  return dir
}

/** Registers `end` to be called before `dir`, a folder of `scratch`, is removed; the last one is called first. */
export function endWith(dir: string, end: () => Promise<void>): void {
  const known = endings.get(dir)
  if (known === undefined) throw new Error(`Cannot bind anything to ${dir}: it is not a folder of scratch()`)
  known.push(end)
}

/** A TCP port that nothing on the loopback addresses listens on; no test is given it again before this process ends. */
export async function freePort(): Promise<number> {
  for (;;) {
    // The range is below that of local ports of outgoing connections, so that none of these takes the port before the
    // server listens on it. An abstract socket of its name keeps it from other processes, which draw from the same range.
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    if ((await listener({ path: `\0greymx-test-port-${port}` })) && (await canListen(port))) return port
  }
}

/** Whether a process listens on the TCP port. It asks the kernel, as a milter would notice a connection. */
export async function isListening(port: number): Promise<boolean> {
  const listening = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} [0-9A-F]+:0000 0A `)
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'latin1').catch(() => '')),
  )
  return tables.some((table) => listening.test(table))
}

/** Resolves to the first truthy value of `probe`; rejects with `what` if there is none within `timeoutMs`. */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain for: ${what}`)
    await sleep(20)
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = await listener({ port, host: '127.0.0.1' })
  if (!server) return false
  await promisify(server.close.bind(server))()
  return true
}

/** A server that listens at an address, and keeps no process alive; `undefined` if none can. */
function listener(address: ListenOptions): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer().unref()
    server.once('error', () => resolve(undefined))
    server.listen(address, () => resolve(server))
  })
}
