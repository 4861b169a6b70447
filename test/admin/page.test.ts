// Tests who may read and who may act at the page, as requests of browsers, of other sites and of reverse proxies make
// them. What views show is tested in a browser (test/mta/page.test.ts).

import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { jsonOf } from '../support/commands.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { startNginx } from '../support/nginx.ts'
import { startRedis } from '../support/redis.ts'
import { type Scope, scratch, waitFor } from '../support/scratch.ts'
import { raw } from './support.ts'

const TOKEN = '0123456789abcdefghijklmn'

/** The views that name people. */
const NAMING = ['/waiting', '/lost', '/mxs', '/rules', '/changes', '/entry/00000000']

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: IncomingMessage['headers']
}

interface Sent {
  readonly headers?: Record<string, string>
  /** The fields of a form. */
  readonly form?: Record<string, string>
  readonly host?: string
}

/** A request, which follows no redirection. */
async function send(
  port: number,
  path: string,
  { headers = {}, form, host = '127.0.0.1' }: Sent = {},
): Promise<Answer> {
  const body = form && new URLSearchParams(form).toString()
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(
      {
        host,
        port,
        path,
        method: form ? 'POST' : 'GET',
        agent: false,
        headers: { ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}), ...headers },
      },
      resolve,
    )
      .once('error', reject)
      .end(body)
  })
  const text = (await response.setEncoding('utf8').toArray()).join('')
  return { status: response.statusCode ?? 0, text, headers: response.headers }
}

async function setUp(t: Scope, settings = '') {
  const dir = await scratch(t)
  const tokens = join(dir, 'tokens')
  writeFileSync(tokens, `anna ${TOKEN}\n`, { mode: 0o600 })
  const greymx = await startGreymx({
    dir,
    settings: `store: "memory:"\nadmin_tokens: ${tokens}\n${settings}`,
  })
  return { dir, tokens, greymx, port: greymx.adminPort }
}

/** Signs in, and returns the cookie and the secret of the session's forms. */
async function signIn(port: number, base = '', headers: Record<string, string> = {}) {
  const answer = await send(port, `${base}/sign-in`, { headers, form: { token: TOKEN, to: '/rules' } })
  assert.equal(answer.status, 303, answer.text)
  assert.equal(answer.headers.location, `${base}/rules`)
  const [set = ''] = answer.headers['set-cookie'] ?? []
  const [cookie = ''] = set.split(';')
  const view = await send(port, `${base}/rules`, { headers: { ...headers, cookie } })
  const key = /name="key" value="([\w-]+)"/.exec(view.text)?.[1] ?? assert.fail(view.text)
  return { cookie, key, set }
}

async function rulesOf(greymx: Greymx): Promise<number> {
  return (await jsonOf(greymx, ['rules'])).rules.length
}

test('a reader on this host reads every view; one who may be elsewhere reads figures alone', async (t) => {
  const { port } = await setUp(t)
  for (const path of ['/', ...NAMING.slice(0, -1)]) assert.equal((await send(port, path)).status, 200, path)
  assert.equal((await send(port, '/entry/00000000')).status, 404)
  assert.equal((await send(port, '/nothing')).status, 404)
  for (const name of ['X-Forwarded-For', 'Forwarded', 'Via', 'X-Real-IP', 'X-Forwarded-Host']) {
    const headers = { [name]: '203.0.113.7' }
    assert.equal((await send(port, '/', { headers })).status, 200)
    for (const path of NAMING) {
      const { status, text } = await send(port, path, { headers })
      assert.equal(status, 403, `${path} ${name}`)
      assert.match(text, /for operators/)
    }
    assert.equal((await send(port, '/waiting', { headers, form: { about: 'a' } })).status, 403)
  }
})

test('a reader behind a proxy is none on this host, whatever little the proxy says and the settings know', async (t) => {
  const { dir, port: own } = await setUp(t)
  const port = await startNginx(dir, `location / { proxy_pass http://127.0.0.1:${own}; }`)
  assert.equal((await send(port, '/')).status, 200)
  assert.equal((await send(own, '/waiting')).status, 200)
  for (const path of NAMING) assert.equal((await send(port, path)).status, 403, path)
  for (const headers of [
    { 'X-Forwarded-Proto': 'https' },
    { 'CF-Connecting-IP': '203.0.113.7' },
    { host: '203.0.113.5' },
    { host: '[2001:db8::5]:80' },
  ])
    assert.equal((await send(own, '/waiting', { headers })).status, 403, JSON.stringify(headers))
  for (const host of ['localhost', '127.0.0.1', '[::1]:1', 'LOCALHOST:10892'])
    assert.equal((await send(own, '/waiting', { headers: { host } })).status, 200, host)
})

test('with admin_page: token nobody reads names without a token, and with false there is no page', async (t) => {
  const { port, greymx } = await setUp(t, 'admin_page: token')
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'secret@sender.test'), 'tempfail')
  client.quit()
  const figures = await send(port, '/?period=hour')
  assert.equal(figures.status, 200)
  assert.match(figures.text, /Recipients asked for/)
  assert.doesNotMatch(figures.text, /sender\.test|192\.0\.2/)
  for (const path of NAMING) {
    const { status, text } = await send(port, path)
    assert.equal(status, 403, path)
    assert.ok(text.includes(`name="to" value="${path}"`), path)
  }
  const { cookie } = await signIn(port)
  for (const path of NAMING.slice(0, -1))
    assert.equal((await send(port, path, { headers: { cookie } })).status, 200, path)
  const none = await setUp(t, 'admin_page: "false"')
  assert.equal((await send(none.port, '/')).status, 404)
  assert.equal((await send(none.port, '/livez')).status, 200)
})

test('a page of another site cannot have a view or a form sent, under whatever name it leads here', async (t) => {
  const { port, greymx } = await setUp(t)
  const { cookie, key } = await signIn(port)
  const off = (headers: Record<string, string>, form = { key }) =>
    send(port, '/act/off', { headers: { cookie, ...headers }, form })
  assert.equal((await off({ 'Sec-Fetch-Site': 'cross-site' })).status, 403)
  assert.equal((await off({ 'Sec-Fetch-Site': 'same-site' })).status, 403)
  assert.equal((await off({ Origin: 'https://evil.example' })).status, 403)
  assert.equal((await off({ Origin: 'null' })).status, 403)
  assert.equal((await off({}, { key: '' })).status, 403)
  assert.equal((await off({}, { key: `${key.slice(0, -1)}x` })).status, 403)
  assert.equal((await send(port, '/act/off', { form: { key } })).status, 403, 'without the cookie')
  assert.equal((await send(port, '/act/off', { headers: { cookie } })).status, 404, 'GET changes nothing')
  assert.equal(
    (await send(port, '/sign-in', { headers: { Origin: 'https://evil.example' }, form: { token: TOKEN } }))
      .status,
    403,
  )
  for (const host of ['rebound.example', 'rebound.example:10892', '[::1].example', 'localhost.example'])
    assert.notEqual((await send(port, '/waiting', { headers: { host } })).status, 200, host)
  assert.equal(await rulesOf(greymx), 0)
  const own = `http://127.0.0.1:${port}`
  assert.equal((await off({ Origin: own })).status, 303)
  assert.equal((await off({ Origin: own, 'Sec-Fetch-Site': 'same-origin' })).status, 303)
  assert.equal(await rulesOf(greymx), 2)
  await waitFor('the log', () => greymx.log().some((line) => line.includes('who="token anna" call=off')))
})

test('a cookie that was signed out, or whose token has left the file, is worth nothing', async (t) => {
  const { port, tokens, greymx } = await setUp(t)
  const first = await signIn(port)
  assert.match(first.set, /; HttpOnly/)
  assert.match(first.set, /; SameSite=Strict/)
  assert.doesNotMatch(first.set, /; Secure/)
  const act = ({ cookie, key }: { cookie: string; key: string }) =>
    send(port, '/act/allow', { headers: { cookie }, form: { key, sender: 'a.test' } })
  assert.equal((await act(first)).status, 303)
  const out = await send(port, '/sign-out', { headers: { cookie: first.cookie }, form: { key: first.key } })
  assert.equal(out.status, 303)
  const replayed = await act(first)
  assert.equal(replayed.status, 403)
  assert.match(replayed.text, /not signed in any more[\s\S]*name="to" value="\/rules"/)
  const second = await signIn(port)
  assert.equal((await act({ cookie: second.cookie, key: first.key })).status, 403)
  writeFileSync(tokens, `anna ${'x'.repeat(24)}\n`)
  assert.equal((await act(second)).status, 403)
  assert.equal(await rulesOf(greymx), 1)
})

test('wrong tokens are refused, logged without the token, and soon not looked at any more', async (t) => {
  const { port, greymx } = await setUp(t)
  const wrong = 'wr0ng-t0ken-wr0ng-t0ken'
  for (let count = 0; count < 10; count += 1) {
    const { status, text, headers } = await send(port, '/sign-in', { form: { token: wrong } })
    assert.equal(status, 403)
    assert.match(text, /does not count/)
    assert.ok(!text.includes(wrong))
    assert.equal(headers['set-cookie'], undefined)
  }
  const late = await send(port, '/sign-in', { form: { token: TOKEN } })
  assert.equal(late.status, 429)
  assert.ok(Number(late.headers['retry-after']) > 500)
  await waitFor('the log', () =>
    greymx.log().some((line) => line.includes('a call without a valid token was refused')),
  )
  assert.ok(!greymx.log().join().includes(wrong))
  assert.equal((await send(port, '/waiting')).status, 200, 'reading goes on')
})

test('behind a proxy, wrong tokens of one reader do not keep another from signing in', async (t) => {
  const { port } = await setUp(t, 'admin_base: /greymx')
  const by = (address: string, token: string) =>
    send(port, '/greymx/sign-in', { headers: { 'X-Forwarded-For': address }, form: { token } })
  for (let count = 0; count < 10; count += 1)
    assert.equal((await by(`192.0.2.${count}, 203.0.113.9`, 'wrong')).status, 403)
  assert.equal((await by('203.0.113.9', TOKEN)).status, 429)
  assert.equal((await by('203.0.113.9, 203.0.113.10', TOKEN)).status, 303)
})

test('a form in which a field comes twice, or is a file, changes nothing', async (t) => {
  const { port, greymx } = await setUp(t)
  const { cookie, key } = await signIn(port)
  const act = (body: string, type = 'application/x-www-form-urlencoded') =>
    raw(
      { host: '127.0.0.1', port },
      `POST /act/off HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: ${cookie}\r\n`,
      `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  assert.match(
    await act(`key=${key}&to=a.test&to=b.test`),
    /^HTTP\/1.1 400[\s\S]*Cannot read "to": expected one text/,
  )
  // Without this field, greylisting would be off for all mail.
  assert.match(await act(`key=${key}&to[]=a.test`), /^HTTP\/1.1 400/)
  const part = (name: string, more: string, value: string) =>
    `--x\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
  const file = `${part('key', '', key)}${part('to', '; filename="a"', 'a.test')}--x--\r\n`
  assert.match(await act(file, 'multipart/form-data; boundary=x'), /^HTTP\/1.1 400/)
  assert.match(await act('abc', 'multipart/form-data'), /^HTTP\/1.1 400/)
  assert.match(await act(`key=${key}&__proto__=a`), /^HTTP\/1.1 400/)
  assert.equal(await rulesOf(greymx), 0)
  assert.match(await act(`key=${key}&to=%20a.test%20`), /^HTTP\/1.1 303/)
  assert.equal(await rulesOf(greymx), 1)
})

test('what an operator is told waits for a view that he asks for, and not for one that refreshes itself', async (t) => {
  const { port } = await setUp(t)
  const { cookie, key } = await signIn(port)
  const view = async (headers: Record<string, string> = {}) =>
    (await send(port, '/', { headers: { cookie, ...headers } })).text
  await send(port, '/act/allow', { headers: { cookie }, form: { key, sender: 'a.test' } })
  assert.doesNotMatch(await view({ 'Greymx-Refresh': '1' }), /Its mail passes/)
  assert.match(await view(), /Its mail passes/)
  assert.doesNotMatch(await view(), /Its mail passes/)
})

test('while the store is away, each view says so by its status, and a change can be made once it is back', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const tokens = join(dir, 'tokens')
  writeFileSync(tokens, `anna ${TOKEN}\n`, { mode: 0o600 })
  const settings = `store: ${redis.url}/0\nadmin_tokens: ${tokens}`
  const { adminPort: port } = await startGreymx({ dir, settings, hostName: 'mx2' })
  const { cookie, key } = await signIn(port)
  // Two MXs, each behind a tunnel on localhost, have cookies of their own.
  assert.equal(cookie.split('=')[0], `greymx_session_${hash('sha256', 'mx2', 'hex').slice(0, 8)}`)
  const allow = () => send(port, '/act/allow', { headers: { cookie }, form: { key, sender: 'a.test' } })
  await redis.stop()
  await waitFor('the views', async () => (await send(port, '/rules')).status === 503)
  for (const path of ['/', ...NAMING.filter((each) => each !== '/mxs')]) {
    const { status, text } = await send(port, path)
    assert.equal(status, 503, path)
    assert.match(text, /role="alert"/)
  }
  assert.equal((await send(port, '/mxs')).status, 200, 'it tells how the store is')
  assert.equal((await send(port, '/waiting', { form: { about: 'a.test' } })).status, 503)
  const failed = await allow()
  assert.equal(failed.status, 503)
  assert.match(failed.text, /It was not made, or only in part: Redis/)
  await startRedis({ dir, port: redis.port })
  await waitFor('the change', async () => (await allow()).status === 303)
})

test('mistakes in a form are named, and nothing is changed', async (t) => {
  const { port, greymx } = await setUp(t)
  const { cookie, key } = await signIn(port)
  const act = (call: string, form: Record<string, string>) =>
    send(port, `/act/${call}`, { headers: { cookie }, form: { key, ...form } })
  for (const [call, form, message] of [
    ['allow', {}, /nothing says which mail/],
    [
      'allow',
      { sender: 'a.test', for: 'soon' },
      /Cannot read for &quot;soon&quot;: expected a number and ms, s, m, h, d or w/,
    ],
    ['allow', { client: '1.2.3.4/99' }, /Cannot read client/],
    ['allow', { surprise: '<b>' }, /unknown parameter &quot;surprise&quot;/],
    ['expect', { to: 'b@example.com' }, /Cannot read for/],
    ['forget', {}, /expected ref, or address/],
    ['on', { id: '<script>' }, /no such rule/],
    ['undo', { id: 'abcdef' }, /expected a change that this daemon made/],
  ] as const) {
    const { status, text } = await act(call, form)
    assert.ok(status === 400 || status === 404, `${call}: ${status}`)
    assert.match(text, message)
    assert.doesNotMatch(text, /<script>|<b>/)
  }
  assert.equal((await act('recipients-change', {})).status, 404)
  assert.equal((await act('constructor', {})).status, 404)
  const large = await send(port, '/act/allow', {
    headers: { cookie },
    form: { key, why: 'x'.repeat(70_000) },
  })
  assert.equal(large.status, 413)
  assert.equal(await rulesOf(greymx), 0)
})

test('the headers keep others from framing the page, from keeping it and from running anything in it', async (t) => {
  const { port } = await setUp(t)
  for (const path of ['/', '/waiting', '/sign-in', '/nothing']) {
    const { headers } = await send(port, path)
    const policy = String(headers['content-security-policy'])
    assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /unsafe|\*|http|data:/)
    assert.equal(headers['x-frame-options'], 'DENY')
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['referrer-policy'], 'same-origin')
  }
  const { text } = await send(port, '/')
  assert.doesNotMatch(text, /style="|<style|onclick|<script(?! src="\/assets\/)/)
  for (const [, path = ''] of text.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
    const { status, headers } = await send(port, path)
    assert.equal(status, 200, path)
    assert.match(String(headers['cache-control']), /immutable/)
  }
})

test('bytes that are no request of a browser get an answer of HTTP, and the page goes on', async (t) => {
  const { port } = await setUp(t)
  const at = { host: '127.0.0.1', port }
  const head = `Host: 127.0.0.1:${port}\r\nConnection: close\r\n`
  for (const [bytes, answer] of [
    [`GET http://[:::/ HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 (?:400|403|404)/],
    [`GET //evil.example/ HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 404/],
    [`GET /%ff%fe/%00 HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 404/],
    [`GET /entry/%3Cscript%3E HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 400/],
    [`GET /waiting?before=%3Cb%3E HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 400[\s\S]*Cannot read before/],
    [`GET /waiting HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n`, /^HTTP\/1\.1 4/],
    [`GET /waiting HTTP/1.0\r\n\r\n`, /^HTTP\/1\.1 4/],
    [`GET /?period=__proto__ HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 200/],
    [`TRACE / HTTP/1.1\r\n${head}\r\n`, /^HTTP\/1\.1 4/],
    [`PUT / HTTP/1.1\r\n${head}Content-Length: 0\r\n\r\n`, /^HTTP\/1\.1 4/],
    [
      `POST /waiting HTTP/1.1\r\n${head}Content-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc`,
      /^HTTP\/1\.1 [245]/,
    ],
    [`GET / HTTP/1.1\r\n${head}Cookie: greymx_session=%00%ff; greymx_session=\r\n\r\n`, /^HTTP\/1\.1 200/],
  ] as const) {
    const text = await raw(at, bytes)
    assert.match(text, answer, bytes)
    assert.match(text, /content-security-policy: default-src 'none'/i, bytes)
    assert.match(text, /cache-control: no-store/i, bytes)
  }
  assert.equal((await send(port, '/')).status, 200)
})

test('behind nginx under a path of its own, whether nginx leaves the path or takes it away', async (t) => {
  for (const target of ['', '/']) {
    const { dir, greymx, port: own } = await setUp(t, 'admin_base: /ops/greymx')
    const port = await startNginx(
      dir,
      `location /ops/greymx${target} { proxy_pass http://127.0.0.1:${own}${target}; proxy_set_header X-Forwarded-Proto https; }`,
    )
    assert.equal((await send(port, '/ops/greymx/')).status, 200)
    assert.equal((await send(own, '/waiting')).status, 403, 'a proxy says nothing of whom it asks for')
    const { cookie, key, set } = await signIn(port, '/ops/greymx')
    assert.match(set, /; Path=\/ops\/greymx(;|$)/)
    assert.match(set, /; Secure/)
    const headers = { cookie }
    const act = { headers: { ...headers, 'Sec-Fetch-Site': 'same-origin' }, form: { key, sender: 'a.test' } }
    const made = await send(port, '/ops/greymx/act/allow', act)
    assert.deepEqual([made.status, made.headers.location], [303, '/ops/greymx/rules'])
    assert.equal(await rulesOf(greymx), 1)
    const { text } = await send(port, '/ops/greymx/rules', { headers })
    for (const [, path = ''] of text.matchAll(/(?:href|src|action)="([^"]+)"/g)) {
      if (path.startsWith('#')) continue
      assert.match(path, /^\/ops\/greymx\//)
      assert.doesNotMatch(path, /@/)
      if (path.includes('/assets/')) assert.equal((await send(port, path)).status, 200, path)
    }
  }
})

test('behind a proxy that sends its own name, the URL in admin_base is that name', async (t) => {
  const { port } = await setUp(t, 'admin_base: https://mx.example.org/greymx')
  const headers = { host: 'mx.example.org' }
  const { set } = await signIn(port, '/greymx', headers)
  assert.match(set, /; Secure/)
  const own = { ...headers, Origin: 'https://mx.example.org' }
  assert.equal((await send(port, '/greymx/sign-in', { headers: own, form: { token: 'x' } })).status, 403)
  const other = { ...headers, Origin: 'https://other.example.org' }
  assert.match(
    (await send(port, '/greymx/sign-in', { headers: other, form: { token: TOKEN } })).text,
    /another site/,
  )
  assert.equal((await send(port, '/', { headers: { host: 'other.example.org' } })).status, 403)
})

test('without tokens nobody can sign in, and the view says how', async (t) => {
  const dir = await scratch(t)
  const { adminPort } = await startGreymx({ dir, settings: 'store: "memory:"' })
  const { status, text } = await send(adminPort, '/sign-in')
  assert.equal(status, 200)
  assert.match(text, /openssl rand -hex 24/)
  assert.equal((await send(adminPort, '/sign-in', { form: { token: 'undefined' } })).status, 403)
})
