// Writes the manual page greymx(8) from the table of commands.

import type { Row } from '../cli/command.ts'
import { EXIT } from '../cli/exit.ts'
import { inputRows, synopsisOf } from '../cli/usage.ts'
import { bold, entry, paragraph, section, subsection, title, verbatim } from './roff.ts'

/** What each exit status means, by its name. */
const STATUSES: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'All is well.',
  warnings: 'check --strict has warnings, or status points out something.',
  usage: 'The command line has a mistake, which is named.',
  data: 'More records of an import are broken than --max-errors, or its source cannot be read.',
  unavailable: 'The daemon, the store or a socket cannot be reached.',
  tempfail: 'The attempt that was asked about is deferred.',
  config: 'The configuration is faulty; each fault is named.',
}

/** Resolves to the page in man(7)'s language. */
export async function commandManual(rows: readonly Row[], version: string): Promise<string> {
  const commands = rows.map(async (row) => {
    const { command } = await row.load()
    return subsection(
      synopsisOf(row, command),
      paragraph(command.about),
      ...inputRows(command).map(([shown, meaning]) => entry([bold(shown.trim())], `${meaning}.`)),
      paragraph(command.examples.length === 1 ? 'Example:' : 'Examples:'),
      verbatim(command.examples),
    )
  })
  return [
    title('GREYMX', 8, version),
    section('NAME', 'greymx \\- greylisting for Postfix and Sendmail, as a milter\n'),
    section('SYNOPSIS', `.B greymx\n.I COMMAND\n[\\fIOPTIONS\\fR]\n`),
    section(
      'DESCRIPTION',
      paragraph(
        'A mail server answers 451 to a sender that it has never seen. Real mail servers queue the message and retry. ' +
          'greymx gives that answer to the MTA, remembers it, and lets the retry pass. greymx serve is the daemon; the ' +
          'other commands check its settings, ask it, and let mail through.',
      ),
      paragraph('These are the commands:'),
      ...rows.map(({ name, summary }) => entry([bold(name)], `${summary}.`)),
    ),
    section('COMMANDS', ...(await Promise.all(commands))),
    section(
      'SIGNALS',
      entry(
        [bold('SIGHUP')],
        'greymx serve reads its settings and lists again. A faulty file changes nothing.',
      ),
      entry([bold('SIGTERM'), bold('SIGINT')], 'greymx serve lets open SMTP sessions end, and ends.'),
    ),
    section(
      'FILES',
      entry(
        [bold('./milter.yaml'), bold('/etc/greymx/milter.yaml')],
        'the settings, of which the first counts',
      ),
    ),
    section(
      'EXIT STATUS',
      ...Object.entries(EXIT).map(([name, status]) =>
        entry([bold(String(status))], STATUSES[name as keyof typeof EXIT]),
      ),
    ),
    section('SEE ALSO', '.BR milter.yaml (5),\n.BR postconf (5),\n.BR sendmail (8)\n'),
  ].join('')
}
