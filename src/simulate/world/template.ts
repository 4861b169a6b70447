// Texts with placeholders, by which a world's file says how senders and host names look.

import { below, type Random } from '../random.ts'

/** A text whose placeholders are filled anew each time. */
export type Template = (values: Values, random: Random) => string

/** What stands for the placeholders that have a name. */
export type Values = Partial<Record<Placeholder, string>>

const PLACEHOLDERS = [
  'account',
  'copy',
  'day',
  'domain',
  'host',
  'ip',
  'local',
  'n',
  'original',
  'originaldomain',
  'person',
  'rcpt',
  'word',
] as const
type Placeholder = (typeof PLACEHOLDERS)[number]

const ALPHABETS: Readonly<Record<string, string>> = {
  d: '0123456789',
  x: '0123456789abcdef',
  b: '0123456789abcdefghijklmnopqrstuvwxyz',
  l: 'abcdefghijklmnopqrstuvwxyz',
}

/** What a template may hold, in error messages. */
export const TEMPLATE_FORM = `a text with placeholders: ${PLACEHOLDERS.map((name) => `{${name}}`).join(' ')}, or {d6}, {x8}, {b12}, {l3} for so many random digits, hexadecimal digits, digits and letters, or letters`

/** The template in a text. Throws an error that says what it expected. */
export function parseTemplate(text: string): Template {
  const parts = text.split(/(\{[^{}]*\})/).map(parsePart)
  // Joined at once, a text takes less memory than one that has grown by its parts.
  return (values, random) =>
    parts.map((part) => (typeof part === 'string' ? part : part(values, random))).join('')
}

function parsePart(part: string): string | Template {
  if (!part.startsWith('{') || !part.endsWith('}')) {
    if (/[{}]/.test(part)) throw new Error(`expected ${TEMPLATE_FORM}`)
    return part
  }
  const name = PLACEHOLDERS.find((placeholder) => part === `{${placeholder}}`)
  if (name) return (values) => values[name] ?? ''
  const [, kind = '', digits] = /^\{([dxbl])(\d{1,2})\}$/.exec(part) ?? []
  const alphabet = ALPHABETS[kind]
  if (alphabet === undefined) throw new Error(`expected ${TEMPLATE_FORM}; found ${part}`)
  const length = Number(digits)
  return (_, random) => randomText(random, alphabet, length)
}

function randomText(random: Random, alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet.charAt(below(random, alphabet.length))).join('')
}

/** A text of a template without random placeholders. */
export function fillPlain(template: Template, values: Values): string {
  return template(values, () => 0)
}
