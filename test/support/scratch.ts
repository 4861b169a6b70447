// What every test that touches the machine needs: a folder of its own, a port of its own, and a way to wait for
// something to become true. What is bound to the folder (a server, a socket) ends before the folder goes.

import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What runs an action at its end: a `TestContext`, or `{ after }` of node:test for a whole suite or file. */
export interface Scope {
  after(end: () => Promise<void>): void
}

const endings = new Map<string, (() => Promise<void>)[]>()

/** A new folder (mode 0755), removed when `scope` ends, after everything given to `endWith` for it has ended. */
export async function scratch(scope: Scope): Promise<string> {
  // Sendmail refuses a milter socket that lies anywhere below a world-writable folder, sticky or not, and Postfix drops
  // its privileges before it reaches its own: hence neither /tmp nor a private folder while there is a choice.
  const dir = await mkdtemp(join(process.getuid?.() === 0 ? '/run' : tmpdir(), 'greymx-'))
  await chmod(dir, 0o755)
  endings.set(dir, [])
  scope.after(async () => {
    // node:test runs `after` hooks in the order of their registration; a folder in use must go last.
    const failures: unknown[] = []
    for (const end of (endings.get(dir) ?? []).reverse()) await end().catch((error) => failures.push(error))
    endings.delete(dir)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
    if (failures.length > 0) throw new AggregateError(failures, `Cannot end what ran in ${dir}`)
  })
  return dir
}

/** Has `end` called before the folder `dir`, which must be one of `scratch`, is removed; the last one given comes first. */
export function endWith(dir: string, end: () => Promise<void>): void {
  const known = endings.get(dir)
  if (known === undefined) throw new Error(`Cannot bind anything to ${dir}: it is not a folder of scratch()`)
  known.push(end)
}

/** A TCP port that nothing on the loopback addresses listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below the range from which the kernel takes the local ports of outgoing connections, so that none of those
    // gets this one between now and the moment the server that it is for listens on it.
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    if (await canListen(port)) return port
  }
}

/** Whether some process listens on the TCP port. Asks the kernel: a connection would be one more for a milter to see. */
export async function isListening(port: number): Promise<boolean> {
  const listening = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} [0-9A-F]+:0000 0A `)
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'latin1').catch(() => '')),
  )
  return tables.some((table) => listening.test(table))
}

/** The first value of `probe` that is true in a condition; rejects with `what` if there is none for `timeoutMs`. */
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

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
