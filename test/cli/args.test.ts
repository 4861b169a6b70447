// The command line: argv → command, or what is wrong with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCommand } from '../../src/cli/args.ts'

const PROBE = ['probe', '--client', '192.0.2.1', '--from', 'a@b', '--to', 'c@d']
const ASKED = { kind: 'probe', client: '192.0.2.1', from: 'a@b', to: ['c@d'], json: false }

test('parseCommand() reads each command', () => {
  const cases: Array<[argv: string[], command: object]> = [
    [['serve'], { kind: 'serve' }],
    [['serve', '--config', 'x.yaml'], { kind: 'serve', configFile: 'x.yaml' }],
    [['--config=x.yaml', 'check'], { kind: 'check', configFile: 'x.yaml', print: false }],
    [['check'], { kind: 'check', print: false }],
    [['check', '--print'], { kind: 'check', print: true }],
    [
      ['check', '--postfix', '/etc/postfix', '--sendmail=x.mc'],
      { kind: 'check', print: false, postfix: '/etc/postfix', sendmail: 'x.mc' },
    ],
    [PROBE, ASKED],
    [[...PROBE, '--to', 'e@f', '--json'], { ...ASKED, to: ['c@d', 'e@f'], json: true }],
    [
      [...PROBE, '--name', 'mx.test', '--helo', 'h.test', '--socket', 'unix:/s', '--config', 'x'],
      { ...ASKED, name: 'mx.test', helo: 'h.test', socket: 'unix:/s', configFile: 'x' },
    ],
    [['probe', '--client=::1', '--from=', '--to=<>'], { ...ASKED, client: '::1', from: '', to: ['<>'] }],
    [
      ['probe', '--client=::1', '--from=-x@y', '--to=z'],
      { ...ASKED, client: '::1', from: '-x@y', to: ['z'] },
    ],
    [['--help'], { kind: 'help' }],
    [['-h'], { kind: 'help' }],
    [['probe', '--help'], { kind: 'help' }],
    [['--version'], { kind: 'version' }],
    [['serve', '--version'], { kind: 'version' }],
  ]
  for (const [argv, command] of cases) assert.deepEqual(parseCommand(argv), command, argv.join(' '))
})

test('parseCommand() says what is wrong', () => {
  const cases: Array<[argv: string[], problem: string | RegExp]> = [
    [[], 'expected a command'],
    [['--config', 'x'], 'expected a command'],
    [['greylist'], 'unknown command "greylist"'],
    [['Serve'], 'unknown command "Serve"'],
    [[''], 'unknown command ""'],
    [['serve', 'now'], 'unexpected argument "now"'],
    [['check', '--json'], 'check takes no --json'],
    [['serve', '--print'], 'serve takes no --print'],
    [[...PROBE, '--print'], 'probe takes no --print'],
    [['serve', '--client', '::1'], 'serve takes no --client'],
    [['serve', '--to', 'a@b'], 'serve takes no --to'],
    [['serve', '--postfix', 'x'], 'serve takes no --postfix'],
    [[...PROBE, '--sendmail', 'x'], 'probe takes no --sendmail'],
    [['probe'], 'probe needs --client IP'],
    [['probe', '--client', '::1'], 'probe needs --from ADDR'],
    [['probe', '--client', '::1', '--from', 'a@b'], 'probe needs --to ADDR'],
    [['serve', '--config'], /--config/],
    [['serve', '--listen', 'x'], /--listen/],
    [['serve', '-v'], /-v/],
    [['probe', '--json=yes'], /--json/],
    [[...PROBE, 'extra'], 'unexpected argument "extra"'],
  ]
  for (const [argv, problem] of cases) {
    const command = parseCommand(argv)
    assert.ok(command.kind === 'usage', argv.join(' '))
    if (typeof problem === 'string') assert.equal(command.problem, problem)
    else assert.match(command.problem, problem)
  }
})

// Whatever is typed, the answer is a command or a problem in words.
test('parseCommand() never throws', () => {
  const word = fc.constantFrom(
    ...[
      'serve',
      'check',
      'probe',
      '--config',
      '--config=',
      '--client',
      '--from',
      '--to',
      '--json',
      '--postfix',
      '--no-json',
    ],
    ...['--', '-', '-h', '-x', '--help', '--version', '', ' ', 'a@b', '::1', '--=', '--to=x', '--__proto__'],
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string()), { maxLength: 8 }), (argv) => {
      const command = parseCommand(argv)
      if (command.kind === 'usage') assert.notEqual(command.problem, '')
    }),
    { numRuns: 1000 },
  )
})
