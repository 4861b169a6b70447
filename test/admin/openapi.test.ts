// Tests that src/admin/openapi.json is what greymx serves: it has each call of the table with its parameters and its
// answer, and a running greymx answers as it says. OPENAPI_OUT=FILE writes the document that the table makes.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { z } from 'zod'
import type { Call } from '../../src/operator/call.ts'
import { Fleet } from '../../src/operator/fleet.ts'
import { Operator } from '../../src/operator/operator.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { startGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'
import { FAILURES, openApiOf } from './openapi.ts'
import { linesOf, newKey, post, startAdmin, testCalls } from './support.ts'

/** The calls that app.ts gives to the admin servers. */
const CALLS: readonly Call[] = callsOf(new MemoryStore(Date.now))

const FILE = 'src/admin/openapi.json'

function callsOf(store: MemoryStore): Call[] {
  const shared = { records: () => store, store: () => store, host: 'mx', now: Date.now }
  const operator = new Operator({ ...shared, onProblem: assert.fail })
  const fleet = new Fleet({
    ...shared,
    pid: 1,
    version: '',
    state: () => assert.fail(),
    retryWindow: () => 1,
    handOn: () => undefined,
    log: { event: () => undefined, outcome: () => undefined },
  })
  return [...operator.calls, ...fleet.calls]
}

test(`${FILE} is the table of calls`, () => {
  const expected = openApiOf(CALLS)
  const { OPENAPI_OUT: out } = process.env
  if (out) writeFileSync(out, `${JSON.stringify(expected, undefined, 2)}\n`)
  assert.deepEqual(
    JSON.parse(readFileSync(FILE, 'utf8')),
    expected,
    `${FILE} is not the table: write it with OPENAPI_OUT=${FILE} node --test build/test/admin/openapi.test.js`,
  )
})

test('a running greymx serves the paths of the document, and no others', async (t) => {
  const greymx = await startGreymx({ dir: await scratch(t), settings: 'store: "memory:"' })
  const { paths } = JSON.parse(readFileSync(FILE, 'utf8')) as { paths: Record<string, object> }
  const served = []
  for (const [path, operations] of Object.entries(paths)) {
    if ('get' in operations) {
      const answer = await fetch(`http://127.0.0.1:${greymx.adminPort}${path}`)
      assert.equal(answer.status, 200, path)
      await answer.text()
    } else {
      // A list is no call's parameters, so that nothing is done.
      assert.equal((await post(greymx.adminSocket, path.slice(4), [])).status, 400, path)
      served.push(path.slice(4))
    }
  }
  const { json } = await post(greymx.adminSocket, 'no-such-call', {})
  const known = served.length > 0 ? served.join(', ') : 'none, as this greymx has no calls'
  assert.equal(json.error, `there is no call "no-such-call": expected ${known}`)
})

describe('the document of the calls of a test', () => {
  const seen = { changes: [], logged: [], failures: [], refusals: [], results: [], problems: [], callers: [] }
  const calls = testCalls({ ...seen, streamsEnded: 0 })
  const document = JSON.parse(JSON.stringify(openApiOf(calls)))
  const { schemas } = document.components
  const operationOf = (name: string) => document.paths[`/v1/${name}`].post

  test('has the parameters and answers as JSON Schema, and keys for changes only', () => {
    assert.deepEqual(operationOf('change').requestBody.content['application/json'].schema, {
      type: 'object',
      properties: { to: { type: 'string' }, secret: { type: 'string' } },
      required: ['to'],
      additionalProperties: false,
    })
    assert.deepEqual(operationOf('change').parameters, [{ $ref: '#/components/parameters/IdempotencyKey' }])
    assert.equal(operationOf('echo').parameters, undefined)
    assert.deepEqual(Object.keys(operationOf('count').responses['200'].content), ['application/x-ndjson'])
  })

  test('has each status that is answered, and its form', async (t) => {
    const { path, port } = await startAdmin(t)
    const key = { 'idempotency-key': newKey() }
    const answers = [
      await post(path, 'change', {}),
      await post(port, 'change', { to: 'x' }),
      await post(path, 'change', { to: 'unknown' }),
      await post(path, 'change', { to: 'x' }, { method: 'PUT' }),
      await post(path, 'change', { to: 'unsuited' }, { headers: key }),
      await post(path, 'change', { to: 'x' }, { headers: key }),
      await post(path, 'change', { to: 'x' }, { headers: { 'content-type': 'text/plain' } }),
      await post(path, 'change', { to: 'fail' }),
      await post(path, 'change', { to: 'unavailable' }),
    ]
    const form = z.fromJSONSchema(schemas.Error)
    for (const { status, json } of answers) {
      assert.ok(String(status) in FAILURES, String(status))
      form.parse(json)
    }
    assert.deepEqual(new Set(answers.map(({ status }) => status)).size, 8)
  })

  test('has the form of answers and of each line of a stream', async (t) => {
    const { path } = await startAdmin(t)
    const answer = z.fromJSONSchema(operationOf('echo').responses['200'].content['application/json'].schema)
    answer.parse((await post(path, 'echo', { text: '' })).json)
    assert.deepEqual(Object.keys(schemas), ['Error', 'Counted'])
    const { schema } = operationOf('count').responses['200'].content['application/x-ndjson']
    const alone = JSON.stringify({ ...schema, $defs: schemas })
    const line = z.fromJSONSchema(JSON.parse(alone.replaceAll('#/components/schemas/', '#/$defs/')))
    for (const params of [{ to: 2 }, { to: 2, failAt: 2 }, { to: 2, refuseAt: 1 }])
      for (const each of linesOf(await post(path, 'count', params))) line.parse(each)
  })
})

test('every call refuses parameters that it does not know, and says what it does', () => {
  for (const { name, summary, params } of CALLS) {
    const schema = z.toJSONSchema(params, { io: 'input' })
    const forms = (schema.anyOf ?? schema.oneOf ?? [schema]) as ReadonlyArray<Record<string, unknown>>
    for (const form of forms) assert.equal(form.additionalProperties, false, name)
    assert.match(name, /^[a-z]+(-[a-z]+)*$/)
    assert.match(summary, /^[a-z].*[^.]$/)
  }
})
