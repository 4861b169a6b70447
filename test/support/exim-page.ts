// The lines that src/doors/exim.md gives administrators, by which tests configure Exim: what is documented is what is
// tested.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const PAGE = readFileSync(join(process.cwd(), 'src/doors/exim.md'), 'utf8')

/** A path in backquotes at the beginning of a paragraph, and the block of lines behind that paragraph. */
const FILE = /^`(\/etc\/exim4\/[^`]+)`(?:[^\n]+|\n(?!\n))*\n\n```\n(.*?)^```$/gms

/** What stands in the page, and is elsewhere in a test. */
export interface Places {
  /** Path of the socket. */
  readonly socket: string
  /** Path of the command greymx. */
  readonly program?: string
}

/** The files of Exim's configuration that the page has, by their paths. */
export function pageFiles(places: Places): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...PAGE.matchAll(FILE)].map(([, path = '', content = '']) => [path, moved(content, places)]),
  )
}

/** The fields for certificates, which the page adds to the macro GREYMX_FIELDS. */
export function certificateFields(): string {
  return /\bAdd to GREYMX_FIELDS:\n\n```\n(.*?)\n```$/ms.exec(PAGE)?.[1] ?? fail('fields of certificates')
}

/** The command by which the page moves greylistd's ACL to greymx's socket. */
export function moveCommand(places: Places): string {
  return moved(/^ {4}(sed -i .*)$/m.exec(PAGE)?.[1] ?? fail('a sed command'), places)
}

function moved(text: string, { socket, program = '' }: Places): string {
  return text.replaceAll('/run/greymx/exim.sock', socket).replaceAll('/usr/bin/greymx', program)
}

function fail(what: string): never {
  throw new Error(`Cannot find ${what} in src/doors/exim.md`)
}
