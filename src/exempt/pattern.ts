// Regular expressions from lists, in an engine whose time is linear in the text: none can stall the process, and
// back-references and look-arounds, which make that impossible, are refused at load. All of a list run as one machine.

import { RE2JS, RE2Set } from 're2js'

export interface Pattern {
  /** As configured, with its slashes. */
  readonly text: string
}

/** The first of the patterns that matches, as configured. */
export type PatternMatcher = (subject: string) => string | undefined

const FLAGS = RE2JS.CASE_INSENSITIVE

/** Whether a list's item is meant as a regular expression. */
export function isPattern(text: string): boolean {
  return text.length > 2 && text.startsWith('/') && text.endsWith('/')
}

/** Reads `/regex/`, compared without regard to case, anywhere in the subject. Throws with what the engine refuses. */
export function parsePattern(text: string): Pattern {
  RE2JS.compile(expression(text), FLAGS)
  return { text }
}

export function compilePatterns(patterns: readonly Pattern[]): PatternMatcher {
  if (patterns.length === 0) return () => undefined
  const machine = new RE2Set(RE2Set.UNANCHORED, FLAGS)
  for (const { text } of patterns) machine.add(expression(text))
  machine.compile()
  return (subject) => {
    const matching = machine.match(subject)
    return matching.length === 0 ? undefined : patterns[Math.min(...matching)]?.text
  }
}

function expression(text: string): string {
  return text.slice(1, -1)
}
