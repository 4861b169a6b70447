// The view of one message: everything that `greymx explain` says of it, in words, and what an operator can do about it.

import { html } from 'hono/html'
import type { Explanation, ShownDeferral } from '../../operator/explain.ts'
import { forUser, outcomeInWords } from '../../operator/explained.ts'
import { inWords } from '../../operator/in-words.ts'
import type { Asker } from './ask.ts'
import { allowForm, forgetForm } from './forms.ts'
import { type Frame, type Html, numberCell, problem, table } from './layout.ts'
import { fitting, ROOM } from './room.ts'
import { number, reasonInWords, time, utc } from './words.ts'

/** All that is known of the message with a reference. Rejects when nothing is. */
export async function showEntry(asker: Asker, frame: Frame, ref: string): Promise<Html> {
  const { deferrals } = await asker.read<{ deferrals: ShownDeferral[] }>('show', { ref })
  const found = await asker
    .read<Explanation>('explain', { ref })
    .then(explanation)
    .catch((error: Error) => problem(`What it would get now cannot be told: ${error.message}.`))
  const stories = await fitting(deferrals, story, ROOM / 2)
  return html`<section aria-labelledby="story"><h2 id="story">What happened</h2>
<ul>${stories}</ul>
${deferrals.length > stories.length ? html`<p class="none">The last ${stories.length} of ${number(deferrals.length)} deferrals are shown: <code>greymx show ${ref}</code> has all.</p>` : ''}</section>
${whatToDo(frame, ref)}
${found}
`
}

function whatToDo(frame: Frame, ref: string): Html {
  const { base, session } = frame
  if (!session)
    return html`<p class="hint"><a href="${base}/sign-in?to=/entry/${ref}">Sign in</a> to let it pass or to forget it.</p>`
  return html`<section aria-labelledby="do"><h2 id="do">What you can do</h2><div class="beside">
<div class="card">${allowForm(frame, session, { ref })}</div><div class="card">${forgetForm(frame, session, { ref })}</div>
</div></section>`
}

function story({ at, mx, client, name, identity, sender, recipient, ref, returnedAt }: ShownDeferral): Html {
  const from = name === undefined ? client : `${client} (${name})`
  const back =
    returnedAt === undefined ? 'It has not come back.' : html`It came back and passed at ${time(returnedAt)}.`
  return html`<li><code>${ref}</code>: <span class="a">${sender || '<>'}</span> to <span class="a">${recipient ?? 'anybody'}</span>, from <span class="a">${from}</span> as <span class="a">${identity}</span>, was deferred by ${mx} at ${time(at)}. ${back}</li>
`
}

function explanation(found: Explanation): Html {
  const { attempt, outcome, later, steps, names, times } = found
  return html`<section aria-labelledby="now"><h2 id="now">What it would get</h2>
<dl class="facts">
<dt>Client</dt><dd class="a">${attempt.client}${attempt.name === undefined ? '' : ` (${attempt.name})`}${attempt.helo === undefined ? '' : `, HELO ${attempt.helo}`}</dd>
<dt>Sender</dt><dd class="a">${attempt.sender || '<>'}</dd>
${attempt.recipient === undefined ? '' : html`<dt>Recipient</dt><dd class="a">${attempt.recipient}</dd>`}
<dt>Now</dt><dd>${outcomeInWords(outcome)} <small>(${reasonInWords(outcome.reason)})</small></dd>
${later ? html`<dt>In ${inWords(later.in)}</dt><dd>${outcomeInWords(later.outcome)}</dd>` : ''}
${times ? html`<dt>Times</dt><dd>delay ${inWords(times.delay)}, retry window ${inWords(times.retryWindow)}, lifetime ${inWords(times.lifetime)}</dd>` : ''}
</dl></section>
<section aria-labelledby="rules"><h2 id="rules">Rules, in their order</h2>
<ol class="steps">${steps.map(
    ({ rule, found: what, decides }) =>
      html`<li${decides ? html` class="decides"` : ''}><strong>${rule}</strong>: <span class="a">${what}</span>${decides ? html` <em>This decides.</em>` : ''}</li>
`,
  )}</ol></section>
${
  names.length === 0
    ? ''
    : html`<section aria-labelledby="names"><h2 id="names">Names of the client</h2>
${table(
  'What each name has shown',
  [
    { title: 'Name' },
    { title: 'Deferred', isNumber: true },
    { title: 'Returned', isNumber: true },
    { title: 'This triplet' },
  ],
  names.map(
    ({ name, deferred, returned, entry, age }) =>
      html`<tr><th scope="row" class="a">${name}</th>${numberCell(number(deferred), deferred)}${numberCell(number(returned), returned)}<td>${entry === undefined ? 'nothing' : `${entry}, ${inWords(age ?? 0)}`}</td></tr>
`,
  ),
)}</section>`
}
<section aria-labelledby="user"><h2 id="user">For the user who asks</h2>
<blockquote>${forUser(found, utc)}</blockquote></section>
`
}
