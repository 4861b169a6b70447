// greymx explain and greymx show: asks the running daemon what an attempt gets and why, and prints it.

import type { Explanation, ShownDeferral } from '../operator/explain.ts'
import { forUser, outcomeInWords } from '../operator/explained.ts'
import { inWords } from '../operator/in-words.ts'
import { type CallValues, callDaemon } from './call.ts'
import { columns } from './columns.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { print } from './output.ts'
import { localTime } from './times.ts'

/** Prints the explanation; the exit status is `tempfail` when the attempt would be deferred now. */
export async function explain(
  values: CallValues & { readonly isForUser: boolean },
  params: object,
): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'explain', params)
  if ('status' in answered) return answered.status
  const found = answered.answer as Explanation
  if (values.json) print(`${JSON.stringify(found)}\n`)
  else print(values.isForUser ? `${forUser(found, localTime)}\n` : inFull(found))
  return found.outcome.verdict === 'tempfail' ? EXIT.tempfail : EXIT.ok
}

/** Prints what is known of a reference. */
export async function show(values: CallValues, ref: string): Promise<ExitStatus> {
  const answered = await callDaemon(values, 'show', { ref })
  if ('status' in answered) return answered.status
  const { deferrals } = answered.answer as { readonly deferrals: readonly ShownDeferral[] }
  if (values.json) print(`${JSON.stringify({ deferrals })}\n`)
  else print(deferrals.map(storyOf).join('\n'))
  return EXIT.ok
}

function inFull(found: Explanation): string {
  const { attempt, ref, outcome, later, steps, names, times, history } = found
  const client = [attempt.client, attempt.name && `(${attempt.name})`, attempt.helo && `HELO ${attempt.helo}`]
  const lines = [
    `Client:    ${client.filter(Boolean).join(' ')}`,
    `Sender:    ${attempt.sender || '<>'}`,
    ...(attempt.recipient === undefined ? [] : [`Recipient: ${attempt.recipient}`]),
    ...(ref === undefined ? [] : [`Reference: ${ref}`]),
    '',
    `Now:       ${outcomeInWords(outcome)}`,
    ...(later ? [`In ${`${inWords(later.in)}:`.padEnd(8)}${outcomeInWords(later.outcome)}`] : []),
    ...(times
      ? [
          `Times:     delay ${inWords(times.delay)}, retry window ${inWords(times.retryWindow)}, lifetime ${inWords(times.lifetime)}`,
        ]
      : []),
    '',
    ...steps.map(({ rule, found: what, decides }) => `${decides ? '>' : ' '} ${rule}: ${what}`),
  ]
  const rows = names.map(({ name, deferred, returned, entry, age }) => [
    name,
    String(deferred),
    String(returned),
    entry === undefined ? 'nothing' : `${entry}, ${inWords(age ?? 0)}`,
  ])
  const table = rows.length === 0 ? '' : `\n${columns(['NAME', 'DEFERRED', 'RETURNED', 'TRIPLET'], rows)}`
  const past = history.length === 0 ? '' : `\n${history.map(storyOf).join('')}`
  return `${lines.join('\n')}\n${table}${past}`
}

function storyOf({
  at,
  mx,
  client,
  name,
  identity,
  sender,
  recipient,
  ref,
  returnedAt,
}: ShownDeferral): string {
  const back =
    returnedAt === undefined
      ? 'It has not come back.'
      : `It came back and passed at ${localTime(returnedAt)}.`
  const from = name === undefined ? client : `${client} (${name})`
  return `${ref}: ${sender || '<>'} to ${recipient ?? 'anybody'}, from ${from} as ${identity}, was deferred by ${mx} at ${localTime(at)}. ${back}\n`
}
