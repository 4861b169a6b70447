// Tests of the check that ioredis has the internals that greymx replaces. ioredis is pinned for their sake.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { IOREDIS_VERSION, requireDataHandler } from '../../../src/store/redis/ioredis-internals.ts'
import { PROGRAM } from '../../support/greymx.ts'
import { scratch } from '../../support/scratch.ts'

const load = createRequire(import.meta.url)

const WHAT_TO_DO = `ioredis has moved, and greymx replaces internals of it. To take another version:
1. Read what has changed in built/DataHandler.js, built/Redis.js and built/connectors/AbstractConnector.js between the two.
2. Bring replies.ts, client.ts, connector.ts and sentinel.ts of src/store/redis in line with that, and
   what src/store/redis/ioredis-internals.ts expects of them. Drop a replacement whose reason has gone.
3. Run build/test/store/redis*.test.js, which put stray replies on real connections, lost masters and moved slots.
4. Set IOREDIS_VERSION, and the same version in package.json, without ^ or ~, and in package-lock.json (npm install -E).`

test('ioredis is pinned to the version whose internals greymx replaces', () => {
  const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
  const lock = json('package-lock.json').packages
  assert.deepEqual(
    {
      'package.json': json('package.json').dependencies.ioredis,
      'package-lock.json, its root': lock[''].dependencies.ioredis,
      'package-lock.json': lock['node_modules/ioredis'].version,
      installed: json('node_modules/ioredis/package.json').version,
    },
    {
      'package.json': IOREDIS_VERSION,
      'package-lock.json, its root': IOREDIS_VERSION,
      'package-lock.json': IOREDIS_VERSION,
      installed: IOREDIS_VERSION,
    },
    WHAT_TO_DO,
  )
})

/** A `require` that returns ioredis with `changes`. */
function loadWith(changes: Readonly<Record<string, unknown>>) {
  return (name: string): unknown => {
    const change = changes[name]
    if (change instanceof Error) throw change
    return change ?? load(name)
  }
}

test('requireDataHandler() finds all that it expects in the version that is installed', () => {
  assert.equal(typeof requireDataHandler(load).shiftCommand, 'function', WHAT_TO_DO)
})

const { default: DataHandler } = load('ioredis/built/DataHandler.js')
const ioredis = load('ioredis')

/** A copy of a class in whose source `from` is replaced. */
function edited(original: object, from: RegExp, to: string): object {
  const source = String(original)
  assert.match(source, from)
  const changed = class extends (original as new () => object) {}
  Object.defineProperty(changed, 'toString', { value: () => source.replaceAll(from, to) })
  return changed
}

for (const [what, changes, problem] of [
  [
    'a file that has gone',
    {
      'ioredis/built/DataHandler.js': new Error(
        "Cannot find module 'ioredis/built/DataHandler.js'\nRequire stack: …",
      ),
    },
    /exports a class that calls its method dispatch/,
  ],
  [
    'a class that has gone',
    { 'ioredis/built/DataHandler.js': {} },
    /exports a class that calls its method dispatch/,
  ],
  [
    'methods that have gone',
    { 'ioredis/built/DataHandler.js': { default: class {} } },
    /exports a class that calls its method dispatch/,
  ],
  [
    'a method that nobody calls any more',
    { 'ioredis/built/DataHandler.js': { default: edited(DataHandler, /this\.dispatch\(/g, 'this.handle(') } },
    /exports a class that calls its method dispatch/,
  ],
  [
    'a queue of commands of another name',
    { 'ioredis/built/DataHandler.js': { default: edited(DataHandler, /commandQueue/g, 'commands') } },
    /takes the command of a reply with its method shiftCommand/,
  ],
  [
    'a client without a queue of commands',
    { ioredis: { ...ioredis, Redis: class {} } },
    /a client has a commandQueue with peekFront/,
  ],
  [
    'a Cluster that keeps its slots in another form',
    {
      ioredis: {
        ...ioredis,
        Cluster: edited(ioredis.Cluster, /this\.slots\[slot\] = keys/g, 'this.map = keys'),
      },
    },
    /a Cluster keeps the nodes of each slot in slots/,
  ],
  [
    'a client that keeps its connection elsewhere',
    {
      ioredis: { ...ioredis, Redis: edited(ioredis.Redis, /this\.stream = stream/g, 'this.socket = stream') },
    },
    /a client keeps its connection as stream/,
  ],
  [
    'a client that knows no connectors',
    { ioredis: { ...ioredis, Redis: edited(ioredis.Redis, /options\.Connector\b/g, 'options.connect') } },
    /a client connects by its option Connector/,
  ],
  [
    'a connector of another make',
    { ioredis: { ...ioredis, AbstractConnector: class {} } },
    /AbstractConnector has connecting/,
  ],
] as const) {
  test(`requireDataHandler() refuses ${what}, and names the versions and what to do`, () => {
    const loadOther = loadWith({ ...changes, 'ioredis/package.json': { version: '6.7.8' } })
    assert.throws(
      () => requireDataHandler(loadOther),
      (error: Error) => {
        assert.match(error.message, problem)
        assert.match(error.message, /^Cannot use ioredis 6\.7\.8: expected that /)
        assert.ok(error.message.includes(`as in ioredis ${IOREDIS_VERSION}, for which greymx was written.`))
        assert.match(error.message, /Install that version, with npm ci/)
        return true
      },
    )
  })
}

test('serve with a store in Redis says so and ends with status 69; with another store it starts', async (t) => {
  const dir = await scratch(t)
  const preload = join(dir, 'preload.cjs')
  const handler = join(process.cwd(), 'node_modules/ioredis/built/DataHandler.js')
  await writeFile(preload, `delete require(${JSON.stringify(handler)}).default.prototype.shiftCommand\n`)
  const config = join(dir, 'milter.yaml')
  const serve = (store: string) =>
    writeFile(config, `store: "${store}"\nlisten: "inet:0@127.0.0.1"\nadmin: false\n`).then(() =>
      promisify(execFile)(process.execPath, ['--require', preload, PROGRAM, 'serve', '--config', config], {
        timeout: 3000,
      }).catch((error: unknown) => error as { code: number | null; stdout: string; stderr: string }),
    )
  const refused = await serve('redis://127.0.0.1:1/0')
  assert.match(refused.stderr, /^Cannot use ioredis \S+: expected that DataHandler takes the command/)
  assert.equal('code' in refused && refused.code, 69)
  assert.match((await serve('memory:')).stdout, /is listening on/)
})
