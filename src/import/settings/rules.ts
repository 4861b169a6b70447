// Rules of a peer's lists, as settings of greymx: each is tried, and what greymx would not take becomes a remark.

import { messageOf } from '../../errors.ts'
import { parseAddressRule } from '../../exempt/addresses.ts'
import { parseClientRule } from '../../exempt/clients.ts'
import type { Draft } from './draft.ts'

/** Adds a rule for clients to a list; `where` is where the peer has it. */
export function addClient(draft: Draft, name: string, rule: string, where: string, comment?: string): void {
  addRule(draft, { name, rule, where, comment }, parseClientRule)
}

/** Adds a rule for senders or recipients to a list. */
export function addAddress(draft: Draft, name: string, rule: string, where: string, comment?: string): void {
  addRule(draft, { name, rule, where, comment }, parseAddressRule)
}

interface Rule {
  readonly name: string
  readonly rule: string
  readonly where: string
  readonly comment: string | undefined
}

function addRule(draft: Draft, { name, rule, where, comment }: Rule, parse: (text: string) => unknown): void {
  try {
    parse(rule)
    draft.add(name, rule, comment)
  } catch (error) {
    draft.remark(where, `${rule}: greymx does not take it as ${name}: ${messageOf(error)}`)
  }
}
