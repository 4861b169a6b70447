// The view of what waits: first messages that were deferred and may still come back, and what a search finds. A search
// also goes through the keys of the store, which takes seconds if they are many; what it finds is shown as it comes.

import { html } from 'hono/html'
import type { ShownEntry } from '../../operator/entries.ts'
import type { ShownDeferral } from '../../operator/explain.ts'
import { inWords } from '../../operator/in-words.ts'
import type { Asker } from './ask.ts'
import { empty, type Frame, type Html, TABLE_END, tableHead } from './layout.ts'
import { time } from './words.ts'

/** Rows of one page, and of what a search finds in the ledger and in the store. */
const ROWS = 50
const MAX_FOUND = 100

/** Writes a part of the page to the reader; resolves once there is room for more. */
export type Write = (part: Html) => Promise<void>

const COLUMNS = ['Deferred', 'Sender', 'Recipient', 'Client', 'MX', 'Reference'].map((title) => ({ title }))

/** The newest messages that wait, or those that were deferred before an instant. */
export async function writeWaiting(
  asker: Asker,
  frame: Frame,
  before: string | undefined,
  { write, signal }: { readonly write: Write; readonly signal: AbortSignal },
): Promise<void> {
  await write(searchForm(frame, ''))
  const rows: ShownDeferral[] = []
  const params = { limit: ROWS + 1, ...(before === undefined ? {} : { before }) }
  await asker.stream<ShownDeferral>('waiting', params, signal, async (row) => {
    rows.push(row)
    return true
  })
  if (rows.length === 0)
    return write(
      empty(
        before === undefined ? 'Nothing waits.' : 'Nothing else waits.',
        html`What was deferred and has not come back within its retry window is in <a href="${frame.base}/lost">Lost mail</a> if it looks wanted.`,
      ),
    )
  const shown = rows.slice(0, ROWS)
  const last = shown.at(-1)
  await write(
    html`<div data-live="waiting">${tableHead('First messages that wait, the newest first', COLUMNS)}${shown.map((row) => deferralRow(frame, row))}${TABLE_END}</div>
${rows.length > ROWS && last ? html`<p><a href="${frame.base}/waiting?before=${last.at}">Older ones</a></p>` : ''}
`,
  )
}

/** What a search finds: messages that wait, and then whatever the store keeps. */
export async function writeFound(
  asker: Asker,
  frame: Frame,
  about: string,
  { write, signal }: { readonly write: Write; readonly signal: AbortSignal },
): Promise<void> {
  await write(searchForm(frame, about))
  if (about === '') return write(empty('Nothing was searched for.', SEARCH_HINT))
  await write(html`<section aria-labelledby="waits"><h2 id="waits">Waiting</h2>
${tableHead('First messages that wait', COLUMNS)}`)
  let waiting = 0
  await asker.stream<ShownDeferral>('waiting', { about, limit: MAX_FOUND }, signal, async (row) => {
    waiting += 1
    await write(deferralRow(frame, row))
    return true
  })
  await write(html`${TABLE_END}${countOf(waiting, 'Nothing that waits matches.')}</section>
<section aria-labelledby="kept"><h2 id="kept">Kept in the store</h2>
${tableHead(
  'What the store keeps',
  ['State', 'For', 'Sender', 'Recipient', 'Client', 'Reference'].map((title) => ({ title })),
)}`)
  let kept = 0
  await asker.stream<ShownEntry>('list', { about, limit: MAX_FOUND }, signal, async (row) => {
    kept += 1
    await write(entryRow(frame, row))
    return true
  })
  await write(html`${TABLE_END}${countOf(kept, 'Nothing that the store keeps matches. First attempts of strangers are digests, which have no address unless they are of the last week.')}</section>
`)
}

const SEARCH_HINT =
  'Expected the reference in a reply or a bounce, an address, a domain, an IP address, a network or a host name.'

function searchForm({ base }: Frame, about: string): Html {
  return html`<form method="post" action="${base}/waiting" role="search" class="search">
<label for="about">Address, domain, client or reference</label>
<input id="about" name="about" value="${about}" maxlength="320" autocomplete="off" spellcheck="false"> <button>Search</button>
</form>
`
}

function countOf(count: number, none: string): Html {
  if (count === 0) return html`<p class="none">${none}</p>`
  return html`<p class="none">${count === MAX_FOUND ? `The first ${count} are shown: search for more of the address.` : `${count} found.`}</p>`
}

function deferralRow({ base }: Frame, row: ShownDeferral): Html {
  const { ref, at, mx, client, name, sender, recipient } = row
  return html`<tr><td>${time(at)}</td><td class="a">${sender || '<>'}</td><td class="a">${recipient ?? 'anybody'}</td><td class="a">${name === undefined ? client : `${name} (${client})`}</td><td>${mx}</td><td><a href="${base}/entry/${ref}"><code>${ref}</code></a></td></tr>
`
}

function entryRow({ base }: Frame, { state, client, sender, recipient, age, ref, key }: ShownEntry): Html {
  const link = ref === undefined ? '' : html`<a href="${base}/entry/${ref}"><code>${ref}</code></a>`
  const triplet =
    sender === undefined
      ? html`<td class="a" colspan="2"><code>${key}</code></td>`
      : html`<td class="a">${sender || '<>'}</td><td class="a">${recipient ?? 'anybody'}</td>`
  return html`<tr><td>${state}</td><td data-value="${age}">${inWords(age)}</td>${triplet}<td class="a">${client}</td><td>${link}</td></tr>
`
}
