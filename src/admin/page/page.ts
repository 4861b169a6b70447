// The page on the admin port: its routes, who may read and who may act, and how a view is sent. What views show comes
// from the calls of operators; each view is a file of its own. What a request tells of where it comes from is in access.ts.
//
// Figures without names may be read by whoever reaches the port, as in /metrics. Views that name people may be read on
// this host, or by who is signed in. Nobody acts without being signed in, and no form counts that did not come from a
// page of ours: it has the secret of the session, and the browser says that it comes from this site.

import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { html, raw } from 'hono/html'
import { secureHeaders } from 'hono/secure-headers'
import { stream } from 'hono/streaming'
import { messageOf } from '../../errors.ts'
import { type Caller, Refusal } from '../../operator/call.ts'
import type { RefusalReason } from '../calls.ts'
import type { Health } from '../health.ts'
import type { PageBase } from '../settings.ts'
import type { TokenFile } from '../tokens.ts'
import { type AccessSettings, foreign, isOnThisHost, isSecure, peerOf } from './access.ts'
import { ACTS, nextOf, noticeOf } from './acts.ts'
import { type AskDesk, Asker } from './ask.ts'
import { ASSETS, ASSETS_VERSION } from './assets.ts'
import { showEntry } from './entry.ts'
import { periodOf, showFigures } from './figures.ts'
import { type Frame, foot, type Html, head, problem, VIEWS, type View } from './layout.ts'
import { showLost } from './lost.ts'
import { showMxs } from './mxs.ts'
import { showChanges, showRules } from './rules.ts'
import { hasFormKey, type Session, Sessions } from './sessions.ts'
import { signInForm } from './sign-in.ts'
import { type Write, writeFound, writeWaiting } from './waiting.ts'

/** What may change with a reload; asked for anew for each request. */
export interface PageSettings extends AccessSettings {
  readonly tokens: TokenFile | undefined
}

export interface PageParts {
  readonly ask: AskDesk
  readonly health: () => Promise<Health>
  readonly hostName: string
  readonly version: string
  readonly settings: () => PageSettings
  /** Notes a request that was refused. */
  readonly refused: (reason: RefusalReason, request: IncomingMessage) => void
}

/** How long a view in parts is awaited before its beginning is sent, in milliseconds: its status tells until then. */
const FIRST_PART_WAIT = 15

/** The header by which the script of the page asks for fresh figures, which is no act of the operator. */
const REFRESH_HEADER = 'greymx-refresh'

/** Largest form, in bytes, and longest name of a field in an error, in characters. */
const MAX_BODY = 64 * 1024
const MAX_SHOWN = 40

/** Paths to which a sign-in may lead. */
const DESTINATION = /^\/(?:waiting|lost|mxs|rules|changes|entry\/[0-9a-f]{8})?$/

const SIGN_IN: View = { path: '/sign-in', title: 'Sign in' }

type ViewStatus = 200 | 400 | 403 | 404 | 429 | 503

type PageContext = Context<{ Bindings: HttpBindings }>

/** A request that is answered with a message instead of a view. */
class Turned extends Error {
  readonly status: 400 | 403 | 404 | 413

  constructor(status: Turned['status'], message: string) {
    super(message)
    this.status = status
  }
}

/** Serves requests for the page. */
export function createPage(
  parts: PageParts,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const now = () => performance.now()
  const sessions = new Sessions(now)
  const asker = new Asker(parts.ask, now)
  const cookieName = cookieNameFor(parts.hostName)
  const app = new Hono<{ Bindings: HttpBindings }>({
    getPath: (request) => withoutBase(new URL(request.url).pathname, parts.settings().base),
  })

  const sessionOf = (c: PageContext): Session | undefined => {
    const cookie = getCookie(c, cookieName)
    if (cookie === undefined) return undefined
    const { tokens } = parts.settings()
    return isRefresh(c) ? sessions.watch(cookie, tokens) : sessions.find(cookie, tokens)
  }

  const frameOf = (c: PageContext): Frame => ({
    base: parts.settings().base.path,
    host: parts.hostName,
    version: parts.version,
    assets: ASSETS_VERSION,
    session: sessionOf(c),
  })

  /** The beginning of a view, with what the operator is to be told once. */
  const begin = (c: PageContext, frame: Frame, view: View): Html => {
    const { session } = frame
    if (!session || isRefresh(c)) return head(frame, view)
    const { notice } = session
    session.notice = undefined
    return head(frame, view, notice)
  }

  /** Sends a view that is there. */
  const send = (c: PageContext, frame: Frame, view: View, content: Html, status: ViewStatus = 200) =>
    c.html(html`${begin(c, frame, view)}${content}${foot(frame)}`, status)

  const sendProblem = (c: PageContext, frame: Frame, view: View, error: unknown) =>
    send(c, frame, view, problem(`${messageOf(error)}.`), statusOf(error))

  /** Sends a view whose parts come one after the other; one that is there at once, or has failed, is sent whole. */
  const sendParts = async (
    c: PageContext,
    frame: Frame,
    view: View,
    writeAll: (to: { readonly write: Write; readonly signal: AbortSignal }) => Promise<void>,
  ) => {
    const gone = new AbortController()
    c.env.outgoing.once('close', () => gone.abort())
    const early: string[] = []
    let sendPart = (text: string): void => void early.push(text)
    const write: Write = async (part) => sendPart(String(await part))
    const written = writeAll({ write, signal: gone.signal }).then(
      () => ({ kind: 'done' }) as const,
      (error: unknown) => ({ kind: 'failed', error }) as const,
    )
    const first = await Promise.race([written, sleep(FIRST_PART_WAIT, { kind: 'pending' } as const)])
    if (first.kind === 'failed') return sendProblem(c, frame, view, first.error)
    if (first.kind === 'done') return send(c, frame, view, html`${raw(early.join(''))}`)
    c.header('Content-Type', 'text/html; charset=utf-8')
    return stream(c, async (out) => {
      const beginning = String(await begin(c, frame, view))
      // Parts are not held back for a slow reader, who would hold up the call: a view is small enough to wait for him.
      sendPart = (text) => void out.write(text)
      sendPart([beginning, ...early].join(''))
      const last = await written
      if (last.kind === 'failed') sendPart(String(await problem(`${messageOf(last.error)}.`)))
      await out.write(String(await foot(frame)))
    })
  }

  /** Makes a view for who may read it, and a message where that cannot be done. */
  const show = async (c: PageContext, view: View, make: (frame: Frame) => Promise<Html>) => {
    const frame = frameOf(c)
    if (!mayRead(c, frame)) return refuse(c, frame)
    return make(frame).then(
      (content) => send(c, frame, view, content),
      (error) => sendProblem(c, frame, view, error),
    )
  }

  const mayRead = (c: PageContext, { session }: Frame): boolean =>
    session !== undefined || isOnThisHost(c.env.incoming, parts.settings())

  /** Asks a reader to sign in, for the view that he has asked for. */
  const refuse = (c: PageContext, frame: Frame) =>
    askToSignIn(c, frame, 'This view names people, so that it is for operators.', c.req.path)

  /** Answers a form of nobody, whose session has ended or was never there. */
  const signedOut = (c: PageContext, next: string) => {
    parts.refused('token', c.env.incoming)
    return askToSignIn(c, frameOf(c), 'You are not signed in any more, so that nothing was changed.', next)
  }

  const askToSignIn = (c: PageContext, frame: Frame, why: string, next: string) => {
    const form = signInForm(frame, {
      to: destinationOf(next),
      hasTokens: parts.settings().tokens !== undefined,
    })
    return send(c, frame, SIGN_IN, html`<p>${why}</p>${form}`, 403)
  }

  app.use(secureHeaders(HEADERS))
  app.use(async (c, next) => {
    c.header('Cache-Control', 'no-store')
    const problem = foreign(c.env.incoming, parts.settings())
    if (problem !== undefined) throw new Turned(403, problem)
    await next()
  })
  app.use(
    bodyLimit({
      maxSize: MAX_BODY,
      onError: () => {
        throw new Turned(413, `expected a form of ${MAX_BODY} bytes at most`)
      },
    }),
  )
  app.onError((error, c) => {
    if (!(error instanceof Turned)) return c.text(`${messageOf(error)}\n`, 500)
    if (error.status === 403) parts.refused('forged', c.env.incoming)
    return c.text(`${error.message}\n`, error.status)
  })
  app.notFound((c) => c.text('expected /livez, /readyz, /healthz, /metrics or the page at /\n', 404))

  for (const [name, { type, body }] of Object.entries(ASSETS))
    app.get(`/assets/:version/${name}`, (c) => {
      c.header('Content-Type', type)
      c.header('Cache-Control', 'public, max-age=31536000, immutable')
      return c.body(body)
    })

  app.get('/', async (c) => {
    const frame = frameOf(c)
    const period = periodOf(c.req.query('period'))
    return showFigures(asker, frame, period, mayRead(c, frame)).then(
      (content) => send(c, frame, viewOf('/'), content),
      (error) => sendProblem(c, frame, viewOf('/'), error),
    )
  })
  app.get('/mxs', (c) =>
    show(c, viewOf('/mxs'), async (frame) => showMxs(asker, frame, await parts.health())),
  )
  app.get('/rules', (c) =>
    show(c, viewOf('/rules'), (frame) => showRules(asker, frame, c.req.query('after'))),
  )
  app.get('/changes', (c) =>
    show(c, viewOf('/changes'), (frame) => showChanges(asker, frame, c.req.query('after'))),
  )
  app.get('/lost', (c) => {
    const frame = frameOf(c)
    if (!mayRead(c, frame)) return refuse(c, frame)
    return sendParts(c, frame, viewOf('/lost'), async ({ write }) => write(await showLost(asker, frame)))
  })
  app.get('/entry/:ref', (c) =>
    show(c, { path: '/waiting', title: `Message ${c.req.param('ref').slice(0, 8)}` }, (frame) =>
      showEntry(asker, frame, c.req.param('ref')),
    ),
  )
  app.get('/waiting', (c) => {
    const frame = frameOf(c)
    if (!mayRead(c, frame)) return refuse(c, frame)
    return sendParts(c, frame, viewOf('/waiting'), (to) => writeWaiting(asker, frame, c.req.query(), to))
  })
  // A search is sent and not asked for, so that no address is part of a URL.
  app.post('/waiting', async (c) => {
    const frame = frameOf(c)
    if (!mayRead(c, frame)) return refuse(c, frame)
    const about = (await formOf(c)).about ?? ''
    return sendParts(c, frame, viewOf('/waiting'), (to) => writeFound(asker, frame, about, to))
  })

  app.get('/sign-in', (c) => {
    const [frame, to] = [frameOf(c), destinationOf(c.req.query('to'))]
    const hasTokens = parts.settings().tokens !== undefined
    return send(c, frame, SIGN_IN, signInForm(frame, { to, hasTokens }))
  })
  app.post('/sign-in', async (c) => {
    const { tokens, base } = parts.settings()
    const form = await formOf(c)
    const to = destinationOf(form.to)
    const peer = peerOf(c.env.incoming, base)
    const wait = sessions.waitOf(peer)
    const token = wait > 0 ? undefined : tokens?.find(form.token ?? '')
    if (!token) {
      if (wait === 0) sessions.failed(peer)
      else c.header('Retry-After', String(Math.ceil(wait / 1000)))
      parts.refused('token', c.env.incoming)
      const refused =
        wait > 0
          ? 'There were too many wrong tokens: try again in some minutes.'
          : 'This token does not count.'
      const frame = frameOf(c)
      const content = signInForm(frame, { to, hasTokens: tokens !== undefined, refused })
      return send(c, frame, SIGN_IN, content, wait > 0 ? 429 : 403)
    }
    sessions.end(getCookie(c, cookieName) ?? '')
    setCookie(c, cookieName, sessions.begin(token), {
      ...cookieOf(base),
      secure: isSecure(c.env.incoming, base),
    })
    return c.redirect(`${base.path}${to}`, 303)
  })
  app.post('/sign-out', async (c) => {
    const session = sessionOf(c)
    if (!session) return signedOut(c, '/')
    await ownFormOf(c, session)
    const { base } = parts.settings()
    sessions.end(getCookie(c, cookieName) ?? '')
    deleteCookie(c, cookieName, cookieOf(base))
    return c.redirect(`${base.path}/`, 303)
  })

  app.post('/act/:call', async (c) => {
    const call = c.req.param('call')
    const next = nextOf(call)
    if (next === undefined) throw new Turned(404, `there is no such change: expected ${ACTS.join(', ')}`)
    const session = sessionOf(c)
    if (!session) return signedOut(c, next)
    const { key, ...given } = await ownFormOf(c, session)
    const params = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
    let undo: string | undefined
    const caller: Caller = {
      name: `token ${session.token.name}`,
      onListed: (id) => {
        undo = id
      },
    }
    try {
      const answer = await asker.change<Record<string, unknown>>(call, params, caller)
      session.notice = noticeOf(call, answer, undo)
    } catch (error) {
      const outcome = error instanceof Refusal ? 'Nothing was changed' : 'It was not made, or only in part'
      const content = problem(`${outcome}: ${messageOf(error)}.`)
      return send(c, frameOf(c), viewOf(next), content, statusOf(error))
    }
    return c.redirect(`${parts.settings().base.path}${next}`, 303)
  })

  /** The form of a change. Throws when it is not of this session. */
  async function ownFormOf(c: PageContext, session: Session) {
    const form = await formOf(c)
    if (!hasFormKey(session, form.key))
      throw new Turned(403, 'expected the form of this session: load the view again, and send it from there')
    return form
  }

  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  return (request, response) => {
    for (const [name, value] of Object.entries(FALLBACK_HEADERS)) response.setHeader(name, value)
    return listener(request, response)
  }
}

/** For answers to what is no request that hono knows; its own headers replace them in all others. */
const FALLBACK_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
}

/** Only what greymx itself serves is loaded and run, and no other site may show the page or send its forms. */
const HEADERS: Parameters<typeof secureHeaders>[0] = {
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'"],
    connectSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
  },
  xFrameOptions: 'DENY',
  referrerPolicy: 'same-origin',
  // The port is plain HTTP; whether a proxy in front of it has TLS for good is the proxy's matter.
  strictTransportSecurity: false,
}

function viewOf(path: string): View {
  return VIEWS.find((view) => view.path === path) ?? SIGN_IN
}

/** The path below the base. A proxy may take the base away or leave it. */
function withoutBase(path: string, { path: base }: PageBase): string {
  if (base === '' || (path !== base && !path.startsWith(`${base}/`))) return path
  return path.slice(base.length) || '/'
}

/** Cookies are for a host and not for a port: the pages of two MXs, each behind a tunnel on localhost, need two names. */
function cookieNameFor(hostName: string): string {
  return `greymx_session_${hash('sha256', hostName, 'hex').slice(0, 8)}`
}

function isRefresh(c: PageContext): boolean {
  return c.req.header(REFRESH_HEADER) !== undefined
}

function cookieOf({ path }: PageBase) {
  return { path: path || '/', httpOnly: true, sameSite: 'Strict' } as const
}

function destinationOf(to: string | undefined): string {
  return to !== undefined && DESTINATION.test(to) ? to : '/'
}

/** The fields of a form, without space around them. Throws when one comes twice or is a file: it is not known what counts. */
async function formOf(c: PageContext): Promise<Readonly<Record<string, string>>> {
  const body = await c.req.parseBody({ all: true }).catch((error: unknown) => {
    throw new Turned(400, `Cannot read the form: ${messageOf(error)}`)
  })
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => {
      if (typeof value === 'string') return [name, value.trim()]
      throw new Turned(400, `Cannot read ${JSON.stringify(name.slice(0, MAX_SHOWN))}: expected one text`)
    }),
  )
}

function statusOf(error: unknown): ViewStatus {
  if (!(error instanceof Refusal)) return 503
  return ({ unknown: 404, unsuited: 400, unavailable: 503 } as const)[error.kind]
}
