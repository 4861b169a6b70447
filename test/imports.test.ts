// Who imports whom in src: no circles, and no room reaches into one that is further up the path of a decision.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { test } from 'node:test'

const src = join(process.cwd(), 'src')

/** Files of src → the files of src that they import, in their types too. */
const imports: ReadonlyMap<string, readonly string[]> = new Map(
  readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file, importsOf(file)]),
)

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  const found = text.matchAll(/\bfrom '(\.{1,2}\/[^']+)'|\bimport\('(\.{1,2}\/[^']+)'\)/g)
  return [...found].map(([, static_, dynamic]) => normalize(join(dirname(file), static_ ?? dynamic ?? '')))
}

/** A folder of src, or a file that lies in none. */
function roomOf(file: string): string {
  return file.split(sep)[0] ?? file
}

/** What any room may know: plain values and what they mean. */
const VALUES = ['address.ts', 'attempt.ts', 'certificate.ts', 'ip.ts', 'errors.ts', 'outcome.ts', 'ranges.ts']

/** Beside itself and the values. What is missing here may import everything: it joins the parts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  milter: ['turns.ts'],
  store: ['require.ts'],
  exempt: ['dns.ts', 'milter'],
  identity: ['dns.ts', 'require.ts', 'shares.ts', 'turns.ts'],
  greylist: ['exempt', 'identity', 'store'],
  log: ['milter'],
  admin: ['store'],
  systemd: ['milter'],
  'dns.ts': ['shares.ts'],
  'reply.ts': ['milter'],
  'filter.ts': ['greylist', 'milter', 'log', 'reply.ts'],
  // The values themselves know no room but the protocol's reading of text.
  ...Object.fromEntries(VALUES.map((file) => [file, file === 'certificate.ts' ? ['milter'] : []])),
}

test('src has no circle of imports', () => {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `${[...path, file].join(' → ')}`)
    if (done.has(file)) return
    for (const imported of imports.get(file) ?? []) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) visit(file, [])
  assert.ok(done.size > 100)
})

test('each room of src imports only what stands below it', () => {
  for (const [file, imported] of imports) {
    const room = roomOf(file)
    const allowed = MAY_IMPORT[room]
    if (!allowed) continue
    for (const other of imported.map(roomOf)) {
      assert.ok(
        other === room || VALUES.includes(other) || allowed.includes(other),
        `${file} imports ${other}: expected none but ${[...allowed, ...VALUES].join(', ')}`,
      )
    }
  }
})

test('every import leads to a file of src', () => {
  for (const [file, imported] of imports)
    for (const other of imported) assert.ok(imports.has(other), `${file}: ${other}`)
})
