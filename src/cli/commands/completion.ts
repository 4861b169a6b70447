// greymx completion, as the command line has it. The scripts are in ../completion/.

import { defineCommand } from '../command.ts'
import { EXIT } from '../exit.ts'
import { oneOf } from '../input.ts'
import { print } from '../output.ts'

export const command = defineCommand({
  about:
    'Prints a script for a shell, which then completes commands, options and their values, and names of files where ' +
    'greymx expects a file. greymx has to be a command or a function of the shell. The script does not run it.',
  examples: [
    'source <(greymx completion bash)',
    'greymx completion zsh > /usr/local/share/zsh/site-functions/_greymx',
    'greymx completion fish > /etc/fish/completions/greymx.fish',
  ],
  options: {},
  args: { shell: oneOf('SHELL', 'the shell', ['bash', 'zsh', 'fish']) },
  async run({ shell }, rows) {
    const { completionFor } = await import('../completion/completion.ts')
    print(await completionFor(shell, rows))
    return EXIT.ok
  },
})
