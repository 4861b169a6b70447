// Does what systemd does for a service with a socket unit: opens the listening sockets, runs the program with them, and
// restarts it whenever it ends. Also stands in for systemd's notification socket.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import { PROGRAM } from './greymx.ts'
import { endWith, waitFor } from './scratch.ts'

export interface ActivatedOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  /** The whole settings file. */
  readonly settings: string
  /** The sockets, in their order: ports on 127.0.0.1, or paths. */
  readonly sockets: ReadonlyArray<number | string>
  /** The names of the sockets, as systemd passes them on; all have the same by default. */
  readonly names?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Number of processes that run at once, all with the same sockets; 1 by default. */
  readonly processes?: number
}

export interface Activated {
  readonly configFile: string
  /** The ids of all processes so far; the last one may still be starting. */
  pids(): number[]
  /** The output of all processes so far. */
  output(): string
  /** Sends a signal to the process that was started last. */
  signal(signal: NodeJS.Signals): void
  /** Ends the process that was started last by SIGTERM, and resolves when the next one is ready. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Resolves when the first processes are ready. */
export async function startActivated({
  dir,
  settings,
  sockets,
  names = sockets.map(() => 'greymx.socket'),
  env,
  processes = 1,
}: ActivatedOptions): Promise<Activated> {
  const configFile = join(dir, 'activated.yaml')
  await writeFile(configFile, settings)
  const serve = [process.execPath, PROGRAM, 'serve', '--config', configFile]
  const starts = (output: string) =>
    [...output.matchAll(/^activator: (\d+)$/gm)].map(([, pid]) => Number(pid))
  const readies = (output: string) => output.split('smtpd_milters').length - 1
  const daemon = await startDaemon({
    command: 'perl',
    args: [
      ...['-e', ACTIVATOR, String(processes), names.join(':'), String(sockets.length)],
      ...sockets.map(String),
      ...serve,
    ],
    cwd: dir,
    env: { ...process.env, ...env },
    ready: (output) => readies(output) >= processes,
  })
  endWith(dir, () => daemon.stop())
  const pids = () => starts(daemon.output())
  const signal = (name: NodeJS.Signals) => void process.kill(pids().at(-1) ?? 0, name)
  return {
    configFile,
    pids,
    output: () => daemon.output(),
    signal,
    async restart() {
      const count = readies(daemon.output())
      signal('SIGTERM')
      await waitFor('the next process to be ready', () => readies(daemon.output()) > count, 30_000)
    },
    stop: () => daemon.stop(),
  }
}

// This is Perl, as Node.js cannot open a listening socket without accepting from it. Descriptors up to $^F stay open in
// the program, and the sockets begin at descriptor 3, as no other file is open.
const ACTIVATOR = `
  use strict; use Socket; $^F = 100; $| = 1;
  my ($processes, $names, $count) = splice @ARGV, 0, 3;
  my @sockets;
  for my $address (splice @ARGV, 0, $count) {
    my $socket;
    if ($address =~ m{^/}) {
      socket $socket, AF_UNIX, SOCK_STREAM, 0 or die;
      bind $socket, pack_sockaddr_un($address) or die "$address: $!";
      chmod 0666, $address;
    } else {
      socket $socket, AF_INET, SOCK_STREAM, 0 or die;
      setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
      bind $socket, pack_sockaddr_in($address, INADDR_LOOPBACK) or die "$address: $!";
    }
    listen $socket, 4096 or die;
    push @sockets, $socket;
  }
  die "unexpected descriptors" if fileno $sockets[0] != 3;
  my ($ends, %running);
  $SIG{TERM} = sub { $ends = 1; kill 'TERM', keys %running };
  until ($ends && !%running) {
    if (!$ends && keys %running < $processes) {
      my $pid = fork;
      if ($pid == 0) {
        @ENV{'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'} = ($$, $count, $names);
        $SIG{TERM} = 'DEFAULT';
        exec @ARGV or die;
      }
      $running{$pid} = 1;
      print "activator: $pid\\n";
      kill 'TERM', $pid if $ends;
      next;
    }
    my $ended = wait;
    next if $ended == -1;
    delete $running{$ended};
    print "activator: status $?\\n";
  }
`

export interface Listener {
  /** The value of NOTIFY_SOCKET. */
  readonly address: string
  /** The datagrams so far, each with its lines joined by a space. */
  messages(): string[]
}

/** Opens a unix datagram socket at a path in `dir`, or at an abstract address if `address` begins with @. */
export async function startNotifySocket(dir: string, address = join(dir, 'notify.sock')): Promise<Listener> {
  const daemon: Daemon = await startDaemon({
    command: 'perl',
    args: ['-e', RECEIVER, address],
    cwd: dir,
    ready: (output) => output.includes('ready\n'),
  })
  endWith(dir, () => daemon.stop())
  return {
    address,
    messages: () =>
      daemon
        .output()
        .split('\n')
        .slice(1, -1)
        // By this message, systemd-notify learns that the one before was taken.
        .filter((line) => line !== 'BARRIER=1'),
  }
}

const RECEIVER = `
  use strict; use Socket; $| = 1;
  my $address = shift;
  $address =~ s/^@/\\0/;
  socket my $socket, AF_UNIX, SOCK_DGRAM, 0 or die;
  bind $socket, pack_sockaddr_un($address) or die "$address: $!";
  print "ready\\n";
  while (defined recv $socket, my $message, 65536, 0) {
    $message =~ s/\\n/ /g;
    print "$message\\n";
  }
`
