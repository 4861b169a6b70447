// The views of what operators have changed: the rules that hold, with the forms that make them, and the list of changes.

import { html } from 'hono/html'
import type { ShownChange } from '../../operator/changes.ts'
import type { ShownRule } from '../../operator/rules.ts'
import type { Asker } from './ask.ts'
import { endForm, ruleForms } from './forms.ts'
import { empty, type Frame, type Html, table, undoForm } from './layout.ts'
import { fitting } from './room.ts'
import { time } from './words.ts'

/** `after` is the id of the last rule of the page before. */
export async function showRules(asker: Asker, frame: Frame, after: string | undefined): Promise<Html> {
  const { rules: all } = await asker.read<{ rules: ShownRule[] }>('rules')
  const rules = restOf(all, after)
  const { session } = frame
  const columns = ['Rule', 'Mail', 'Until', 'By', 'Made', 'Reason', ...(session ? ['Action'] : [])]
  const rows = await fitting(
    rules,
    (rule) =>
      html`<tr><th scope="row">${rule.kind} <small>${rule.id}</small></th><td class="a">${mailOf(rule)}</td><td>${rule.until === undefined ? 'for good' : time(rule.until)}${rule.isOver ? ' (over)' : ''}</td><td>${rule.by}</td><td>${time(rule.madeAt)}</td><td class="a">${rule.why ?? ''}</td>${session ? html`<td>${rule.isOver ? '' : endForm(frame, session, rule.id)}</td>` : ''}</tr>
`,
  )
  return html`${
    rows.length === 0
      ? empty(
          'There are no rules.',
          'Operators make them at run time, here or by greymx allow and greymx off. Exemptions for good belong into milter.yaml.',
        )
      : table(
          'Rules of operators, and those that ended within a week',
          columns.map((title) => ({ title })),
          rows,
        )
  }
${older(frame, '/rules', rules, rows.length)}
${session ? ruleForms(frame, session) : html`<p class="hint"><a href="${frame.base}/sign-in?to=/rules">Sign in</a> to make or end rules.</p>`}
`
}

/** `after` is the id of the last change of the page before. */
export async function showChanges(asker: Asker, frame: Frame, after: string | undefined): Promise<Html> {
  const { changes: all } = await asker.read<{ changes: ShownChange[] }>('changes', { days: 30 })
  const changes = restOf(all, after)
  if (changes.length === 0)
    return empty(
      'Nobody has changed anything within 30 days.',
      'Whatever operators change here or by commands is listed, with who did it and why.',
    )
  const { session } = frame
  const columns = ['When', 'Who', 'What', 'Reason', 'MX', ...(session ? ['Action'] : [])]
  const rows = await fitting(
    changes,
    ({ id, at, who, call, params, why, mx, undo }) =>
      html`<tr><td>${time(at)}</td><td>${who}</td><td class="a">${call} ${params}</td><td class="a">${why ?? ''}</td><td>${mx}</td>${session ? html`<td>${undo ? undoForm(frame, session, id) : ''}</td>` : ''}</tr>
`,
  )
  return html`${table(
    'Changes of the last 30 days, the newest first',
    columns.map((title) => ({ title })),
    rows,
  )}
${older(frame, '/changes', changes, rows.length)}
`
}

/** Those that come after the one with an id; all of them if it is not there any more, or none is given. */
function restOf<T extends { readonly id: string }>(
  all: readonly T[],
  after: string | undefined,
): readonly T[] {
  return all.slice(all.findIndex(({ id }) => id === after) + 1)
}

/** The link to those that come after the first `shown`. */
function older(
  { base }: Frame,
  path: string,
  all: readonly { readonly id: string }[],
  shown: number,
): Html | string {
  const last = all[shown - 1]
  if (!last || shown === all.length) return ''
  return html`<p><a href="${base}${path}?after=${last.id}">Older ones</a></p>`
}

/** What mail a rule is for, in words. */
function mailOf({ client, sender, recipient }: ShownRule): string {
  const parts = [
    client !== undefined && `client ${client}`,
    sender !== undefined && `from ${sender || '<>'}`,
    recipient !== undefined && `to ${recipient}`,
  ].filter(Boolean)
  return parts.length === 0 ? 'all mail' : parts.join(', ')
}
