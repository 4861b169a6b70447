// Tests of the manual pages that packages have: they name everything that there is, and show text as it is.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { COMMANDS } from '../../src/cli/commands.ts'
import { parseConfig } from '../../src/config/load.ts'
import { commandManual } from '../../src/manual/commands.ts'
import { bold, entry, escaped } from '../../src/manual/roff.ts'
import { settingsManual } from '../../src/manual/settings.ts'

const SETTINGS = readFileSync('milter.yaml', 'utf8')

test('greymx(8) has every command with its options, and its examples as they are typed', async () => {
  const page = await commandManual(COMMANDS, '0.0.0')
  for (const { name, summary, load } of COMMANDS) {
    const { command } = await load()
    assert.ok(page.includes(`.TP\n${bold(name)}\n${escaped(summary)}`), name)
    assert.match(page, new RegExp(`^\\.SS "greymx ${name}[ "]`, 'm'))
    for (const option of Object.keys(command.options))
      assert.ok(page.includes(escaped(`--${option}`)), option)
    for (const example of command.examples) assert.ok(page.includes(`\n${escaped(example)}\n`), example)
  }
})

test('milter.yaml(5) has every setting with its default and what milter.yaml says of it', () => {
  const page = settingsManual(SETTINGS, '0.0.0')
  const loaded = parseConfig('milter.yaml', SETTINGS)
  assert.equal(loaded.kind, 'config')
  for (const { name } of loaded.settings) assert.match(page, new RegExp(`^\\\\fB${name}\\\\fR: \\S`, 'm'))
  assert.ok(page.includes('.TP\n\\fBgreylist.delay\\fR: 3m\nX: a retry passes once'))
  // Settings below one comment share it.
  assert.ok(
    page.includes('.TP\n\\fBlimits.idle\\fR: 2h\n.TQ\n\\fBlimits.idle_in_transaction\\fR: 12h\nThe longest'),
  )
  assert.match(page, /^\.SH DESCRIPTION\n\.PP\nEvery setting of greymx/m)
})

test('settingsManual() names the settings that nothing explains, and those that do not exist', () => {
  const without = SETTINGS.replace(/^# Where the state is kept.*?^(?=store:)/ms, '').replace(
    'store: ',
    '\nstore: ',
  )
  assert.throws(
    () => settingsManual(without, '0.0.0'),
    /^Error: milter\.yaml explains no store: expected a comment/,
  )
  assert.throws(
    () => settingsManual(`${SETTINGS}\n# Something.\nother: 1\n`, '0.0.0'),
    /unknown setting.* other/,
  )
})

test('text is shown as it is, whatever roff makes of its characters', () => {
  assert.equal(escaped("-x \\n\n.SH\n'q"), "\\-x \\en\n\\&.SH\n\\&'q")
  assert.equal(entry([bold('a'), bold('b')], 'one', 'two'), '.TP\n\\fBa\\fR\n.TQ\n\\fBb\\fR\none\n.IP\ntwo\n')
})
