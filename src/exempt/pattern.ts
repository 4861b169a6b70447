// Compiles the regular expressions of a list into one machine. The engine takes time linear in the text, so that no
// expression can stall the process; it refuses back-references and look-arounds, which preclude that, at load.

import { RE2JS, RE2Set } from 're2js'

export interface Pattern {
  /** As configured, with its slashes. */
  readonly text: string
}

/** The first pattern that matches, as configured; `undefined` if none does. */
export type PatternMatcher = (subject: string) => string | undefined

const FLAGS = RE2JS.CASE_INSENSITIVE

/** Whether a list's item is meant as a regular expression. */
export function isPattern(text: string): boolean {
  return text.length > 2 && text.startsWith('/') && text.endsWith('/')
}

/** The pattern in `/regex/`, which matches in any case and place. Throws the engine's error if it refuses the text. */
export function parsePattern(text: string): Pattern {
  RE2JS.compile(expression(text), FLAGS)
  return { text }
}

/** The matcher for a list of patterns. */
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
