// The completion scripts, in the real shells: what each of them offers at the end of a line.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { defineCommand, type Row } from '../../src/cli/command.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import { completionFor, type Shell } from '../../src/cli/completion/completion.ts'
import { EXIT } from '../../src/cli/exit.ts'
import { flag, oneOf, optional, required, zeroOrMore } from '../../src/cli/input.ts'
import { runGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'

const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish']

/** Time after which a shell that hangs is killed, in milliseconds. */
const SHELL_TIMEOUT = 60_000

const home = await scratch({ after })
const work = join(home, 'work')
await mkdir(join(work, 'folder'), { recursive: true })
await writeFile(join(work, 'milter.yaml'), '')
await writeFile(join(work, 'my file'), '')

/** The files in the folder in which the shells run. */
const FILES = ['folder', 'milter.yaml', 'my file']

/**
 * Returns, for each of `lines`, what the shell offers to complete its last word with, in alphabetical order. In bash and
 * zsh a key that inserts all that is offered is typed behind each line; the command greymx then records its words.
 */
async function offered(shell: Shell, script: string, lines: readonly string[]): Promise<string[][]> {
  const [file, results] = [join(home, '_greymx'), join(home, 'results')]
  await writeFile(file, script)
  await writeFile(results, '')
  // An empty line follows the words of each command.
  const record = `greymx() { printf '%s\\n' "$@" '' >> ${results}; }`
  const run = (command: string, args: readonly string[], input: string) =>
    spawnSync(command, args, {
      cwd: work,
      env: {
        PATH: process.env.PATH,
        HOME: home,
        ZDOTDIR: home,
        INPUTRC: '/dev/null',
        TERM: 'xterm',
        LC_ALL: 'C.UTF-8',
      },
      input,
      encoding: 'utf8',
      timeout: SHELL_TIMEOUT,
      killSignal: 'SIGKILL',
    })
  switch (shell) {
    case 'bash': {
      const typed = lines.map((line) => `${line}\x1b*\n`).join('')
      run('bash', ['--norc', '--noprofile', '-i'], `. ${file}\n${record}\n${typed}`)
      break
    }
    case 'zsh': {
      const setUp = [
        `fpath=(${home} $fpath)`,
        'autoload -Uz compinit && compinit -u -D',
        'zle -C all-matches complete-word _generic',
        "bindkey '^Xa' all-matches",
        "zstyle ':completion:all-matches:*' completer _all_matches _complete",
        "zstyle ':completion:all-matches:*' insert true",
        record,
      ]
      await writeFile(join(home, '.zshrc'), setUp.map((line) => `${line}\n`).join(''))
      const typed = lines.map((line) => `${line}\x18a\n`).join('')
      // zsh completes on a terminal only, which script(1) is for it.
      run('script', ['-qfec', 'zsh -o NO_GLOBAL_RCS -i', '/dev/null'], `${typed}exit\n`)
      break
    }
    case 'fish': {
      const asked = lines.map((line) => `complete -C '${line}' >> ${results}; echo >> ${results}\n`)
      run('fish', ['--no-config', '-c', `source ${file}\n${asked.join('')}`], '')
      break
    }
  }
  const found = (await readFile(results, 'utf8')).split(/(?<=^|\n)\n/).slice(0, -1)
  assert.equal(found.length, lines.length, `${shell}: ${found}`)
  return lines.map((line, index) => {
    const [, ...words] = line.split(' ')
    const last = words.pop() ?? ''
    const all = (found[index] ?? '').split('\n').slice(0, -1)
    const candidates =
      shell === 'fish' ? all.map((each) => each.replace(/\t.*/, '')) : all.slice(words.length)
    return candidates
      .filter((word) => word !== last)
      .map((word) => word.replace(/\/$/, ''))
      .sort()
  })
}

async function assertOffers(
  shell: Shell,
  rows: readonly Row[],
  cases: ReadonlyArray<readonly [line: string, expected: readonly string[]]>,
): Promise<void> {
  const script = await completionFor(shell, rows)
  const lines = cases.map(([line]) => line)
  const found = await offered(shell, script, lines)
  assert.deepEqual(
    lines.map((line, index) => [line, found[index]]),
    cases.map(([line, expected]) => [line, expected.toSorted()]),
  )
}

const NAMES = COMMANDS.map(({ name }) => name)

for (const shell of SHELLS) {
  test(`${shell} completes commands, options, their values and files`, async () => {
    await assertOffers(shell, COMMANDS, [
      ['greymx ', NAMES],
      ['greymx ch', ['check']],
      ['greymx nonsense', []],
      ['greymx --', ['--config', '--help', '--version']],
      ['greymx --config m', ['milter.yaml', 'my file']],
      ['greymx --config milter.yaml ch', ['check']],
      ['greymx -c check ch', ['check']],
      ['greymx check --p', ['--postfix', '--print']],
      ['greymx check --config ', FILES],
      ['greymx check -c mi', ['milter.yaml']],
      ['greymx check --config=mi', ['--config=milter.yaml']],
      ['greymx check --postfix ', ['folder']],
      ['greymx check --postfix=', ['--postfix=folder']],
      ['greymx check --postfix folder --s', ['--sendmail', '--strict']],
      ['greymx probe --client ', []],
      ['greymx probe --client 2001:db8::1 --na', ['--name']],
      ['greymx simulate --set greylist.delay=1m --wo', ['--world']],
      ['greymx simulate --replay milter.yaml ', FILES],
      ['greymx completion ', SHELLS],
      ['greymx help ', NAMES],
      ['greymx help pr', ['probe']],
      ['greymx help probe che', []],
    ])
  })

  test(`${shell} offers every option of every command`, async () => {
    const cases = await Promise.all(
      COMMANDS.map(async ({ name, load }) => {
        const options = Object.keys((await load()).command.options)
        return [`greymx ${name} --`, [...options, 'help'].map((option) => `--${option}`)] as const
      }),
    )
    await assertOffers(shell, COMMANDS, cases)
  })

  test(`${shell} completes what any table of commands has`, async () => {
    const command = defineCommand({
      about: '',
      examples: ['', ''],
      options: {
        format: optional('FORMAT', 'text or JSON', { short: 'f', choices: ['text', 'json'] }),
        // Each shell reads some of these characters as more than text.
        odd: required('A:B', `it's [a:b], $HOME \`id\` "x" \\ \\' (c) {d,e} * ;& %s`),
        all: flag(''),
      },
      args: {
        what: oneOf('WHAT', '', ['client', 'sender']),
        files: zeroOrMore('FILE', '', { completion: 'files' }),
      },
      run: async () => EXIT.ok,
    })
    const rows: Row[] = [
      { name: 'do', summary: 'it\'s [a:b], $HOME `id` "x" \\ \\\' (c)', load: async () => ({ command }) },
      { name: 'dont', summary: '', load: async () => ({ command: { ...command, args: {} } }) },
    ]
    await assertOffers(shell, rows, [
      ['greymx d', ['do', 'dont']],
      ['greymx do --format ', ['json', 'text']],
      ['greymx do --format=j', ['--format=json']],
      ['greymx do -f t', ['text']],
      ['greymx do --o', ['--odd']],
      ['greymx do --odd ', []],
      ['greymx do ', ['client', 'sender']],
      ['greymx do --all c', ['client']],
      ['greymx do client m', ['milter.yaml', 'my file']],
      ['greymx do client milter.yaml fo', ['folder']],
      ['greymx dont m', []],
    ])
  })
}

test('greymx completion prints the script of a shell, and nothing else', async () => {
  for (const shell of SHELLS) {
    const stdout = await completionFor(shell, COMMANDS)
    assert.deepEqual(await runGreymx(['completion', shell]), { status: 0, stdout, stderr: '' })
  }
  assert.deepEqual(await runGreymx(['completion', 'zhs']), {
    status: 64,
    stdout: '',
    stderr:
      'greymx: Cannot read SHELL "zhs" (did you mean zsh?): expected bash, zsh or fish. ' +
      "Try 'greymx completion --help'\n",
  })
  const missing = await runGreymx(['completion'])
  assert.equal(
    missing.stderr,
    "greymx: completion needs SHELL: expected bash, zsh or fish. Try 'greymx completion --help'\n",
  )
})
