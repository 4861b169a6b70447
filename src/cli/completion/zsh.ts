// The completion script for zsh. Source: zshcompsys(1), _arguments.

import { type Completable, type CompletableOption, type CompletableValue, formsOf } from './table.ts'

/** Returns the script, which may be a file `_greymx` in `$fpath` as well as be sourced. */
export function zshCompletion({ commands, options }: Completable): string {
  const cases = commands.map(({ name, options, args }) => {
    const specs = [...options.map(optionSpec), ...args.map(argumentSpec)]
    return `        ${name})
          _arguments -s -S : \\
            ${specs.join(' \\\n            ')}
          ;;`
  })
  const described = commands.map(({ name, summary }) => quoted(`${name}:${summary}`))
  return `#compdef greymx
# Completion of greymx for zsh, printed by \`greymx completion zsh\`.

_greymx() {
  local curcontext=$curcontext state line
  local -A opt_args
  _arguments -C -s -S : \\
    ${options.map(optionSpec).join(' \\\n    ')} \\
    '1: :->command' \\
    '*:: :->rest'
  case $state in
    command)
      local -a commands=(
        ${described.join('\n        ')}
      )
      _describe -t commands command commands
      ;;
    rest)
      case $words[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _greymx ]]; then
  _greymx "$@"
else
  compdef _greymx greymx
fi
`
}

/** Returns what `_arguments` takes for an option: forms that exclude each other, meaning and value. */
function optionSpec(option: CompletableOption): string {
  const { long, short, meaning, value } = option
  const rest = quoted(`[${escaped(meaning, /[[\]:\\]/g)}]${value ? `:${valueSpec(value)}` : ''}`)
  const forms = value ? [...(short === undefined ? [] : [`${short}+`]), `${long}=`] : formsOf(option)
  const form = forms.length > 1 ? `{${forms.join(',')}}` : forms.join('')
  if (value?.repeats) return `\\*${form}${rest}`
  return `${short === undefined ? '' : quoted(`(${formsOf(option).join(' ')})`)}${form}${rest}`
}

function argumentSpec(value: CompletableValue, index: number): string {
  return quoted(`${value.repeats ? '*' : index + 1}:${valueSpec(value)}`)
}

/** Returns the name of a value and how it is completed; a space stands for nothing to complete. */
function valueSpec({ placeholder, completion }: CompletableValue): string {
  const actions = { files: '_files', directories: '_files -/', unknown: ' ' }
  const action = typeof completion === 'string' ? actions[completion] : `(${completion.join(' ')})`
  return `${escaped(placeholder, /[:\\]/g)}:${action}`
}

function escaped(text: string, special: RegExp): string {
  return text.replace(special, '\\$&')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
