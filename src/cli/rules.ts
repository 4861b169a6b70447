// greymx allow, off, on, rules and expect: asks the running daemon, and prints what holds from now on.

import type { ShownRule } from '../operator/rules.ts'
import { type CallValues, callDaemon } from './call.ts'
import { columns } from './columns.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { print } from './output.ts'
import { localTime } from './times.ts'

/** Asks for a rule, and prints it. */
export async function makeRule(
  values: CallValues,
  name: 'allow' | 'off',
  params: object,
): Promise<ExitStatus> {
  const answered = await callDaemon(values, name, params)
  if ('status' in answered) return answered.status
  const rule = answered.answer as ShownRule
  print(
    values.json ? `${JSON.stringify(rule)}\n` : `${sentenceOf(rule)}\nEnd it with: greymx on ${rule.id}\n`,
  )
  return EXIT.ok
}

/** Ends rules, and prints which. */
export async function endRules(values: CallValues, params: object): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'on', params)
  if ('status' in answered) return answered.status
  const { ended } = answered.answer as { readonly ended: readonly ShownRule[] }
  print(
    values.json
      ? `${JSON.stringify({ ended })}\n`
      : ended.map((rule) => `Ended: ${sentenceOf(rule)}\n`).join(''),
  )
  return EXIT.ok
}

/** Prints all rules. */
export async function listRules(values: CallValues): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'rules', {})
  if ('status' in answered) return answered.status
  const { rules } = answered.answer as { readonly rules: readonly ShownRule[] }
  if (values.json) print(`${JSON.stringify({ rules })}\n`)
  else if (rules.length === 0) print('No rules: mail is judged by the configuration alone.\n')
  else print(columns(['ID', 'RULE', 'UNTIL', 'BY', 'WHY'], rules.map(rowOf)))
  return EXIT.ok
}

/** Lets mail that a recipient expects pass. */
export async function expectMail(values: CallValues, params: object): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'expect', params)
  if ('status' in answered) return answered.status
  const expected = answered.answer as { readonly to: string; readonly from?: string; readonly until: string }
  const from = expected.from === undefined ? 'anybody who is no stranger' : expected.from
  print(
    values.json
      ? `${JSON.stringify(expected)}\n`
      : `First messages to ${expected.to} from ${from} pass until ${localTime(expected.until)}.\n`,
  )
  return EXIT.ok
}

function sentenceOf(rule: ShownRule): string {
  const until = rule.until === undefined ? 'until it is ended' : `until ${localTime(rule.until)}`
  if (rule.kind === 'allow') return `Mail ${criteriaOf(rule)} passes on every MX ${until}.`
  const scope = criteriaOf(rule)
  return `Greylisting is off on every MX for ${scope === '' ? 'all mail' : `mail ${scope}`} ${until}.`
}

function rowOf(rule: ShownRule): string[] {
  const what = [rule.kind, criteriaOf(rule) || 'all mail'].join(' ')
  const until = rule.until === undefined ? 'ended by hand' : localTime(rule.until)
  return [rule.id, what, rule.isOver ? `${until} (over)` : until, rule.by, rule.why ?? '']
}

function criteriaOf({ client, sender, recipient }: ShownRule): string {
  const parts = [client && `of client ${client}`, sender && `from ${sender}`, recipient && `to ${recipient}`]
  return parts.filter(Boolean).join(' ')
}
