// The parameters that several calls have, as schemas: durations, addresses, clients and rules. What a call makes of them
// is left to it.

import { z } from 'zod'
import { parseAddress } from '../address.ts'
import { DURATION_FORM, parseDuration } from '../config/duration.ts'
import { messageOf } from '../errors.ts'
import { parseAddressRule } from '../exempt/addresses.ts'
import { parseClientRule } from '../exempt/clients.ts'
import { parseIp } from '../ip.ts'

/** Longest text of an address or a rule, in characters. */
const MAX_TEXT = 1000

/** Longest time for which an operator's rule may hold, in milliseconds: ten years. */
const MAX_DURATION = 10 * 366 * 86_400_000

const text = z.string().max(MAX_TEXT)

/** A time like `15m`, from a millisecond to ten years; its value is in milliseconds. */
export const duration = text
  .transform((given, context) => {
    const milliseconds = parseDuration(given)
    if (milliseconds !== undefined && milliseconds >= 1 && milliseconds <= MAX_DURATION) return milliseconds
    context.addIssue({ code: 'custom', message: `expected ${DURATION_FORM}, ten years at most` })
    return z.NEVER
  })
  .describe(DURATION_FORM)

/** The name of a sender and a recipient, which replies and the log show. */
export const ref = text.regex(/^[0-9a-f]{8}$/, 'expected the 8 digits that reply and log show')

/** An IP address. */
export const ip = text.refine((given) => parseIp(given) !== undefined, 'expected an IP address')

/** A sender; `''` or `<>` for bounces. */
export const senderAddress = text

/** A recipient. */
export const recipientAddress = text.refine(
  (given) => parseAddress(given).text !== '',
  'expected the address of a recipient',
)

/** A rule for senders or recipients. */
export const addressRule = ruleOf(parseAddressRule)

/** A rule for clients. */
export const clientRule = ruleOf(parseClientRule)

function ruleOf(parse: (given: string) => unknown) {
  return text.superRefine((given, context) => {
    try {
      parse(given)
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) })
    }
  })
}
