// Explanations in words, as the command and the page show them.

import type { Explanation, ShownOutcome } from './explain.ts'
import { inWords } from './in-words.ts'

/** Three sentences that an administrator can send to a user; `shown` writes an instant in ISO 8601 for that reader. */
export function forUser({ attempt, outcome, history }: Explanation, shown: (at: string) => string): string {
  const sender = attempt.sender === '' ? 'the other mail server' : attempt.sender
  const [last] = history
  const first =
    last === undefined
      ? `Mail from ${sender} to ${attempt.recipient ?? 'us'} has not been delayed within the last week.`
      : `The first message from ${sender} to ${attempt.recipient ?? 'us'} reached us on ${shown(last.at)}, and we asked the server that sent it to try again, as we do with senders that are new to us.`
  const second =
    last?.returnedAt === undefined
      ? last === undefined
        ? 'Our mail servers ask senders that are new to us to try again after some minutes, which keeps most spam out.'
        : 'That server has not tried again by now; it decides when it does, usually within half an hour.'
      : `It did so on ${shown(last.returnedAt)}, and the message was accepted then.`
  const third =
    outcome.verdict === 'pass'
      ? 'Further messages from there are accepted at once.'
      : `If the message is urgent, please ask for it to be sent again in ${inWords(Math.max(outcome.retryIn, 60_000))}, or tell us and we let it through.`
  return `${first} ${second} ${third}`
}

/** What an attempt gets, and what follows from it, in one line. */
export function outcomeInWords({
  verdict,
  reason,
  would,
  rule,
  waited,
  retryIn,
  evidence,
  error,
}: ShownOutcome): string {
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
