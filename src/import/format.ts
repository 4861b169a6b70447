// The format of an export of greymx, which README.md describes: lines of JSON. The first says what the file is, the last
// that it is complete, and each one between them has a key of mail, or a field of operators' records.

import { messageOf } from '../errors.ts'
import { parseAddressRule } from '../exempt/addresses.ts'
import { KEY_KINDS } from '../greylist/keys.ts'
import { readRule } from '../operator/rulebook.ts'
import { requireKeepable } from '../store/fields.ts'
import { type KeptKey, RECORD_KIND } from '../store/records.ts'
import { kindOf } from '../store/store.ts'
import type { LearntKey, SetField } from './piece.ts'

/** The version of the format. A later one is refused, as what it says may mean something else. */
export const FORMAT = 1

/** The records of operators that are exported: the rules of `allow` and `off`, and the recipients of `recipients: store`. */
export const EXPORTED_RECORDS: readonly string[] = ['rules', 'recipients']

/** Longest time for which anything is kept, in milliseconds: longer than the longest `lifetime` that can be set. */
const MAX_TTL = 20 * 366 * 86_400_000

/** Longest key, in UTF-16 units. */
const MAX_KEY = 600

/** Largest count, and largest number of milliseconds. */
const MAX_NUMBER = 999_999_999_999_999

const UNSAFE = /[\p{Cc}\p{Cs}]/u
const HOLDER = /^[1-8]\d{15}$/

/** The first line. */
export interface Header {
  readonly greymx: 'export'
  readonly format: number
  /** The version of greymx that has written the file. */
  readonly version: string
  /** When the export began, in milliseconds since 1970, by the clock of the host that wrote it. What is left counts from here. */
  readonly at: number
}

/** A line that is not as expected; the message says what is. */
export class BadLine extends Error {}

export function headerLine(version: string, at: number): string {
  const text = { greymx: 'export', format: FORMAT, version, at: new Date(at).toISOString() }
  return `${JSON.stringify(text)}\n`
}

/**
 * The line of a key that was read `since` milliseconds after the export began. What is left is counted from that beginning,
 * and so may be more than the entry was set with.
 */
export function keyLine({ key, value, left: leftNow }: KeptKey, since: number): string {
  const left = Math.ceil(leftNow + since)
  if (typeof value === 'number') return `${JSON.stringify({ key, count: value, left })}\n`
  const { passed, age, holder } = value
  const entry = { key, passed, ttl: Math.round(age + leftNow), left }
  return `${JSON.stringify(holder === undefined ? entry : { ...entry, holder })}\n`
}

export function fieldLine(record: string, field: string, text: string): string {
  return `${JSON.stringify({ record, field, text })}\n`
}

/** The last line, with the number of lines between it and the first one. */
export function endLine(lines: number): string {
  return `${JSON.stringify({ end: lines })}\n`
}

/** Reads the first line. Throws `BadLine`, and an error for the operator when a later greymx has written it. */
export function readHeader(line: string): Header {
  const { greymx, format, version, at } = objectIn(line)
  const instant = typeof at === 'string' ? Date.parse(at) : Number.NaN
  if (
    greymx !== 'export' ||
    typeof format !== 'number' ||
    typeof version !== 'string' ||
    Number.isNaN(instant)
  )
    throw new BadLine(`expected a line like ${headerLine('0.2.0', 0).trim()}`)
  if (format > FORMAT)
    throw new Error(
      `its format is ${format}, and this greymx knows ${FORMAT}: expected the version ${version} of greymx or a later one`,
    )
  return { greymx, format, version, at: instant }
}

/** What a line between the first and the last one says: a key, with what was left of it at the export, or a field. */
export function readLine(
  line: string,
): LearntKey | SetField | { readonly kind: 'end'; readonly lines: number } {
  const object = objectIn(line)
  if ('end' in object) return { kind: 'end', lines: numberIn(object, 'end', 0, MAX_NUMBER) }
  if ('record' in object) return fieldIn(object)
  const { key, holder, passed } = object
  if (typeof key !== 'string') throw new BadLine('expected key, record or end')
  const kind = kindOf(key)
  if (!Object.hasOwn(KEY_KINDS, kind) || kind === RECORD_KIND || key.length > MAX_KEY || UNSAFE.test(key))
    throw new BadLine(`the key ${shown(key)} is none that greymx has`)
  const left = numberIn(object, 'left', 1, MAX_TTL)
  if ('count' in object)
    return { kind: 'key', key, learnt: { seen: numberIn(object, 'count', 1, MAX_NUMBER), left } }
  if (typeof passed !== 'boolean')
    throw new BadLine(`expected passed to be true or false, found ${shown(passed)}`)
  const entry = { passed, ttl: numberIn(object, 'ttl', 1, MAX_TTL), left }
  if (holder === undefined) return { kind: 'key', key, learnt: entry }
  if (passed || typeof holder !== 'string' || !HOLDER.test(holder))
    throw new BadLine(`expected a holder of 16 digits of an entry that waits, found ${shown(holder)}`)
  return { kind: 'key', key, learnt: { ...entry, holder } }
}

function fieldIn({ record, field, text }: Readonly<Record<string, unknown>>): SetField {
  if (typeof record !== 'string' || !EXPORTED_RECORDS.includes(record))
    throw new BadLine(`expected the record ${EXPORTED_RECORDS.join(' or ')}, found ${shown(record)}`)
  if (typeof field !== 'string' || typeof text !== 'string') throw new BadLine('expected field and text')
  try {
    requireKeepable(record, [[field, text]])
    requireMeaning(record, field, text)
  } catch (error) {
    throw new BadLine(messageOf(error))
  }
  return { kind: 'field', record, field, text }
}

/** Throws where a field is no rule or no recipient that this greymx can read, so that a store keeps none of these. */
function requireMeaning(record: string, field: string, text: string): void {
  if (record === 'rules') {
    const rule = readRule(field, text)
    if (typeof rule === 'string') throw new Error(`expected a rule, found ${shown(text)}: ${rule}`)
    return
  }
  parseAddressRule(field)
  if (text !== 'only' && text !== 'except') throw new Error(`expected only or except, found ${shown(text)}`)
}

function objectIn(line: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new BadLine(`expected JSON, found ${shown(line)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadLine(`expected an object of JSON, found ${shown(value)}`)
  return value as Readonly<Record<string, unknown>>
}

function numberIn(
  object: Readonly<Record<string, unknown>>,
  name: string,
  least: number,
  most: number,
): number {
  const value = object[name]
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new BadLine(`expected ${name} to be a whole number from ${least} to ${most}, found ${shown(value)}`)
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? '(absent)').slice(0, 80)
}
