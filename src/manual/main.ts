// Writes the manual pages greymx(8) and milter.yaml(5) into a folder: `node dist/manual/main.js FOLDER`, at the build of
// a package, beside the settings file milter.yaml. What the pages say is left to the files beside this one.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMANDS } from '../cli/commands.ts'
import { greymxVersion } from '../version.ts'
import { commandManual } from './commands.ts'
import { settingsManual } from './settings.ts'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('expected the folder for the manual pages')
const settings = readFileSync(new URL('../../milter.yaml', import.meta.url), 'utf8')
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'greymx.8'), await commandManual(COMMANDS, greymxVersion()))
writeFileSync(join(folder, 'milter.yaml.5'), settingsManual(settings, greymxVersion()))
