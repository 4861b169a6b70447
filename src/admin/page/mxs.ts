// The view of the fleet: how every MX, its store and its DNS are, and what needs attention, as `greymx status` has it.

import { html } from 'hono/html'
import type { Status } from '../../operator/status.ts'
import type { Health } from '../health.ts'
import type { Asker } from './ask.ts'
import { type Frame, type Html, numberCell, table } from './layout.ts'
import { fitting, ROOM } from './room.ts'
import { number, time } from './words.ts'

export async function showMxs(asker: Asker, { host }: Frame, health: Health): Promise<Html> {
  const { members, attention, differences } = await asker.read<Status>('status')
  const troubles = [...attention, ...health.warnings.map((warning) => `${host}: ${warning}`)]
  const { local } = health
  const shownTroubles = await fitting(troubles, (each) => html`<li>${each}</li>`, ROOM / 4)
  const rows = await fitting(members, memberRow, ROOM / 2)
  const differing = await fitting(differences, differenceRow, ROOM / 4)
  return html`<div data-live="mxs">
${
  troubles.length === 0
    ? html`<p class="well">All is well: nothing needs attention.</p>`
    : html`<section aria-labelledby="attention" class="problem"><h2 id="attention">Needs attention</h2><ul>${shownTroubles}</ul>${rest(troubles.length - shownTroubles.length)}</section>`
}
${table(
  'Daemons that share the store',
  [
    ...['MX', 'State', 'Version', 'Store', 'DNS', 'Started', 'Seen'].map((title) => ({ title })),
    { title: 'Clock off by', isNumber: true },
    { title: 'Listens on' },
  ],
  rows,
)}
${rest(members.length - rows.length)}
${local ? html`<p>This host keeps ${local.entries} entries in ${local.name} beside the store, of which ${local.unmerged} are not merged yet.</p>` : ''}
${
  differences.length === 0
    ? ''
    : html`${table(
        'Settings that differ between MXs',
        [{ title: 'Setting' }, { title: 'May differ' }, { title: 'Values' }],
        differing,
      )}
${rest(differences.length - differing.length)}`
}
</div>
`
}

function memberRow(member: Status['members'][number]): Html {
  return html`<tr><th scope="row">${member.host} <small>pid ${member.pid}</small></th><td>${mark(member.state === 'running', member.state)}</td><td>${member.version}</td><td>${mark(member.store.up, member.store.up ? 'up' : 'down')} <small>since ${time(member.store.since)}</small></td><td>${mark(member.dns === 'up', member.dns)}</td><td>${time(member.startedAt)}</td><td>${time(member.lastSeenAt)}</td>${numberCell(`${member.clockOffset} ms`, member.clockOffset)}<td class="a">${member.listeners.join(', ') || 'nothing'}</td></tr>
`
}

function differenceRow({ setting, isOfOneHost, values }: Status['differences'][number]): Html {
  return html`<tr><th scope="row">${setting}</th><td>${isOfOneHost ? 'yes' : 'no'}</td><td class="a">${values.map(({ member, value }) => `${member}: ${value ?? '(default)'}`).join('; ')}</td></tr>
`
}

/** Where those are that the view has no room for. */
function rest(count: number): Html | string {
  return count === 0
    ? ''
    : html`<p class="none">${number(count)} more: <code>greymx status</code> has all.</p>`
}

function mark(isWell: boolean, text: string): Html {
  return html`<span class="${isWell ? 'up' : 'down'}">${text}</span>`
}
