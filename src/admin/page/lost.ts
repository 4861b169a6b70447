// The view of mail that somebody may miss: what was deferred, never came back, and looks wanted.

import { html } from 'hono/html'
import { inWords } from '../../operator/in-words.ts'
import type { ShownLost, ShownReport } from '../../operator/report.ts'
import type { Asker } from './ask.ts'
import { allowForm } from './forms.ts'
import { empty, type Frame, type Html, numberCell, table, tile } from './layout.ts'
import { fitting } from './room.ts'
import { number, percent, time } from './words.ts'

export async function showLost(asker: Asker, frame: Frame): Promise<Html> {
  const report = await asker.read<ShownReport>('report', { lost: true })
  const { since, until, deferred, returned, waiting, neverReturned, proven, lost } = report
  return html`<p class="since">From ${time(since)} to ${time(until)}, as far as the ledger has it.</p>
<dl class="tiles">
${tile('First messages deferred', number(deferred))}
${tile('Came back', number(returned), percent(returned, deferred))}
${tile('May still come back', number(waiting))}
${tile('Never came back', number(neverReturned), percent(neverReturned, deferred))}
${tile('Of proven senders came back', percent(proven.returned, proven.deferred), `of ${number(proven.deferred)}`)}
</dl>
${lost.length === 0 ? empty('Nothing that looks wanted stayed away.', 'If a user misses a message, search for its sender under Waiting.') : await list(frame, lost)}
${delaysOf(report)}
`
}

async function list(frame: Frame, lost: readonly ShownLost[]): Promise<Html> {
  const { session } = frame
  const columns = ['Deferred', 'Sender', 'Recipient', 'Client', 'What speaks for it', 'Reference']
  const rows = await fitting(
    lost,
    ({ ref, at, sender, recipient, client, name, signs, score, allow }) =>
      html`<tr><td>${time(at)}</td><td class="a">${sender || '<>'}</td><td class="a">${recipient ?? 'anybody'}</td><td class="a">${name === undefined ? client : `${name} (${client})`}</td><td data-value="${score}">${signs.join(', ')}</td><td><a href="${frame.base}/entry/${ref}"><code>${ref}</code></a></td>${session ? html`<td><details><summary>Let it pass</summary>${allowForm(frame, session, criteriaOf(allow))}</details></td>` : ''}</tr>
`,
  )
  return html`${table(
    'Never came back and looks wanted, most likely first',
    [...columns, ...(session ? ['Action'] : [])].map((title) => ({ title })),
    rows,
  )}
${lost.length > rows.length ? html`<p class="none">The first ${rows.length} of ${number(lost.length)} are shown: <code>greymx report --lost</code> has all.</p>` : ''}
`
}

/** The parameters of `allow` in the options of the command. */
function criteriaOf(allow: readonly string[]): Record<string, string> {
  const criteria: Record<string, string> = {}
  for (let index = 0; index + 1 < allow.length; index += 2)
    criteria[(allow[index] ?? '').replace(/^--/, '')] = allow[index + 1] ?? ''
  return criteria
}

function delaysOf({ delays, overAnHour, returned }: ShownReport): Html | string {
  if (!delays) return ''
  return table(
    'How long those that came back had waited',
    [{ title: 'Which' }, { title: 'Wait', isNumber: true }],
    [
      html`<tr><th scope="row">Half of them, at most</th>${numberCell(inWords(delays.half), delays.half)}</tr>`,
      html`<tr><th scope="row">Nine of ten, at most</th>${numberCell(inWords(delays.nineOfTen), delays.nineOfTen)}</tr>`,
      html`<tr><th scope="row">The longest</th>${numberCell(inWords(delays.longest), delays.longest)}</tr>`,
      html`<tr><th scope="row">Longer than an hour</th>${numberCell(`${number(overAnHour)} of ${number(returned)}`, overAnHour)}</tr>`,
    ],
  )
}
