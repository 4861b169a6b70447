// The completion script for bash 4.4 and later. It needs no other package. Source: bash(1), "Programmable Completion".

import { type Completable, type CompletableOption, type CompletableValue, formsOf } from './table.ts'

/** Returns the script, which is sourced. */
export function bashCompletion({ commands, options }: Completable): string {
  const names = commands.map(({ name }) => name)
  const valued = [
    ...options.flatMap((option) => valueCases('*', option)),
    ...commands.flatMap((command) => {
      const own = command.options.filter(({ long }) => options.every((other) => other.long !== long))
      return own.flatMap((option) => valueCases(`'${command.name}'`, option))
    }),
  ]
  const offered = [{ name: '', options }, ...commands].map(
    ({ name, options }) => `'${name}') value='${options.map(({ long }) => long).join(' ')}' ;;`,
  )
  const args = commands.flatMap(({ name, args }) =>
    args.map((value, place) => `'${name} '${value.repeats ? '*' : place}) value=${codeOf(value)} ;;`),
  )
  return `# Completion of greymx for bash, printed by \`greymx completion bash\`.

_greymx() {
  # The value that is completed: words, or @files, @directories or @unknown.
  local value= current=\${COMP_WORDS[COMP_CWORD]} command= word
  local -i arguments=0 ended=0
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word =~ ^[=:]+$ ]]; then
      # Bash cuts words before and after these characters. The next piece continues the word, or is an option's value.
      value=\${value:-@unknown}
    elif [[ $value ]]; then
      value=
    elif ((!ended)) && [[ $word == -- ]]; then
      ended=1
    elif ((!ended)) && [[ $word == -?* ]]; then
      case "$command $word" in
${indented(valued, 8)}
      esac
    elif [[ ! $command ]]; then
      command=$word
    else
      arguments+=1
    fi
  done
  if [[ $current =~ ^[=:]+$ ]]; then
    value=\${value:-@unknown} current=
  fi
  if [[ ! $value ]]; then
    if ((!ended)) && [[ $current == -* ]]; then
      case $command in
${indented(offered, 8)}
      esac
    elif [[ ! $command ]]; then
      value='${names.join(' ')}'
    else
      case "$command $arguments" in
${indented(args, 8)}
      esac
    fi
  fi
  COMPREPLY=()
  case $value in
    # Readline completes names of files itself, as it knows how to quote them.
    @files) compopt -o default ;;
    @directories) compopt -o dirnames ;;
    @unknown) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$current") ;;
  esac
}

complete -F _greymx greymx
`
}

/** Returns the line of a `case` that says which value follows an option of a command, if one does. */
function valueCases(command: string, option: CompletableOption): string[] {
  const patterns = formsOf(option).map((form) => `${command}' ${form}'`)
  return option.value ? [`${patterns.join(' | ')}) value=${codeOf(option.value)} ;;`] : []
}

function codeOf({ completion }: CompletableValue): string {
  return typeof completion === 'string' ? `@${completion}` : `'${completion.join(' ')}'`
}

function indented(lines: readonly string[], columns: number): string {
  return lines.map((line) => `${' '.repeat(columns)}${line}`).join('\n')
}
