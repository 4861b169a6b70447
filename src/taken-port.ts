// Says who has a TCP port that greymx could not listen on: the program that /proc names, or whose port it usually is.
// Source: proc(5), /proc/net/tcp; the documentation and packages of the programs named.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'

/** Who usually listens where, among the neighbours of a mail server. */
const USUAL: Readonly<Record<number, string>> = {
  25: 'an MTA',
  53: 'a name server',
  465: 'an MTA',
  587: 'an MTA',
  783: 'SpamAssassin',
  2501: 'SQLgrey',
  3310: 'ClamAV',
  6379: 'Redis',
  7357: "ClamAV's milter",
  8080: 'a web server',
  8890: 'OpenDKIM',
  8891: 'OpenDKIM',
  8892: 'a second OpenDKIM',
  8893: 'OpenDMARC',
  9090: 'Prometheus',
  9100: "Prometheus's node exporter",
  9900: 'milter-manager',
  10023: 'Postgrey',
  10024: 'amavisd',
  10025: 'Postfix, for mail that comes back from amavisd',
  10026: 'amavisd, for submitted mail',
  10027: 'Postfix, for mail that comes back from amavisd',
  10031: 'policyd (cluebringer)',
  11332: "rspamd's proxy",
  11333: "rspamd's worker",
  11334: "rspamd's controller",
  11335: "rspamd's fuzzy storage",
  12301: 'OpenDKIM',
  12525: 'policyd-weight',
  26379: "Redis's Sentinel",
  54321: 'OpenDMARC',
}

/** Programs that run others, whose script tells more than their own name. */
const INTERPRETER = /^(?:node|nodejs|perl|python|ruby|sh|bash)[\d.]*$/

/** Returns `message`, the error of listening on `port`, and for a taken port also who has it, as far as that is known. */
export function withHolder(error: NodeJS.ErrnoException, port: number): string {
  if (error.code !== 'EADDRINUSE') return error.message
  const holder = holderOf(port)
  const usual = USUAL[port]
  const says = holder ? `; ${holder} has it` : usual === undefined ? '' : `; it is the usual port of ${usual}`
  return `${error.message}${says}: expected a free port`
}

/** Returns the program that listens on `port`, with its PID; `undefined` if this process may not see it. */
function holderOf(port: number): string | undefined {
  try {
    const inodes = listeningInodes(port)
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (hasOpen(pid, inodes)) return `${programOf(pid)} (PID ${pid})`
    }
  } catch {
    // Without /proc nobody is named.
  }
  return undefined
}

function listeningInodes(port: number): ReadonlySet<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of linesOf(table)) {
      // sl local remote state queues timer retransmits uid timeout inode …; 0A is LISTEN
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
      if (state === '0A' && local?.endsWith(suffix) && inode !== undefined) inodes.add(`socket:[${inode}]`)
    }
  }
  return inodes
}

function linesOf(table: string): string[] {
  try {
    return readFileSync(table, 'latin1').split('\n')
  } catch {
    return [] // a kernel without IPv6
  }
}

function hasOpen(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`)))
  } catch {
    return false // another user's process, or one that has ended
  }
}

/** Arguments are not shown, as they may hold passwords, except for the script of an interpreter. */
function programOf(pid: string): string {
  const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  const name = basename(program.split(' ', 1).join())
  const script = INTERPRETER.test(name) ? args.find((arg) => !arg.startsWith('--')) : undefined
  // Behind `-e` or `-c` there is a program, not its name.
  const isFile = script !== undefined && script !== '' && !script.startsWith('-')
  return printable(isFile ? `${name} ${basename(script)}` : name)
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
}
