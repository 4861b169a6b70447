// The command line: argv → command and its values, or what is wrong with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyOf, namesOf, type Request, readCommandLine } from '../../src/cli/args.ts'
import { type Command, defineCommand, type Row } from '../../src/cli/command.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import { EXIT } from '../../src/cli/exit.ts'
import { CONFIG, flag, oneOrMore, optional, required, zeroOrMore } from '../../src/cli/input.ts'

const PROBE = ['probe', '--client', '192.0.2.1', '--from', 'a@b', '--to', 'c@d']
const ASKED = { client: ['192.0.2.1'], from: ['a@b'], to: ['c@d'] }

const read = (argv: readonly string[], rows = COMMANDS) => readCommandLine(argv, rows)

/** What a command line asks for, in plain words: a command and what is given, or whose help. */
async function shown(request: Request): Promise<object> {
  if (request.kind === 'run') return { [await nameOf(request.command)]: Object.fromEntries(request.given) }
  if (request.kind === 'help') return request.of ? { help: request.of.row.name } : { help: '' }
  return request.kind === 'version' ? { version: '' } : { misuse: request.problem }
}

async function nameOf(command: Command): Promise<string> {
  for (const row of COMMANDS) if ((await row.load()).command === command) return row.name
  return assert.fail('a command of no row')
}

test('readCommandLine() reads each command', async () => {
  const cases: Array<[argv: string[], asked: object]> = [
    [['serve'], { serve: {} }],
    [['serve', '--config', 'x.yaml'], { serve: { config: ['x.yaml'] } }],
    [['--config=x.yaml', 'check'], { check: { config: ['x.yaml'] } }],
    [['--config', 'x.yaml', 'check'], { check: { config: ['x.yaml'] } }],
    [['-c', 'x.yaml', 'check'], { check: { config: ['x.yaml'] } }],
    [['check', '-cx.yaml'], { check: { config: ['x.yaml'] } }],
    [['check'], { check: {} }],
    [['--', 'check'], { check: {} }],
    [['check', '--'], { check: {} }],
    [['check', '--print'], { check: { print: [''] } }],
    [['--json', 'check', '--print'], { check: { json: [''], print: [''] } }],
    [
      ['check', '--postfix', '/etc/postfix', '--sendmail=x.mc'],
      { check: { postfix: ['/etc/postfix'], sendmail: ['x.mc'] } },
    ],
    [PROBE, { probe: ASKED }],
    [['--json', ...PROBE], { probe: { ...ASKED, json: [''] } }],
    [[...PROBE, '--to', 'e@f', '--json'], { probe: { ...ASKED, to: ['c@d', 'e@f'], json: [''] } }],
    [
      [...PROBE, '--name', 'mx.test', '--helo', 'h.test', '--socket', 'unix:/s', '--config', 'x'],
      { probe: { ...ASKED, name: ['mx.test'], helo: ['h.test'], socket: ['unix:/s'], config: ['x'] } },
    ],
    [['probe', '--client=::1', '--from=', '--to=<>'], { probe: { client: ['::1'], from: [''], to: ['<>'] } }],
    [['simulate'], { simulate: {} }],
    [
      ['simulate', '--set', 'a=1', '--json', '--set', 'b=2,c=3', '--by-class', '--seed', '7'],
      { simulate: { set: ['a=1', 'b=2,c=3'], json: [''], 'by-class': [''], seed: ['7'] } },
    ],
    [
      ['simulate', '--replay', 'a', 'b', '--peers', 'c', '--replay=d'],
      { simulate: { replay: ['a', 'd'], logs: ['b', 'c'], peers: [''] } },
    ],
    // Any option may stand before the command.
    [
      ['--client', '::1', 'probe', '--from=a', '--to=b'],
      { probe: { client: ['::1'], from: ['a'], to: ['b'] } },
    ],
    [['--print', '--postfix', 'check', 'check'], { check: { print: [''], postfix: ['check'] } }],
    // --config is taken everywhere, so that an alias may have it.
    [['--config', 'x.yaml', 'help', 'check'], { help: { config: ['x.yaml'], name: ['check'] } }],
    [['help', '-c', 'x.yaml'], { help: { config: ['x.yaml'] } }],
    // What is given twice counts as it is given last, which read() of the row sees to.
    [
      ['-c', 'a', 'check', '-c', 'b', '--print', '--print'],
      { check: { config: ['a', 'b'], print: ['', ''] } },
    ],
    [
      ['probe', '--client=::1', '--from', '', '--to=<>'],
      { probe: { client: ['::1'], from: [''], to: ['<>'] } },
    ],
    [
      ['probe', '--client=::1', '--from=-x@y', '--to=z'],
      { probe: { client: ['::1'], from: ['-x@y'], to: ['z'] } },
    ],
    [['help'], { help: {} }],
    [['help', 'probe'], { help: { name: ['probe'] } }],
    [['help', '--', 'probe'], { help: { name: ['probe'] } }],
    [['--help'], { help: '' }],
    [['-h'], { help: '' }],
    [['probe', '--help'], { help: 'probe' }],
    [['--help', 'probe'], { help: 'probe' }],
    [['help', '-h'], { help: 'help' }],
    [['--version'], { version: '' }],
    [['-V'], { version: '' }],
    [['serve', '--version'], { version: '' }],
    [['--version', 'nonsense'], { version: '' }],
    // Who asks for help gets it, whatever else is wrong.
    [['-x', '--help'], { help: '' }],
    [['check', '--nonsense', '-h'], { help: 'check' }],
  ]
  for (const [argv, asked] of cases) assert.deepEqual(await shown(await read(argv)), asked, argv.join(' '))
})

test('readCommandLine() names the mistake, and whose help to try', async () => {
  const commands = `expected ${anyOf(namesOf(COMMANDS))}`
  const options = 'expected --config, --help or --version'
  const cases: Array<[argv: string[], problem: string, command?: string]> = [
    [[], 'expected a command'],
    [['--config', 'x'], 'expected a command'],
    [['--'], 'expected a command'],
    [['greylist'], `unknown command "greylist": ${commands}`],
    [['Serve'], 'unknown command "Serve" (did you mean serve?)'],
    [['prob'], 'unknown command "prob" (did you mean probe?)'],
    [['chekc', '--help'], 'unknown command "chekc" (did you mean check?)'],
    [[''], `unknown command "": ${commands}`],
    [['a\nb\u001b\u009b'], `unknown command "a\\nb\\u001b\\u{9b}": ${commands}`],
    [['serve', 'now'], 'unexpected argument "now": serve takes none', 'serve'],
    [['check', 'extra'], 'unexpected argument "extra": check takes none', 'check'],
    [['check', ''], 'unexpected argument "": check takes none', 'check'],
    [['--', 'check', '--print'], 'unexpected argument "--print": check takes none', 'check'],
    [[...PROBE, 'extra'], 'unexpected argument "extra": probe takes none', 'probe'],
    [['help', 'check', 'probe'], 'unexpected argument "probe": help takes COMMAND only', 'help'],
    [['serve', '--confg', 'x'], 'unknown option "--confg" (did you mean --config?)', 'serve'],
    [['serve', '--confg=x'], 'unknown option "--confg" (did you mean --config?)', 'serve'],
    [['--confg', 'x', 'serve'], 'unknown option "--confg" (did you mean --config?)'],
    [['-config', 'x', 'serve'], 'unknown option "-config" (did you mean --config?)'],
    [['serve', '-config=x'], 'unknown option "-config" (did you mean --config?)', 'serve'],
    [['serve', '--json'], `unknown option "--json": ${options}`, 'serve'],
    [['--json', 'serve'], `unknown option "--json": ${options}`, 'serve'],
    [['serve', '--print'], `unknown option "--print": ${options}`, 'serve'],
    [['serve', '--client', '::1'], `unknown option "--client": ${options}`, 'serve'],
    [['--client', '::1', 'serve'], `unknown option "--client": ${options}`, 'serve'],
    [['serve', '--to', 'a@b'], `unknown option "--to": ${options}`, 'serve'],
    [['serve', '--postfix', 'x'], `unknown option "--postfix": ${options}`, 'serve'],
    [['serve', '--__proto__'], `unknown option "--__proto__": ${options}`, 'serve'],
    [['serve', '-v'], `unknown option "-v": ${options}`, 'serve'],
    [
      ['check', '--client', '::1'],
      'unknown option "--client": expected --print, --strict, --postfix, --sendmail, --exim, --redis, --config, --json, --help or --version',
      'check',
    ],
    [
      [...PROBE, '--sendmail', 'x'],
      'unknown option "--sendmail": ' +
        'expected --client, --name, --helo, --from, --to, --socket, --config, --json, --help or --version',
      'probe',
    ],
    [[...PROBE, '--sokcet', 'x'], 'unknown option "--sokcet" (did you mean --socket?)', 'probe'],
    [['simulate', '--by-clas'], 'unknown option "--by-clas" (did you mean --by-class?)', 'simulate'],
    [['--sokcet', 'x', 'probe'], 'unknown option "--sokcet" (did you mean --socket?)'],
    [['--client', '::1'], 'expected a command'],
    [['serve', '--config'], '--config has no value: expected --config FILE', 'serve'],
    [['--config'], '--config has no value: expected --config FILE'],
    [['serve', '-c'], '-c has no value: expected --config FILE', 'serve'],
    [['check', '--postfix'], '--postfix has no value: expected --postfix DIR', 'check'],
    [
      ['check', '--postfix', '--print'],
      '--postfix has no value before "--print": expected --postfix DIR, or --postfix=DIR for a value with a dash in front',
      'check',
    ],
    [['probe', '--json=yes'], '--json takes no value, but has "yes"', 'probe'],
    [['probe', '--json='], '--json takes no value, but has ""', 'probe'],
    [['probe'], 'probe needs --client IP', 'probe'],
    [['probe', '--client', '::1'], 'probe needs --from ADDR', 'probe'],
    [['probe', '--client', '::1', '--from', 'a@b'], 'probe needs --to ADDR', 'probe'],
  ]
  for (const [argv, problem, command] of cases) {
    const misuse = { kind: 'misuse', problem, ...(command === undefined ? {} : { command }) }
    assert.deepEqual(await read(argv), misuse, argv.join(' '))
  }
})

test('a command runs with values of the types that its rows state', async () => {
  let got: unknown
  const command = defineCommand({
    about: '',
    examples: ['', ''],
    options: {
      config: CONFIG,
      dry: flag(''),
      format: optional('FORMAT', '', { choices: ['text', 'json'] }),
      set: oneOrMore('X', ''),
      more: zeroOrMore('Y', ''),
    },
    args: { ip: required('IP', ''), refs: oneOrMore('REF', '') },
    async run({ config, dry, format, set, more, ip, refs }) {
      // The compiler knows the types: each of these lines is an error where one is another.
      const texts: readonly string[] = [ip, ...set, ...more, ...refs, config ?? '', format ?? '']
      const isDry: boolean = dry
      got = { texts, isDry, config, format }
      return EXIT.ok
    },
  })
  const rows: Row[] = [{ name: 'do', summary: '', load: async () => ({ command }) }]
  const run = async (...argv: string[]) => {
    const request = await read(argv, rows)
    assert.ok(request.kind === 'run', JSON.stringify(request))
    assert.equal(await request.command.run(request.given, rows), EXIT.ok)
    return got
  }
  assert.deepEqual(await run('do', '::1', '--set=', 'r1', '--dry', 'r2', '--set', '2', '--format=json'), {
    texts: ['::1', '', '2', 'r1', 'r2', '', 'json'],
    isDry: true,
    config: undefined,
    format: 'json',
  })
  assert.deepEqual(await run('-c', 'w', 'do', '--set=1', '-cx', '--', '--set', '-'), {
    texts: ['--set', '1', '-', 'x', ''],
    isDry: false,
    config: 'x',
    format: undefined,
  })
  const mistakes: Array<[argv: string[], problem: string]> = [
    [['--set=1', '::1'], 'do needs REF'],
    [['--set=1'], 'do needs IP'],
    [['--format', 'jsn'], 'Cannot read --format "jsn" (did you mean json?): expected text or json'],
  ]
  for (const [argv, problem] of mistakes) {
    assert.deepEqual(await read(['do', ...argv], rows), { kind: 'misuse', problem, command: 'do' })
  }
})

// Whatever is typed, the answer is a command, help, or a problem in words, on one line.
test('readCommandLine() never rejects', async () => {
  const word = fc.constantFrom(
    ...[
      'serve',
      'check',
      'probe',
      'simulate',
      'help',
      '--replay',
      '--set',
      '--config',
      '--config=',
      '-c',
      '--client',
      '--from',
    ],
    ...['--to', '--json', '--postfix', '--no-json', '--help=x', '-hx', '-config'],
    ...['--', '-', '-h', '-x', '--help', '--version', '', ' ', 'a@b', '::1', '--=', '--to=x', '--__proto__'],
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(word, fc.string({ unit: 'binary' })), { maxLength: 8 }),
      async (argv) => {
        const request = await read(argv)
        if (request.kind === 'misuse') assert.match(request.problem, /^\P{C}+$/u)
      },
    ),
    { numRuns: 1000 },
  )
})
