// greymx import PEER SOURCE --settings: prints the milter.yaml that comes closest to a peer's settings.

import { fileProblemOf, messageOf } from '../errors.ts'
import { SETTINGS_SOURCES, settingsFrom } from '../import/settings/settings.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Prints the settings, or why there are none. */
export async function printSettingsFrom(peer: string, sources: readonly string[]): Promise<ExitStatus> {
  try {
    print(await settingsFrom(peer, sources))
    return EXIT.ok
  } catch (error) {
    // The source of another peer may be a URL with a password.
    const hasSettings = Object.hasOwn(SETTINGS_SOURCES, peer)
    const isFile = error instanceof Error && 'code' in error
    const problem = isFile ? fileProblemOf(error) : messageOf(error)
    complain(hasSettings ? `Cannot read ${sources.join(', ')}: ${problem}\n` : `${problem}\n`)
    return isFile || !hasSettings ? EXIT.usage : EXIT.data
  }
}
