// What holds for every row of the table of commands: help that fits on a screen, and examples that work.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { readCommandLine } from '../../src/cli/args.ts'
import { defineCommand, type Row } from '../../src/cli/command.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import { EXIT } from '../../src/cli/exit.ts'
import { flag, oneOrMore, optional, required } from '../../src/cli/input.ts'
import { helpOf, usageOf } from '../../src/cli/usage.ts'

const MAX_LINES = 25
const MAX_COLUMNS = 80

function assertFits(help: string): void {
  assert.match(help, /^Usage: greymx .*\n\n/)
  assert.ok(help.endsWith('\n') && !help.endsWith('\n\n'))
  const lines = help.split('\n').slice(0, -1)
  assert.ok(lines.length <= MAX_LINES, `${lines.length} lines\n${help}`)
  for (const line of lines) assert.ok(line.length <= MAX_COLUMNS && !/\s$/.test(line), line)
}

test('the usage of greymx names every command, and fits on a screen', () => {
  const usage = usageOf(COMMANDS)
  assertFits(usage)
  for (const { name, summary } of COMMANDS) assert.match(usage, new RegExp(`^  ${name} +${summary}$`, 'm'))
  assert.equal(new Set(COMMANDS.map(({ name }) => name)).size, COMMANDS.length)
})

for (const row of COMMANDS) {
  test(`the help of ${row.name} names every option and argument, and fits on a screen`, async () => {
    const { command } = await row.load()
    const help = helpOf(row, command)
    assertFits(help)
    const words = help.replace(/\s+/g, ' ')
    const options = Object.entries(command.options)
    for (const [name, { meaning }] of options)
      assert.ok(words.includes(`--${name}`) && words.includes(meaning))
    for (const { placeholder, meaning } of Object.values(command.args))
      assert.ok(words.includes(placeholder ?? assert.fail()) && words.includes(meaning))
  })

  test(`no two options and arguments of ${row.name} are mistaken for each other`, async () => {
    const { options, args } = (await row.load()).command
    const names = [...Object.keys(options), ...Object.keys(args), 'help', 'version']
    assert.equal(new Set(names).size, names.length)
    const letters = ['h', 'V', ...Object.values(options).flatMap(({ short }) => short ?? [])]
    assert.equal(new Set(letters).size, letters.length)
  })

  test(`every example of ${row.name} is a command line that works as it stands`, async () => {
    const { command } = await row.load()
    assert.ok(command.examples.length >= 2)
    for (const example of command.examples) {
      const [, line = ''] = /(greymx .*?)(?:\)| > .*)?$/.exec(example) ?? []
      const words = execFileSync('bash', ['-c', `greymx() { printf '%s\\0' "$@"; }; ${line}`], {
        encoding: 'utf8',
      })
      const request = await readCommandLine(words.split('\0').slice(0, -1), COMMANDS)
      assert.ok(request.kind === 'run' && request.command === command, example)
    }
  })
}

// Before the command is known, an option of any command may stand, and a shell asks for its value too.
test('an option has a value in every command that has it, or in none', async () => {
  const takesValue = new Map<string, boolean>()
  for (const { load } of COMMANDS) {
    for (const [name, { placeholder }] of Object.entries((await load()).command.options)) {
      const isValued = placeholder !== undefined
      assert.equal(takesValue.get(name) ?? isValued, isValued, name)
      takesValue.set(name, isValued)
    }
  }
})

test('helpOf() shows what an option or argument takes, and whether it has to be given', () => {
  const command = defineCommand({
    about: 'Does it.',
    examples: ['greymx do x', 'greymx do y'],
    options: {
      all: flag('all of it'),
      to: oneOrMore('ADDR', 'where to'),
      format: optional('FORMAT', 'how', { short: 'f', choices: ['text', 'json', 'csv'] }),
    },
    args: { ip: required('IP', 'of whom'), ref: optional('REF', 'of what') },
    run: async () => EXIT.ok,
  })
  const row: Row = { name: 'do', summary: '', load: async () => ({ command }) }
  assert.equal(
    helpOf(row, command),
    `Usage: greymx do --to ADDR... [OPTIONS] IP [REF]

Does it.

  IP                   of whom (required)
  REF                  of what
      --all            all of it
      --to ADDR...     where to (required)
  -f, --format FORMAT  how: text, json or csv
  -h, --help           print this help

Examples:
  greymx do x
  greymx do y
`,
  )
})
