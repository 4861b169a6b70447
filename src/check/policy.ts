// Checks where Postfix's restriction lists ask greymx by check_policy_service. Reading main.cf is left to main-cf.ts;
// these functions are pure.
// Source: postconf(5), "smtpd_recipient_restrictions" and its neighbours, "smtpd_policy_service_default_action";
// SMTPD_POLICY_README; RESTRICTION_CLASS_README; access(5).

import type { Config } from '../config/schema.ts'
import { hasDistinguishedName } from '../exempt/tlsclients.ts'
import {
  checkChroot,
  isOurs,
  parseMilters,
  parseTime,
  policyEntry,
  type ServiceEntry,
  splitOutsideBraces,
} from './main-cf.ts'
import { checkAnswerTimeout, checkTlsClients } from './milter.ts'
import type { Warning } from './settings.ts'

/** What Postfix's files say, read once for all checks. */
export interface PostfixReading {
  readonly main: ReadonlyMap<string, string>
  /** The value of a setting in main.cf, or its default. */
  readonly value: (name: string) => string
  /** The values of a setting in main.cf and master.cf. */
  readonly values: (name: string) => readonly string[]
  readonly queueDirectory: string
  /** Whether smtpd is chrooted, each answer once. */
  readonly chroots: ReadonlySet<boolean>
}

/** A place at which greymx is asked. */
export interface PolicyEntry extends ServiceEntry {
  readonly list: string
  /** The restrictions before and behind it in its list. */
  readonly before: readonly string[]
  readonly behind: readonly string[]
}

/** The lists that Postfix evaluates at RCPT before it knows that the recipient is one of its own. */
const EARLY_LISTS = ['smtpd_client_restrictions', 'smtpd_helo_restrictions', 'smtpd_sender_restrictions']
const RCPT_LISTS = ['smtpd_relay_restrictions', 'smtpd_recipient_restrictions']
const CONTENT_LISTS = ['smtpd_data_restrictions', 'smtpd_end_of_data_restrictions']

const REFUSES_RELAYING = ['reject_unauth_destination', 'defer_unauth_destination', 'reject', 'defer']

/** Actions with which Postfix goes on to its next restriction (access(5)). */
const LETS_MAIL_FLOW = /^(?:dunno|info|warn|prepend)\b/i

/** Deepest nesting of restriction classes. */
const MAX_DEPTH = 10

/** Returns the places at which Postfix asks greymx, in its lists and in the restriction classes that these name. */
export function policyEntries(reading: PostfixReading, { listenPolicy }: Config): PolicyEntry[] {
  return [...EARLY_LISTS, ...RCPT_LISTS, ...CONTENT_LISTS].flatMap((list) =>
    reading
      .values(list)
      .flatMap((text) => entriesOf(list, withClasses(splitOutsideBraces(text), reading)))
      .filter(({ service }) => isOurs(service, listenPolicy, reading.queueDirectory)),
  )
}

/** Returns the restrictions with each restriction class replaced by its own. */
function withClasses(restrictions: readonly string[], reading: PostfixReading, depth = 0): string[] {
  const classes = splitOutsideBraces(reading.value('smtpd_restriction_classes'))
  return restrictions.flatMap((word) =>
    classes.includes(word) && depth < MAX_DEPTH
      ? withClasses(splitOutsideBraces(reading.value(word)), reading, depth + 1)
      : [word],
  )
}

function entriesOf(list: string, restrictions: readonly string[]): PolicyEntry[] {
  return restrictions.flatMap((word, index) => {
    if (restrictions[index - 1] !== 'check_policy_service') return []
    const [before, behind] = [restrictions.slice(0, index - 1), restrictions.slice(index + 1)]
    return parseMilters(word).map((entry) => ({ ...entry, list, before, behind }))
  })
}

/** Returns the warnings on the places where greymx is asked. */
export function checkPolicy(
  entries: readonly PolicyEntry[],
  reading: PostfixReading,
  config: Config,
): Warning[] {
  const { listenPolicy } = config
  const { queueDirectory } = reading
  return [
    ...entries.flatMap((entry) => checkEntry(entry, reading)),
    ...checkChroot(entries, reading.chroots, listenPolicy, queueDirectory),
    ...checkLists(entries, config),
    ...checkTlsClients(
      config,
      hasDistinguishedName,
      'fingerprint:, or subject: and issuer: with common names, as Postfix tells policy servers nothing else of a certificate',
    ),
  ]
}

function checkEntry(
  { list, service, settings, before, behind }: PolicyEntry,
  reading: PostfixReading,
): Warning[] {
  const own = (name: string) => settings.get(name) ?? reading.value(`smtpd_policy_service_${name}`)
  const timeout = parseTime(own('timeout'))
  const action = own('default_action')
  const expectedEntry = `expected check_policy_service { ${service}, default_action=DUNNO, timeout=10s }`
  const warnings: Warning[] = []
  if (!LETS_MAIL_FLOW.test(action))
    warnings.push(
      `${list}: the default action of check_policy_service ${service} is ${JSON.stringify(action)}, which mail gets while ` +
        `greymx is away: ${expectedEntry}, so that mail flows`,
    )
  if (timeout !== undefined)
    warnings.push(...checkAnswerTimeout(`${list}: the timeout of ${service},`, timeout))
  if (CONTENT_LISTS.includes(list)) return warnings
  if (!isBehindRelaying(list, before, reading))
    warnings.push(
      `${list} asks ${service} before reject_unauth_destination: expected it in smtpd_recipient_restrictions behind that, as ` +
        'strangers fill the store with recipients of other sites otherwise',
    )
  const late = ['permit_mynetworks', 'permit_sasl_authenticated'].filter((word) => behind.includes(word))
  if (late.length > 0)
    warnings.push(
      `${list} asks ${service} before ${late.join(' and ')}: expected it behind, as your own clients wait otherwise`,
    )
  return warnings
}

/** Returns whether Postfix has refused mail for other sites by then; it evaluates smtpd_relay_restrictions first. */
function isBehindRelaying(list: string, before: readonly string[], { main, value }: PostfixReading): boolean {
  const refuses = (restrictions: readonly string[]) =>
    restrictions.some((word) => REFUSES_RELAYING.includes(word))
  if (refuses(before)) return true
  if (list !== 'smtpd_recipient_restrictions') return false
  // Its default refuses.
  return (
    !main.has('smtpd_relay_restrictions') || refuses(splitOutsideBraces(value('smtpd_relay_restrictions')))
  )
}

/** Checks that greymx is asked at the stages at which it judges. */
function checkLists(entries: readonly PolicyEntry[], { milter }: Config): Warning[] {
  const [first] = entries
  if (!first) return []
  const isAskedAtContent = entries.some(({ list }) => CONTENT_LISTS.includes(list))
  const isAskedAtRcpt = entries.some(({ list }) => !CONTENT_LISTS.includes(list))
  const warnings: Warning[] = []
  if (!isAskedAtRcpt)
    warnings.push(
      `only ${first.list} asks ${first.service}: expected it in smtpd_recipient_restrictions as well, as nothing but bounces is judged there`,
    )
  if (!isAskedAtContent && milter.nullSenderAt === 'data')
    warnings.push(
      `no list for a message's content asks ${first.service}: expected the same entry in smtpd_data_restrictions, or ` +
        'greylist.null_sender_at: rcpt, as mail from <> and greylist.probe_senders is never judged otherwise',
    )
  return warnings
}

/** Returns the warning that greymx is asked in both ways. */
export function askedTwice({ list, service }: PolicyEntry): Warning {
  return (
    `smtpd_milters has greymx, and ${list} asks ${service}, which is greymx as well: expected one of both, as each attempt ` +
    'counts twice'
  )
}

/** Returns what main.cf might have to ask at the sockets of the policy protocol. */
export function expectedEntries({ listenPolicy }: Config, queueDirectory: string): string {
  return listenPolicy.map((spec) => policyEntry(spec, queueDirectory)).join(' or ')
}
