// The forms by which a signed-in operator makes changes. Each is sent to `/act/CALL` with the parameters of the call.

import { html } from 'hono/html'
import { type Frame, formKey, type Html } from './layout.ts'
import type { Session } from './sessions.ts'

/** Parameters of a call, by their names, that a form sends along and does not ask for. */
export type Criteria = Readonly<Record<string, string>>

/** How long a rule holds by default in a form. */
const DEFAULT_FOR = '30d'

/** A form with one button; `given` is sent along. */
function form(
  { base }: Frame,
  session: Session,
  action: { readonly call: string; readonly button: string; readonly given?: Criteria },
  content: Html | string = '',
): Html {
  return html`<form method="post" action="${base}/act/${action.call}" class="act">${formKey(session)}${Object.entries(
    action.given ?? {},
  ).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}${content}<button>${action.button}</button></form>
`
}

interface Field {
  readonly name: string
  readonly label: string
  readonly value?: string
  readonly isRequired?: boolean
  readonly hint?: string
}

function input({ name, label, value = '', isRequired = false, hint }: Field): Html {
  return html`<p><label><span>${label}</span> <input name="${name}" value="${value}" maxlength="320" autocomplete="off" spellcheck="false"${isRequired ? html` required` : ''}>${hint === undefined ? '' : html` <small>${hint}</small>`}</label></p>`
}

const WHY: Field = { name: 'why', label: 'Reason', hint: 'for those who read it later' }
const DURATION_HINT = 'like 15m, 2h or 30d'

/** Lets mail pass from now on: that of a reference, or of what is given. */
export function allowForm(frame: Frame, session: Session, given: Criteria): Html {
  const until = input({ name: 'for', label: 'For', value: DEFAULT_FOR, hint: DURATION_HINT })
  return form(frame, session, { call: 'allow', button: 'Let it pass', given }, html`${until}${input(WHY)}`)
}

export function forgetForm(frame: Frame, session: Session, given: Criteria): Html {
  return form(frame, session, { call: 'forget', button: 'Forget it', given }, input(WHY))
}

/** Ends a rule. */
export function endForm(frame: Frame, session: Session, id: string): Html {
  return form(frame, session, { call: 'on', button: 'End', given: { id } })
}

/** The forms that are for no message in particular. */
export function ruleForms(frame: Frame, session: Session): Html {
  const sender = { name: 'sender', label: 'Sender', hint: 'an address, or a domain and all below it' }
  const recipient = {
    name: 'recipient',
    label: 'Recipient',
    hint: 'an address, or a domain and all below it',
  }
  const duration = { name: 'for', label: 'For', hint: DURATION_HINT }
  const client = {
    name: 'client',
    label: 'Client',
    hint: 'an address, a network, or a host name and all below it',
  }
  const forms = [
    {
      title: 'Let mail pass',
      about: 'Whatever matches all of these is never deferred.',
      action: { call: 'allow', button: 'Let it pass' },
      inputs: [client, sender, recipient, { ...duration, value: DEFAULT_FOR }, WHY],
    },
    {
      title: 'Switch greylisting off',
      about: 'For all mail if neither is given. It is learnt from meanwhile.',
      action: { call: 'off', button: 'Switch off' },
      inputs: [
        { ...recipient, name: 'to' },
        { ...sender, name: 'from' },
        { ...duration, hint: `${DURATION_HINT}; until it is ended if nothing is given` },
        WHY,
      ],
    },
    {
      title: 'Expect mail',
      about: 'First messages to a recipient pass, as those with a code that was just asked for.',
      action: { call: 'expect', button: 'Expect it' },
      inputs: [
        { name: 'to', label: 'Recipient', isRequired: true },
        { name: 'from', label: 'Domain of the sender', hint: 'any if nothing is given' },
        { ...duration, value: '15m', isRequired: true },
        WHY,
      ],
    },
    {
      title: 'Forget',
      about: 'What the store keeps of whatever matches all of these, or of everything that names an address.',
      action: { call: 'forget', button: 'Forget it' },
      inputs: [client, sender, recipient, { name: 'address', label: 'Everything about an address' }, WHY],
    },
  ] as const
  return html`<div class="beside">${forms.map(
    ({ title, about, action, inputs }) => html`<section class="card"><h2>${title}</h2><p>${about}</p>
${form(frame, session, action, html`${inputs.map(input)}`)}</section>
`,
  )}</div>
`
}
