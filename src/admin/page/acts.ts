// The changes that the forms of the page make: which there are, which view follows each, and what the operator is told.

import type { Notice } from './sessions.ts'

const NEXT: Readonly<Record<string, string>> = {
  allow: '/rules',
  off: '/rules',
  on: '/rules',
  expect: '/rules',
  forget: '/waiting',
  undo: '/changes',
}

/** The calls that forms make. */
export const ACTS: readonly string[] = Object.keys(NEXT)

/** The path of the view that follows a change by this call; `undefined` if no form makes it. */
export function nextOf(call: string): string | undefined {
  return Object.hasOwn(NEXT, call) ? NEXT[call] : undefined
}

/** What the operator is told of a change that was made; `undo` is its id, if it can be taken back. */
export function noticeOf(call: string, answer: Record<string, unknown>, undo: string | undefined): Notice {
  const text = noticeText(call, answer)
  return undo === undefined ? { text } : { text, undo }
}

function noticeText(call: string, answer: Record<string, unknown>): string {
  switch (call) {
    case 'allow':
      return `Its mail passes from now on: rule ${answer.id}.`
    case 'off':
      return `Greylisting is switched off for it: rule ${answer.id}.`
    case 'on':
      return 'The rule has ended.'
    case 'expect':
      return `First messages to ${answer.to} pass.`
    case 'forget':
      return `Forgotten: ${answer.forgotten} keys, and ${answer.deferrals} deferrals of the last week.`
    default:
      return 'It was taken back.'
  }
}
