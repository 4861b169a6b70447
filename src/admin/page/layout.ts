// The frame of every view: head, navigation, what the operator is told, and the forms' common parts.

import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { Notice, Session } from './sessions.ts'

/** Escaped text of a page. */
export type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** The parts of the frame that depend on the settings, on this host and on who asks. */
export interface Frame {
  /** The path under which the page is, without a slash at its end: '' or `/greymx`. */
  readonly base: string
  readonly host: string
  readonly version: string
  /** Text that changes with the files of the page, so that no browser keeps those of an older version. */
  readonly assets: string
  /** Absent when nobody is signed in. */
  readonly session?: Session | undefined
}

/** A view: its name in the navigation and the title. */
export interface View {
  readonly path: string
  readonly title: string
}

/** The views of the navigation. */
export const VIEWS: readonly View[] = [
  { path: '/', title: 'Figures' },
  { path: '/waiting', title: 'Waiting' },
  { path: '/lost', title: 'Lost mail' },
  { path: '/mxs', title: 'MXs' },
  { path: '/rules', title: 'Rules' },
  { path: '/changes', title: 'Changes' },
]

/** The beginning of a page, up to where the view's own text begins. */
export function head(frame: Frame, view: View, notice?: Notice): Html {
  const { base, assets, session } = frame
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${view.title} – greymx on ${frame.host}</title>
<link rel="stylesheet" href="${base}/assets/${assets}/page.css">
<link rel="icon" href="${base}/assets/${assets}/icon.svg" type="image/svg+xml">
<script src="${base}/assets/${assets}/page.js" type="module"></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="brand">greymx <span>on ${frame.host}</span></p>
<nav aria-label="Views"><ul>
${VIEWS.map(({ path, title }) => html`<li><a href="${base}${path}"${current(path === view.path)}>${title}</a></li>`)}
</ul></nav>
<div class="who">${session ? signedIn(frame, session) : html`<a href="${base}/sign-in">Sign in</a>`}</div>
</header>
<main id="main" tabindex="-1">
<h1>${view.title}</h1>
${notice === undefined ? '' : noticeOf(frame, notice)}
`
}

/** The end of a page. */
export function foot({ version }: Frame): Html {
  return html`</main>
<footer><p>greymx ${version}. Times are in your time zone if your browser runs the script of this page, else in UTC.</p></footer>
</body>
</html>
`
}

function current(is: boolean): Html | string {
  return is ? html` aria-current="page"` : ''
}

function signedIn(frame: Frame, session: Session): Html {
  return html`<form method="post" action="${frame.base}/sign-out">${formKey(session)}
<span>Signed in as ${session.token.name}</span> <button>Sign out</button></form>`
}

function noticeOf(frame: Frame, { text, undo }: Notice): Html {
  const { session } = frame
  return html`<div class="notice" role="status"><p>${text}</p>${
    undo === undefined || !session ? '' : undoForm(frame, session, undo)
  }</div>`
}

/** A button that takes a change back. */
export function undoForm({ base }: Frame, session: Session, id: string): Html {
  return html`<form method="post" action="${base}/act/undo">${formKey(session)}<input type="hidden" name="id" value="${id}"><button>Undo</button></form>`
}

/** The secret by which a form is known to come from this session. */
export function formKey({ formKey: key }: Session): Html {
  return html`<input type="hidden" name="key" value="${key}">`
}

/** A figure that stands out: what it is, and what more there is to say of it. */
export function tile(label: string, value: string, more = ''): Html {
  return html`<div class="tile"><dt>${label}</dt><dd>${value}${more === '' ? '' : html` <small>${more}</small>`}</dd></div>`
}

/** What a view says when it has nothing to show, and what to do next. */
export function empty(text: string, next: Html | string): Html {
  return html`<div class="empty"><p><strong>${text}</strong></p><p>${next}</p></div>`
}

/** What a view says when it could not be made. */
export function problem(text: string): Html {
  return html`<div class="problem" role="alert"><p>${text}</p></div>`
}

/** A column of a table. */
export interface Column {
  readonly title: string
  /** Whether its cells are numbers, which line up. */
  readonly isNumber?: boolean
}

/** A table with a caption, which scrolls by itself where the window is narrow; the script makes its columns sort. */
export function table(caption: string, columns: readonly Column[], rows: readonly Html[]): Html {
  return html`${tableHead(caption, columns)}${rows}${TABLE_END}`
}

/** The beginning of a table whose rows come later. */
export function tableHead(caption: string, columns: readonly Column[]): Html {
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="sortable">
<caption>${caption}</caption>
<thead><tr>${columns.map(({ title, isNumber }) => html`<th scope="col"${isNumber ? html` class="n"` : ''}>${title}</th>`)}</tr></thead>
<tbody>
`
}

/** The end of such a table. */
export const TABLE_END = html`</tbody></table></div>
`

/** A cell of numbers, which sorts by `value`. */
export function numberCell(text: string, value: number): Html {
  return html`<td class="n" data-value="${value}">${text}</td>`
}
