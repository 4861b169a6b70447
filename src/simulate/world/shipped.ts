// The worlds that are shipped, as files beside this one. The build copies them to where the compiled code lies.

import { readFileSync } from 'node:fs'
import type { WorldFile } from './read.ts'

/** Names of the shipped worlds. Those after the first are made above the first. */
export const SHIPPED_WORLDS = ['default', 'knowing-bots', 'less-spf', 'more-spam'] as const
export type ShippedWorld = (typeof SHIPPED_WORLDS)[number]

/** The file of a shipped world. */
export function readShippedWorld(name: ShippedWorld): WorldFile {
  const fileName = `${name}.yaml`
  return { fileName, text: readFileSync(new URL(fileName, import.meta.url), 'utf8') }
}
