// Debian's sqlgrey, which debian.ts unpacks and does not install: its list files, and a copy of the program, with SQLite,
// whose clock each request sets.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { connectPolicy, isListening, type PolicyClient } from './policy.ts'
import { endWith } from './scratch.ts'

/** The folder with the unpacked Debian package of sqlgrey, below the root of the repository. */
export const sqlgreyRoot = join(process.cwd(), 'node_modules/.cache/greymx/sqlgrey')
export const sqlgreyProgram = join(sqlgreyRoot, 'usr/sbin/sqlgrey')
export const sqlgreySettings = join(sqlgreyRoot, 'etc/sqlgrey')

/**
 * Starts sqlgrey with the settings of Debian's package but SQLite, in `dir`, a folder of `scratch`, and resolves when it
 * listens. Its clock shows the `policy_test_time` of the latest request, in seconds. `database` is a file, which is
 * complete after each answer.
 */
export async function startSqlgrey(dir: string, database = ':memory:'): Promise<PolicyClient> {
  const socket = join(dir, 'sqlgrey.sock')
  const program = join(dir, 'sqlgrey')
  const settings = join(dir, 'sqlgrey.conf')
  await writeFile(program, withClock(await readFile(sqlgreyProgram, 'latin1')), 'latin1')
  await writeFile(
    settings,
    [
      await readFile(join(sqlgreySettings, 'sqlgrey.conf'), 'latin1'),
      `conf_dir = ${sqlgreySettings}`,
      ...['user = root', 'group = root', `unix = ${socket}`],
      ...['db_type = SQLite', `db_name = ${database}`],
      // Errors alone are logged, and nobody gets mail of them.
      ...['loglevel = 0', 'admin_mail ='],
    ].join('\n'),
    'latin1',
  )
  const daemon = await startDaemon({
    command: 'perl',
    args: [program, `--configfile=${settings}`],
    cwd: dir,
    ready: () => isListening(socket),
  })
  endWith(dir, () => daemon.stop('SIGKILL'))
  return connectPolicy(dir, socket)
}

/** The program with a `time` of its own, which the attribute `policy_test_time` sets. */
function withClock(program: string): string {
  const steps: readonly (readonly [place: RegExp, added: string])[] = [
    [/^package sqlgrey;$/m, "our $clock = 0;\nuse subs 'time';\nsub time { return $clock }"],
    [
      /^sub smtpd_access_policy\(\$\$\)\n\{\n\s+my \(\$self, \$attr\) = @_;$/m,
      '    $clock = $attr->{policy_test_time};',
    ],
  ]
  return steps.reduce((text, [place, added]) => {
    if (!place.test(text)) throw new Error(`Cannot give sqlgrey a clock: expected ${place} in the program`)
    return text.replace(place, (found) => `${found}\n${added}`)
  }, program)
}
