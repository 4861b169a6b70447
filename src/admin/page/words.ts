// How views say numbers, shares, instants and reasons.

import { html } from 'hono/html'
import type { Reason } from '../../outcome.ts'
import type { Html } from './layout.ts'

const NUMBERS = new Intl.NumberFormat('en-US')

/** A whole number as `12,345`. */
export function number(count: number): string {
  return NUMBERS.format(count)
}

/** A share as `12.3 %`; a dash where there is no whole. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((part / whole) * 100).toFixed(1)} %`
}

/** An instant in ISO 8601 as `2026-11-27 14:05 UTC`. */
export function utc(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`
}

/** An instant, which the script of the page shows in the reader's time zone. */
export function time(iso: string): Html {
  return html`<time datetime="${iso}">${utc(iso)}</time>`
}

/** What each reason means, for people. */
const REASONS: { readonly [reason in Reason]: string } = {
  new: 'first attempt, asked to try again',
  early: 'came back before the delay was over',
  retry: 'came back and passed for the first time',
  known: 'has passed before',
  'auto-whitelist': 'client with enough passes',
  carrier: 'carries mail for many proven domains',
  credit: 'sender with a good record',
  expected: 'an operator or a user expects it',
  'written-to': 'answers mail of a user',
  'max-deferrals': 'was deferred often enough',
  off: 'greylisting is switched off',
  authenticated: 'signed in at the MTA',
  'exempt-client': 'client exempt by configuration',
  'exempt-sender': 'sender exempt by configuration',
  'exempt-recipient': 'recipient exempt by configuration',
  'exempt-spf': 'exempt by an SPF pass',
  'not-greylisted': 'recipient is not greylisted',
  observe: 'observed only, would have been deferred or passed',
  'store-error': 'the store did not answer',
}

/** What a reason means; the reason itself if a newer version has made it. */
export function reasonInWords(reason: string): string {
  return Object.hasOwn(REASONS, reason) ? REASONS[reason as Reason] : reason
}
