// The completion script for fish 3.4 and later. Source: complete(1) of fish.

import { type Completable, type CompletableOption, type CompletableValue, formsOf } from './table.ts'

/** The folders that the last word may mean. fish itself puts `--option=` in front of what it completes. */
const DIRECTORIES = `(__fish_complete_directories (commandline -ct | string replace -r '^--[^=]+=' ''))`

/** Returns the script, which is sourced, or a file `greymx.fish` in one of fish's folders for completions. */
export function fishCompletion({ commands, options }: Completable): string {
  const all = [...options, ...commands.flatMap((command) => command.options)]
  const valued = new Set(all.flatMap((option) => (option.value ? formsOf(option) : [])))
  const lines = [
    ...options.map((option) => `${at('')} ${optionSpec(option)}`),
    ...commands.map(({ name, summary }) => `${at('')} -a ${name} -d ${quoted(summary)}`),
    ...commands.flatMap(({ name, options, args }) => [
      ...options.map((option) => `${at(name)} ${optionSpec(option)}`),
      ...args.map((value, place) => `${at(name, place, value.repeats)} ${valueSpec(value)}`),
    ]),
  ]
  return `# Completion of greymx for fish, printed by \`greymx completion fish\`.

# Succeeds if the cursor is behind the command $argv[1] and at least $argv[2] and at most $argv[3] of its arguments.
function __greymx_at
    set -l command ''
    set -l arguments 0
    set -l is_value 0
    set -l words (commandline -opc)
    for word in $words[2..]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case ${[...valued].join(' ')}
                set is_value 1
            case '-?*'
            case '*'
                if test -z "$command"
                    set command $word
                else
                    set arguments (math $arguments + 1)
                end
        end
    end
    test "$command" = "$argv[1]" -a $arguments -ge $argv[2] -a $arguments -le $argv[3]
end

complete -c greymx -f
${lines.join('\n')}
`
}

/** More arguments than a command line has. */
const ENDLESS = 99_999

/** Returns the beginning of a completion that is for an argument of a command, or for everything behind it. */
function at(command: string, place = 0, isForMore = true): string {
  return `complete -c greymx -n "__greymx_at '${command}' ${place} ${isForMore ? ENDLESS : place}"`
}

function optionSpec({ long, short, meaning, value }: CompletableOption): string {
  const forms = `${short === undefined ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`
  return `${forms}${value ? ` -r ${valueSpec(value)}` : ''} -d ${quoted(meaning)}`
}

function valueSpec({ completion }: CompletableValue): string {
  if (completion === 'files') return '-F'
  if (completion === 'unknown') return '-f'
  return `-f -a ${quoted(completion === 'directories' ? DIRECTORIES : completion.join(' '))}`
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}
