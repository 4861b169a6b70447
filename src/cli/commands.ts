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
    name: 'decide',
    summary: 'ask the running daemon about one attempt, for an ACL of Exim',
    load: () => import('./commands/decide.ts'),
  },
  {
    name: 'explain',
    summary: 'tell what an attempt gets now and later, and by which rule',
    load: () => import('./commands/explain.ts'),
  },
  {
    name: 'show',
    summary: 'show what became of the message with a reference',
    load: () => import('./commands/show.ts'),
  },
  {
    name: 'list',
    summary: 'list what is kept of triplets',
    load: () => import('./commands/list.ts'),
  },
  {
    name: 'allow',
    summary: 'let mail pass on every MX, by its reference or its addresses',
    load: () => import('./commands/allow.ts'),
  },
  {
    name: 'expect',
    summary: 'let the first message that a recipient expects pass',
    load: () => import('./commands/expect.ts'),
  },
  {
    name: 'forget',
    summary: 'forget a triplet, a client, or everything about one address',
    load: () => import('./commands/forget.ts'),
  },
  {
    name: 'off',
    summary: 'switch greylisting off on every MX, for all mail or some',
    load: () => import('./commands/off.ts'),
  },
  {
    name: 'on',
    summary: 'switch it on again, or end a rule',
    load: () => import('./commands/on.ts'),
  },
  {
    name: 'rules',
    summary: 'list the rules of allow and off',
    load: () => import('./commands/rules.ts'),
  },
  {
    name: 'recipients',
    summary: 'list and change the recipients in the store that are greylisted',
    load: () => import('./commands/recipients.ts'),
  },
  {
    name: 'report',
    summary: 'report what was held back, and what never came back',
    load: () => import('./commands/report.ts'),
  },
  {
    name: 'export',
    summary: 'print all that the store keeps, for greymx import',
    load: () => import('./commands/export.ts'),
  },
  {
    name: 'import',
    summary: 'take over what another greylister or another store of greymx knows',
    load: () => import('./commands/import.ts'),
  },
  {
    name: 'simulate',
    summary: 'print figures of settings in a simulated world, or for logged mail',
    load: () => import('./commands/simulate.ts'),
  },
  {
    name: 'stats',
    summary: 'print what greylisting did in the last hours or days',
    load: () => import('./commands/stats.ts'),
  },
  {
    name: 'status',
    summary: 'print which daemons share the store, and what needs attention',
    load: () => import('./commands/status.ts'),
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
