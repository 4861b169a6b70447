// Finds the listening sockets that the service manager opened for us and keeps open across our restarts. Listening on
// them is left to sockets/listener.ts.
// Source: systemd, sd_listen_fds(3).

import type { InheritedSocket } from '../sockets/listener.ts'

/** The first inherited descriptor (SD_LISTEN_FDS_START). */
const FIRST_DESCRIPTOR = 3

/** The names of sockets that are not for the milter protocol, as FileDescriptorName= of their units has them. */
const ADMIN_NAME = 'admin'
const POLICY_NAME = 'policy'
const EXIM_NAME = 'exim'

/** The sockets that we were started with. */
export interface InheritedSockets {
  /** For the milter protocol: all that have no name of another kind, in the order of the socket unit. */
  readonly mtas: readonly InheritedSocket[]
  /** For Postfix's policy protocol. */
  readonly policy: readonly InheritedSocket[]
  /** For Exim. */
  readonly exim: readonly InheritedSocket[]
  /** For operators' commands. */
  readonly admin?: InheritedSocket
}

/**
 * The sockets passed to process `pid`; none if there are none. Removes the variables from `environment`, as they are not
 * meant for our children. Throws when they cannot be read.
 */
export function inheritedSockets(environment: NodeJS.ProcessEnv, pid: number): InheritedSockets {
  const { LISTEN_PID: forPid, LISTEN_FDS: count = '', LISTEN_FDNAMES: names = '' } = environment
  delete environment.LISTEN_PID
  delete environment.LISTEN_FDS
  delete environment.LISTEN_FDNAMES
  // The variables are meant for our parent, which ought to have removed them; its descriptors need not be ours.
  if (forPid !== String(pid)) return { mtas: [], policy: [], exim: [] }
  if (!/^\d{1,3}$/.test(count)) throw new Error(`Cannot read LISTEN_FDS "${count}": expected a number`)
  const named = names.split(':')
  const sockets = Array.from({ length: Number(count) }, (_, index) => ({
    name: named[index],
    socket: { kind: 'inherited', fd: FIRST_DESCRIPTOR + index } as const,
  }))
  const admin = sockets.find(({ name }) => name === ADMIN_NAME)
  const policy = sockets.filter(({ name }) => name === POLICY_NAME)
  const exim = sockets.filter(({ name }) => name === EXIM_NAME)
  const mtas = sockets.filter((each) => each !== admin && !policy.includes(each) && !exim.includes(each))
  return {
    mtas: mtas.map(({ socket }) => socket),
    policy: policy.map(({ socket }) => socket),
    exim: exim.map(({ socket }) => socket),
    ...(admin ? { admin: admin.socket } : {}),
  }
}
