// Makes the OpenAPI document of a table of calls. The one for programmers is src/admin/openapi.json, which
// openapi.test.ts holds to this.
// Source: OpenAPI 3.1.1; JSON Schema 2020-12.

import { z } from 'zod'
import type { Call } from '../../src/operator/call.ts'

type Json = Readonly<Record<string, unknown>>

const ERROR: Json = { $ref: '#/components/schemas/Error' }

const failure = (description: string): Json => ({
  description,
  content: { 'application/json': { schema: ERROR } },
})

/** What a request may be refused with, by status. */
export const FAILURES: Readonly<Record<string, string>> = {
  '400': 'The request is not well-formed, or a parameter cannot be read',
  '401': 'On the admin port: there is no token, or not one of admin_tokens',
  '403': 'The request may be from a web page; on the admin port: admin_tokens is not set',
  '404': 'What is asked for does not exist',
  '405': 'The method is not POST',
  '409': 'The parameters do not go together, or the request was made before',
  '413': 'The body has more than 65536 bytes',
  '415': 'The content type is not application/json',
  '500': 'The call failed; a change may have been made in part',
  '503': 'It cannot be done now, or too many calls run at once: try again later',
}

const page = (summary: string, type: string, unwell?: string): Json => ({
  get: {
    summary,
    security: [],
    responses: {
      '200': { description: 'All is well', content: { [type]: {} } },
      ...(unwell === undefined ? {} : { '503': { description: unwell, content: { [type]: {} } } }),
    },
  },
})

/** The pages for monitoring. */
const PAGES: Json = {
  '/livez': page('Tells that the event loop turns', 'text/plain'),
  '/readyz': page('Tells whether the sockets listen', 'text/plain', 'They do not'),
  '/healthz': page(
    'Tells the state of the store and the sockets',
    'application/json',
    'The store does not answer, or no socket listens',
  ),
  '/metrics': page('Figures for Prometheus', 'text/plain'),
}

export function openApiOf(calls: readonly Call[]): Json {
  return {
    openapi: '3.1.1',
    info: {
      title: 'greymx',
      version: '1',
      summary: 'What an operator may ask of a running greymx',
      description:
        'On the unix socket of admin_socket, calls need no token. README.md beside this file explains the rest.',
    },
    servers: [{ url: 'http://127.0.0.1:10892' }],
    security: [{ token: [] }],
    paths: {
      ...PAGES,
      ...Object.fromEntries(calls.map((call) => [`/v1/${call.name}`, { post: operation(call) }])),
    },
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token of the file admin_tokens' },
      },
      schemas: {
        Error: {
          type: 'object',
          properties: { error: { type: 'string', description: 'What is wrong, and what was expected' } },
          required: ['error'],
          additionalProperties: false,
        },
        ...namedSchemas(calls),
      },
      parameters: {
        IdempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          required: true,
          description:
            'Milliseconds since 1970, a hyphen, and 8 to 64 random characters; no two changes may have the same',
          schema: { type: 'string', pattern: '^\\d{13}-[\\w-]{8,64}$' },
        },
      },
    },
  }
}

function operation(call: Call): Json {
  return {
    operationId: call.name,
    summary: call.summary,
    ...(call.changes ? { parameters: [{ $ref: '#/components/parameters/IdempotencyKey' }] } : {}),
    requestBody: {
      required: true,
      content: { 'application/json': { schema: schemaOf(call.params, 'input') } },
    },
    responses: {
      '200': call.isStream ? streamed(call) : answered(call),
      ...Object.fromEntries(Object.entries(FAILURES).map(([status, text]) => [status, failure(text)])),
    },
  }
}

function answered({ result }: Call): Json {
  return {
    description: 'The answer',
    content: { 'application/json': { schema: schemaOf(result, 'output') } },
  }
}

function streamed({ result }: Call): Json {
  const line = {
    oneOf: [
      { type: 'object', properties: { item: schemaOf(result, 'output') }, required: ['item'] },
      {
        type: 'object',
        properties: {
          end: { type: 'object', properties: { items: { type: 'integer' } }, required: ['items'] },
        },
        required: ['end'],
      },
      {
        type: 'object',
        properties: { error: { type: 'string' }, status: { type: 'integer' } },
        required: ['error', 'status'],
      },
    ],
  }
  return {
    description:
      'A line for each item, and a last line for the end or for an error; without a last line the stream broke off',
    content: { 'application/x-ndjson': { schema: line } },
  }
}

/** The schema, in which those with a name stand for themselves. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, $defs: __, ...rest } = jsonSchemaOf(schema, io)
  return rest
}

/** The schemas with a name that all calls have. */
function namedSchemas(calls: readonly Call[]): Json {
  return Object.assign(
    {},
    ...calls.flatMap(({ params, result }) => [
      jsonSchemaOf(params, 'input').$defs,
      jsonSchemaOf(result, 'output').$defs,
    ]),
  )
}

/** What zod has at the end of each schema is in one place here. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const text = JSON.stringify(z.toJSONSchema(schema, { io }))
  return JSON.parse(text.replaceAll('"$ref":"#/$defs/', '"$ref":"#/components/schemas/'))
}
