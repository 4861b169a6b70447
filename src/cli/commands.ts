// The table of commands. Usage, help, completion and the reading of command lines follow from it.

import type { Row } from './command.ts'

/** All commands, in the order of `greymx --help`. */
export const COMMANDS: readonly Row[] = [
  {
    name: 'serve',
    summary: 'answer MTAs as a milter until SIGTERM; SIGHUP reloads settings',
    load: () => import('./commands/serve.ts'),
  },
  {
    name: 'check',
    summary: 'report faults of the configuration, and what will not work well',
    load: () => import('./commands/check.ts'),
  },
  {
    name: 'probe',
    summary: 'ask the running daemon as an MTA would, and print the SMTP replies',
    load: () => import('./commands/probe.ts'),
  },
  {
    name: 'simulate',
    summary: 'print figures of settings in a simulated world, or for logged mail',
    load: () => import('./commands/simulate.ts'),
  },
  {
    name: 'completion',
    summary: 'print a script that makes a shell complete greymx',
    load: () => import('./commands/completion.ts'),
  },
  {
    name: 'help',
    summary: 'explain a command, its options and its arguments',
    load: () => import('./commands/help.ts'),
  },
]
