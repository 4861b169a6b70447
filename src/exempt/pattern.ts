// Regular expressions from lists, in an engine whose time is linear in the text: none can stall the process, and
// back-references and look-arounds, which make that impossible, are refused at load.

import { RE2JS } from 're2js'

export interface Pattern {
  /** As configured, with its slashes. */
  readonly text: string
  matches(subject: string): boolean
}

/** Whether a list's item is meant as a regular expression. */
export function isPattern(text: string): boolean {
  return text.length > 2 && text.startsWith('/') && text.endsWith('/')
}

/** Reads `/regex/`, compared without regard to case, anywhere in the subject. Throws with what the engine refuses. */
export function parsePattern(text: string): Pattern {
  const compiled = RE2JS.compile(text.slice(1, -1), RE2JS.CASE_INSENSITIVE)
  return { text, matches: (subject) => compiled.test(subject) }
}
