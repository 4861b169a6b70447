// Tests who imports whom in src: there are no circles, and no folder imports one that is further up the path of a
// decision.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { test } from 'node:test'

const src = join(process.cwd(), 'src')

/** The files of src, each with the files of src that it imports, types included. */
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

/** The folder of src that a file lies in, or the file itself. */
function roomOf(file: string): string {
  return file.split(sep)[0] ?? file
}

/** Files of plain values, which all folders may import except those in `APART`. */
const VALUES = [
  'address.ts',
  'attempt.ts',
  'certificate.ts',
  'errors.ts',
  'ip.ts',
  'outcome.ts',
  'ranges.ts',
  'version.ts',
]

/** Folders and files that know no greylisting and could be published by themselves. */
const APART = [
  'milter',
  'sockets',
  'policy',
  'exim',
  'chain.ts',
  'change.ts',
  'turns.ts',
  'shares.ts',
  'require.ts',
  'suggestion.ts',
  'taken-port.ts',
  'unread.ts',
]

/** What each folder may import beside itself and the values. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'main.ts': ['cli'],
  cli: [
    ...['admin', 'app', 'check', 'config', 'exempt', 'log', 'milter', 'simulate', 'sockets', 'store'],
    ...['exim', 'identity', 'import', 'operator', 'systemd', 'suggestion.ts'],
  ],
  app: [
    ...['admin', 'config', 'doors', 'exempt', 'greylist', 'identity', 'log', 'milter', 'sockets', 'store'],
    ...['operator', 'systemd', 'change.ts', 'dns.ts'],
  ],
  check: ['config', 'doors', 'exempt', 'greylist', 'sockets', 'store'],
  // Each part states its settings beside its code, and config puts them together.
  config: [
    ...['admin', 'doors', 'exempt', 'greylist', 'identity', 'log', 'milter', 'sockets', 'store', 'dns.ts'],
    'suggestion.ts',
  ],
  doors: ['exempt', 'exim', 'greylist', 'log', 'milter', 'policy', 'sockets'],
  greylist: ['exempt', 'identity', 'store', 'chain.ts'],
  exempt: ['dns.ts'],
  identity: ['dns.ts', 'require.ts', 'shares.ts', 'turns.ts'],
  store: ['chain.ts', 'require.ts'],
  log: ['exim', 'milter', 'policy', 'sockets'],
  // All that an operator may do is here once; admin/ is the way to it.
  operator: ['config', 'doors', 'exempt', 'greylist', 'identity', 'log', 'store'],
  // What was kept elsewhere becomes what the greylister looks up. Peers' files have lines like those of logs, and text as
  // MTAs send it.
  import: ['config', 'exempt', 'greylist', 'milter', 'operator', 'simulate', 'store'],
  admin: ['operator', 'sockets', 'store', 'change.ts', 'taken-port.ts'],
  // The protocol with greymx's own sockets, for other filters.
  library: ['milter', 'sockets'],
  // Packages have manual pages, of the table of commands and of the settings.
  manual: ['cli', 'config'],
  systemd: ['sockets'],
  // What is simulated is what is served: the real parts below the doors, and the reader of settings for worlds. A log is
  // read as a door reads what an MTA says.
  simulate: ['config', 'doors', 'exempt', 'greylist', 'identity', 'milter', 'store', 'dns.ts'],
  'dns.ts': ['shares.ts'],
  milter: ['unread.ts'],
  // Text from the wire is decoded as in the milter protocol.
  policy: ['milter', 'sockets', 'unread.ts'],
  exim: ['milter', 'sockets', 'unread.ts'],
  sockets: ['chain.ts', 'change.ts', 'taken-port.ts', 'turns.ts'],
  ...Object.fromEntries([...VALUES, ...APART.slice(4)].map((file) => [file, []])),
  // The names in a certificate are text from the wire.
  'certificate.ts': ['milter'],
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
    const values = APART.includes(room) ? [] : VALUES
    const allowed = [room, ...(MAY_IMPORT[room] ?? assert.fail(`${file}: no rule for ${room}`)), ...values]
    for (const other of imported.map(roomOf)) {
      assert.ok(allowed.includes(other), `${file} imports ${other}: expected none but ${allowed.join(', ')}`)
    }
  }
})

test('what a package does for greymx is in one file, which alone imports it', () => {
  for (const name of ['ioredis', 'ipaddr.js', 'lmdb', 'prom-client', 're2js', 'sonic-boom', 'yaml']) {
    const files = [...imports.keys()].filter((file) =>
      new RegExp(`\\bfrom '${name}'|\\bimport\\('${name}'\\)`).test(readFileSync(join(src, file), 'utf8')),
    )
    assert.equal(files.length, 1, `${name}: ${files.join(', ')}`)
  }
})

test('every import leads to a file of src', () => {
  for (const [file, imported] of imports)
    for (const other of imported) assert.ok(imports.has(other), `${file}: ${other}`)
})
