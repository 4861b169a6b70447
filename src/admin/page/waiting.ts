// The view of what waits: first messages that were deferred and may still come back, and what a search finds. A search
// also goes through the keys of the store, which takes seconds if they are many; what it finds is shown as it comes.

import { html } from 'hono/html'
import type { ShownEntry } from '../../operator/entries.ts'
import type { ShownDeferral } from '../../operator/explain.ts'
import { inWords } from '../../operator/in-words.ts'
import type { Asker } from './ask.ts'
import { empty, type Frame, type Html, TABLE_END, tableHead } from './layout.ts'
import { fitting, ROOM, sizeOf } from './room.ts'
import { time } from './words.ts'

/** Most rows of one page, and most of what a search finds in the ledger and in the store. */
const ROWS = 50
const MAX_FOUND = 100

/** Room for what a search finds in either of them, in bytes. */
const ROOM_FOR_FOUND = ROOM / 2

/** Where a page of what waits begins: after this message, the last of the page before. */
interface Place {
  /** When it was deferred, in ISO 8601; without the others, the page begins with what was deferred before. */
  readonly before?: string
  readonly ref?: string
  readonly mx?: string
}

/** Adds a part to the page. */
export type Write = (part: Html) => Promise<void>

const COLUMNS = ['Deferred', 'Sender', 'Recipient', 'Client', 'MX', 'Reference'].map((title) => ({ title }))

/** The newest messages that wait, or those after `place`. */
export async function writeWaiting(
  asker: Asker,
  frame: Frame,
  place: Place,
  { write, signal }: { readonly write: Write; readonly signal: AbortSignal },
): Promise<void> {
  await write(searchForm(frame, ''))
  const found: ShownDeferral[] = []
  const end = endOf(place)
  await asker.stream<ShownDeferral>(
    'waiting',
    end === undefined ? {} : { before: end },
    signal,
    async (row) => {
      if (isAfter(row, place)) found.push(row)
      return found.length <= ROWS
    },
  )
  if (found.length === 0)
    return write(
      empty(
        place.before === undefined ? 'Nothing waits.' : 'Nothing else waits.',
        html`What was deferred and has not come back within its retry window is in <a href="${frame.base}/lost">Lost mail</a> if it looks wanted.`,
      ),
    )
  const rows = await fitting(found.slice(0, ROWS), (row) => deferralRow(frame, row))
  const last = found[rows.length - 1]
  await write(
    html`<div data-live="waiting">${tableHead('First messages that wait, the newest first', COLUMNS)}${rows}${TABLE_END}</div>
${found.length > rows.length && last ? html`<p><a href="${frame.base}/waiting?${new URLSearchParams({ before: last.at, ref: last.ref, mx: last.mx }).toString()}">Older ones</a></p>` : ''}
`,
  )
}

/** What all messages after a place were deferred before: some of its own millisecond may be after it. */
function endOf({ before, ref }: Place): string | undefined {
  const at = Date.parse(before ?? '')
  return ref === undefined || Number.isNaN(at) ? before : new Date(at + 1).toISOString()
}

/** Whether a message comes after a place in the order of the ledger: by time, reference and MX. */
function isAfter({ at, ref, mx }: ShownDeferral, place: Place): boolean {
  if (at !== place.before || place.ref === undefined) return true
  return ref === place.ref ? mx > (place.mx ?? '') : ref > place.ref
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
  const waiting = await writeRows<ShownDeferral>('waiting', (row) => deferralRow(frame, row))
  await write(html`${TABLE_END}${countOf(waiting, 'Nothing that waits matches.')}</section>
<section aria-labelledby="kept"><h2 id="kept">Kept in the store</h2>
${tableHead(
  'What the store keeps',
  ['State', 'For', 'Sender', 'Recipient', 'Client', 'Reference'].map((title) => ({ title })),
)}`)
  const kept = await writeRows<ShownEntry>('list', (row) => entryRow(frame, row))
  await write(html`${TABLE_END}${countOf(kept, 'Nothing that the store keeps matches. First attempts of strangers are digests, which have no address unless they are of the last week.')}</section>
`)

  /** Writes the rows of what a call finds, as far as there is room for them. */
  async function writeRows<T>(call: string, row: (item: T) => Html): Promise<Found> {
    let [count, size] = [0, 0]
    let isAll = true
    await asker.stream<T>(call, { about, limit: MAX_FOUND + 1 }, signal, async (item) => {
      const made = await row(item)
      size += sizeOf(made)
      isAll = count < MAX_FOUND && size <= ROOM_FOR_FOUND
      if (!isAll) return false
      count += 1
      await write(made)
      return true
    })
    return { count, isAll }
  }
}

/** What a search has shown: the number of rows, and whether there is nothing else. */
interface Found {
  readonly count: number
  readonly isAll: boolean
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

function countOf({ count, isAll }: Found, none: string): Html {
  if (count === 0) return html`<p class="none">${none}</p>`
  return html`<p class="none">${isAll ? `${count} found.` : `The first ${count} are shown: search for more of the address.`}</p>`
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
