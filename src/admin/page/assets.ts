// The files of the page that browsers keep: style, script and icon.

import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** A file as it is served. */
interface Asset {
  readonly type: string
  readonly body: string
}

const TYPES = {
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const

/** The files by their names. */
export const ASSETS: Readonly<Record<string, Asset>> = Object.fromEntries(
  Object.entries(TYPES).map(([name, type]) => [
    name,
    { type, body: readFileSync(new URL(`assets/${name}`, import.meta.url), 'utf8') },
  ]),
)

/** Text that differs whenever one of the files does. */
export const ASSETS_VERSION: string = hash(
  'sha256',
  Object.values(ASSETS)
    .map(({ body }) => body)
    .join('\n'),
  'hex',
).slice(0, 12)
