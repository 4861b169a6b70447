// Reads the fields that the records of several peers have: instants in seconds, and addresses in their brackets.

import { parseIp } from '../../ip.ts'

/** The client in a field, in normal form; `undefined` when the text is no IP address. */
export function clientIn(text: string): string | undefined {
  return parseIp(text)?.text
}

/** The instant in a field of whole seconds since 1970, in milliseconds; `undefined` for any other text. */
export function instantIn(text: string): number | undefined {
  return /^\d{1,11}$/.test(text) ? Number(text) * 1000 : undefined
}

/** The instant, or now when it is later: a peer's clock may be ahead, and nothing is remembered of what is to come. */
export function pastInstant(instant: number, now: number): number {
  return Math.min(instant, now)
}

/** The address without the `<>` around it; '' for the null sender. */
export function withoutBrackets(text: string): string {
  return text.startsWith('<') && text.endsWith('>') ? text.slice(1, -1) : text
}
