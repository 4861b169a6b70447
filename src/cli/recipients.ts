// greymx recipients: lists and changes the recipients in the store whose mail is greylisted, also by a file.

import { readFileSync } from 'node:fs'
import { fileProblemOf, messageOf } from '../errors.ts'
import { parseAddressRule } from '../exempt/addresses.ts'
import type { ListedRecipient } from '../operator/recipients.ts'
import { misuse } from './args.ts'
import { type CallValues, callDaemon, streamFromDaemon } from './call.ts'
import type { Misuse } from './command.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'

/** Most rules that the daemon takes at a time. */
const CHANGES_PER_CALL = 500

export interface RecipientValues extends CallValues {
  readonly only: readonly string[]
  readonly except: readonly string[]
  readonly remove: readonly string[]
  /** A file whose lines replace all recipients in the store. */
  readonly import: string | undefined
}

type List = ListedRecipient['list']

/** Lists the recipients, or makes the changes that are given. */
export async function recipients(values: RecipientValues): Promise<ExitStatus | Misuse> {
  const { only, except, remove, import: file } = values
  const isChange = only.length + except.length + remove.length > 0
  if (file !== undefined)
    return isChange ? misuse('expected either --import or changes', 'recipients') : importFrom(file, values)
  return isChange ? change(values, { only, except, remove }) : list(values)
}

async function list(values: CallValues): Promise<ExitStatus> {
  let count = 0
  const status = await streamFromDaemon(values, 'recipients', {}, (item) => {
    const { list: name, recipient } = item as ListedRecipient
    count += 1
    return print(values.json ? `${JSON.stringify(item)}\n` : `${name} ${recipient}\n`)
  })
  // On standard error, as the list may go to a file.
  if (status === EXIT.ok && count === 0 && !values.json)
    complain('No recipients are in the store: all mail is greylisted.\n', 'info')
  return status
}

interface Changes {
  readonly only: readonly string[]
  readonly except: readonly string[]
  readonly remove: readonly string[]
}

async function change(values: CallValues, changes: Changes): Promise<ExitStatus> {
  let answer: { readonly kept: number; readonly isInUse: boolean } | undefined
  for (const part of partsOf(changes)) {
    const answered = await callDaemon(values, 'recipients-change', part)
    if ('status' in answered) return answered.status
    answer = answered.answer as typeof answer
  }
  if (!answer) return EXIT.ok
  if (values.json) print(`${JSON.stringify(answer)}\n`)
  else print(`${answer.kept} recipients and domains are in the store.\n`)
  if (!answer.isInUse) complain('They have no effect without the setting recipients: store.\n', 'warn')
  return EXIT.ok
}

/** The changes as the daemon takes them: what is added comes first, so that no half of it lets more mail wait. */
function partsOf({ only, except, remove }: Changes): Changes[] {
  const all = [
    ...except.map((rule) => ['except', rule] as const),
    ...only.map((rule) => ['only', rule] as const),
    ...remove.map((rule) => ['remove', rule] as const),
  ]
  const parts: Changes[] = []
  for (let start = 0; start < all.length; start += CHANGES_PER_CALL) {
    const some = all.slice(start, start + CHANGES_PER_CALL)
    const ofKind = (kind: keyof Changes) => some.filter(([each]) => each === kind).map(([, rule]) => rule)
    parts.push({ only: ofKind('only'), except: ofKind('except'), remove: ofKind('remove') })
  }
  return parts
}

async function importFrom(file: string, values: CallValues): Promise<ExitStatus> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    complain(`${file}: ${fileProblemOf(error)}\n`)
    return EXIT.usage
  }
  const { wanted, problems } = readRecipients(file, text)
  if (problems.length > 0) {
    complain(problems.map((problem) => `${problem}\n`).join(''))
    return EXIT.usage
  }
  const kept: string[] = []
  const status = await streamFromDaemon(values, 'recipients', {}, (item) => {
    kept.push((item as ListedRecipient).recipient)
  })
  if (status !== EXIT.ok) return status
  const inList = (name: List) => [...wanted].filter(([, each]) => each === name).map(([rule]) => rule)
  const remove = kept.filter((rule) => !wanted.has(rule))
  return change(values, { only: inList('only'), except: inList('except'), remove })
}

/** The recipients in a file and the list of each, and all faults as `FILE:LINE: what, expected …`. */
function readRecipients(file: string, text: string): { wanted: Map<string, List>; problems: string[] } {
  const wanted = new Map<string, List>()
  const problems: string[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const [, name, rule = ''] = /^(only|except)\s+(.+)$/.exec(entry) ?? []
    try {
      if (name === undefined) throw new Error('expected only RULE or except RULE')
      parseAddressRule(rule)
      wanted.set(rule.startsWith('/') ? rule : rule.toLowerCase(), name as List)
    } catch (error) {
      problems.push(`${file}:${index + 1}: Cannot read ${JSON.stringify(entry)}: ${messageOf(error)}`)
    }
  }
  return { wanted, problems }
}
