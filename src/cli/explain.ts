// greymx explain and greymx show: asks the running daemon what an attempt gets and why, and prints it.

import type { Explanation, ShownDeferral, ShownOutcome } from '../operator/explain.ts'
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
  else print(values.isForUser ? forUser(found) : inFull(found))
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
    `Now:       ${verdictOf(outcome)}`,
    ...(later ? [`In ${`${inWords(later.in)}:`.padEnd(8)}${verdictOf(later.outcome)}`] : []),
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

/** Three sentences that an administrator can send to a user. */
function forUser({ attempt, outcome, history }: Explanation): string {
  const sender = attempt.sender === '' ? 'the other mail server' : attempt.sender
  const [last] = history
  const first =
    last === undefined
      ? `Mail from ${sender} to ${attempt.recipient ?? 'us'} has not been delayed within the last week.`
      : `The first message from ${sender} to ${attempt.recipient ?? 'us'} reached us on ${localTime(last.at)}, and we asked the server that sent it to try again, as we do with senders that are new to us.`
  const second =
    last?.returnedAt === undefined
      ? last === undefined
        ? 'Our mail servers ask senders that are new to us to try again after some minutes, which keeps most spam out.'
        : 'That server has not tried again by now; it decides when it does, usually within half an hour.'
      : `It did so on ${localTime(last.returnedAt)}, and the message was accepted then.`
  const third =
    outcome.verdict === 'pass'
      ? 'Further messages from there are accepted at once.'
      : `If the message is urgent, please ask for it to be sent again in ${inWords(Math.max(outcome.retryIn, 60_000))}, or tell us and we let it through.`
  return `${first} ${second} ${third}\n`
}

function verdictOf({ verdict, reason, would, rule, waited, retryIn, evidence, error }: ShownOutcome): string {
  const parts = [
    rule && `rule ${rule}`,
    would && `would be ${would}`,
    waited > 0 && `has waited ${inWords(waited)}`,
    retryIn > 0 && verdict === 'tempfail' && `passes in ${inWords(retryIn)}`,
    evidence && `evidence ${evidence}`,
    error,
  ].filter(Boolean)
  return `${verdict}, ${reason}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`
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
