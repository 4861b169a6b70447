// The scenarios that every door plays with the same verdicts: one table, run by doors.test.ts through each door with a
// real MTA. A door that joins gives one `Door`.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Certificates } from '../support/certificates.ts'
import { type Greymx, waitForOutcomes } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import type { SmtpClient } from '../support/smtp.ts'
import { deliveriesOf, headerOf, MESSAGE } from './scenarios.ts'

/** The delay of greymx, and what a test waits beyond it, in milliseconds. */
export const DELAY = 1500
const MARGIN = 200

/** Settings of greymx, beside the store and those of the door. */
export const SETTINGS = `
greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1d, max_deferrals: 0 }
exempt:
  clients: [trusted.test]
  senders: [exempt-sender.test]
  recipients: [postmaster@]
  tls_clients: ["subject:trusted.client.test issuer:authority"]
`

/** The SMTP client that a scenario plays. */
export interface Claims {
  readonly address: string
  /** A host name to which its address leads. It leads back unless it is forged. */
  readonly name?: string
  readonly isForged?: true
  /** The user as which it has logged in. */
  readonly login?: string
  readonly certificate?: 'trusted' | 'other'
}

/** A way in which an MTA asks greymx. */
export interface Door {
  readonly name: string
  /** The settings that open the door; `dir` is a folder for sockets. */
  settings(dir: string): string
  /** Starts an MTA that asks there, and accepts mail for example.com and example.net. */
  start(dir: string, greymx: Greymx, tls: Certificates): Promise<Mta>
  /** A session after EHLO. */
  session(mta: Mta, claims: Claims, tls: Certificates): Promise<SmtpClient>
}

type Verdict = 'pass' | 'tempfail'

interface Step {
  readonly client: Claims
  /** With the path's parameters, as `<a@b.test> SMTPUTF8`. */
  readonly sender: string
  readonly recipients: ReadonlyArray<readonly [recipient: string, reply: Verdict]>
  /** The reply to the message; without it, the client stops before DATA. */
  readonly message?: Verdict
  /** Whether the step comes once the delay is over. */
  readonly isLater?: true
}

export interface Scenario {
  readonly name: string
  readonly steps: readonly Step[]
  /** The sender in the log, and its outcomes in their order. */
  readonly log: readonly [sender: string, outcomes: readonly string[]]
  /** What the header of the one delivered message that was delayed has. */
  readonly header?: RegExp
}

const DELAYED = /^X-Greylist: delayed 00:00:0\d by \S+; /m

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a stranger waits, and what has passed is known',
    steps: [
      once('192.0.2.1', '<one@a.test>', 'tempfail'),
      once('192.0.2.1', '<one@a.test>', 'tempfail'),
      later(whole('192.0.2.1', '<one@a.test>', 'pass')),
      whole('192.0.2.1', '<one@a.test>', 'pass'),
    ],
    log: ['one@a.test', ['tempfail new', 'tempfail early', 'pass retry', 'pass known']],
    header: DELAYED,
  },
  {
    name: 'the recipients of one message get verdicts of their own, and who passed gets it',
    steps: [
      once('192.0.3.1', '<mixed@a.test>', 'tempfail'),
      later({
        client: { address: '192.0.3.1' },
        sender: '<mixed@a.test>',
        recipients: [
          ['<new1@example.com>', 'tempfail'],
          ['<u@example.com>', 'pass'],
          ['<postmaster@example.com>', 'pass'],
          ['<new2@example.com>', 'tempfail'],
        ],
        message: 'pass',
      }),
    ],
    log: [
      'mixed@a.test',
      ['tempfail new', 'tempfail new', 'pass retry', 'pass exempt-recipient', 'tempfail new'],
    ],
    header: DELAYED,
  },
  {
    name: 'a bounce waits at its content',
    steps: [
      { ...once('192.0.4.1', '<>', 'pass'), message: 'tempfail' },
      later(whole('192.0.4.1', '<>', 'pass')),
    ],
    log: ['<>', ['tempfail new', 'pass retry']],
    header: DELAYED,
  },
  {
    name: 'a callout finds its recipient, and leaves nothing for a message of its sender',
    steps: [
      once('192.0.5.1', '<postmaster@callout.test>', 'pass'),
      later({ ...once('192.0.5.1', '<postmaster@callout.test>', 'pass'), message: 'tempfail' }),
    ],
    log: ['postmaster@callout.test', ['tempfail new']],
  },
  {
    name: 'one of two recipients of a bounce has to wait, so that both do',
    steps: [
      {
        client: { address: '192.0.6.1' },
        sender: '<double-bounce@a.test>',
        recipients: [
          ['<u@example.com>', 'pass'],
          ['<postmaster@example.com>', 'pass'],
        ],
        message: 'tempfail',
      },
    ],
    log: ['double-bounce@a.test', ['tempfail new', 'tempfail new']],
  },
  {
    name: 'a client that has logged in passes',
    steps: [
      {
        ...whole('192.0.7.1', '<login@a.test>', 'pass'),
        client: { address: '192.0.7.1', login: 'user' },
      },
    ],
    log: ['login@a.test', ['pass authenticated']],
  },
  {
    name: 'a client with a certificate that a rule names passes',
    steps: [
      {
        ...once('192.0.8.1', '<tls@a.test>', 'pass'),
        client: { address: '192.0.8.1', certificate: 'trusted' },
      },
      {
        ...once('192.0.8.1', '<tls@a.test>', 'tempfail'),
        client: { address: '192.0.8.1', certificate: 'other' },
      },
    ],
    log: ['tls@a.test', ['pass authenticated', 'tempfail new']],
  },
  {
    name: 'a client with a host name that is exempt passes, unless the name is forged',
    steps: [
      {
        ...once('192.0.9.1', '<name@a.test>', 'pass'),
        client: { address: '192.0.9.1', name: 'mail.trusted.test' },
      },
      {
        ...once('192.0.9.1', '<name@a.test>', 'tempfail'),
        client: { address: '192.0.9.1', name: 'mail.trusted.test', isForged: true },
      },
    ],
    log: ['name@a.test', ['pass exempt-client', 'tempfail new']],
  },
  {
    name: 'an exempt sender passes, and so do those below its domain',
    steps: [once('192.0.10.1', '<x@sub.exempt-sender.test>', 'pass')],
    log: ['x@sub.exempt-sender.test', ['pass exempt-sender']],
  },
  {
    name: 'an IPv6 client is its /64',
    steps: [
      once('2001:db8:1:2::7', '<six@a.test>', 'tempfail'),
      once('2001:db8:1:3::7', '<six@a.test>', 'tempfail'),
      later(once('2001:db8:1:2:ffff::1', '<six@a.test>', 'pass')),
    ],
    log: ['six@a.test', ['tempfail new', 'tempfail new', 'pass retry']],
  },
  {
    name: 'a client behind NAT64 is the IPv4 client',
    steps: [
      once('64:ff9b::192.0.11.1', '<nat@a.test>', 'tempfail'),
      later(once('192.0.11.9', '<nat@a.test>', 'pass')),
    ],
    log: ['nat@a.test', ['tempfail new', 'pass retry']],
  },
  {
    name: 'internationalised addresses are one in each spelling of the domain',
    steps: [
      once('192.0.12.1', '<jörg@bücher.test> SMTPUTF8', 'tempfail'),
      later(once('192.0.12.1', '<JÖRG@xn--bcher-kva.test> SMTPUTF8', 'pass')),
    ],
    log: ['"jörg@bücher.test"', ['tempfail new']],
  },
  {
    name: 'quotes that an address does not need make no other address',
    steps: [
      once('192.0.13.1', '<"spelt"@q.test>', 'tempfail'),
      later(once('192.0.13.1', '<SPELT@Q.test>', 'pass')),
      once('192.0.13.1', '<"spelt."@q.test>', 'tempfail'),
    ],
    log: ['SPELT@Q.test', ['pass retry']],
  },
  {
    name: 'quotes that an address needs are kept',
    steps: [
      once('192.0.14.1', '<"quo ted"@q.test>', 'tempfail'),
      later(once('192.0.14.1', '<"quo\\ ted"@q.test>', 'pass')),
      once('192.0.14.1', '<"quo  ted"@q.test>', 'tempfail'),
    ],
    log: ['"\\"quo  ted\\"@q.test"', ['tempfail new']],
  },
]

/** A message for u@example.com of which the client sends no content. */
function once(address: string, sender: string, reply: Verdict): Step {
  return { client: { address }, sender, recipients: [['<u@example.com>', reply]] }
}

/** A message for u@example.com that passes RCPT, with the reply to its content. */
function whole(address: string, sender: string, message: Verdict): Step {
  return { ...once(address, sender, 'pass'), message }
}

function later(step: Step): Step {
  return { ...step, isLater: true }
}

/** A door with its daemon and its MTA. */
export interface Running {
  readonly door: Door
  readonly greymx: Greymx
  readonly mta: Mta
  readonly tls: Certificates
}

/** Plays a scenario through one door. */
export async function play(
  { steps, log: [sender, outcomes], header }: Scenario,
  running: Running,
): Promise<void> {
  const { door, greymx, mta, tls } = running
  for (const step of steps) {
    if (step.isLater) await sleep(DELAY + MARGIN)
    await playStep(step, await door.session(mta, step.client, tls))
  }
  assert.deepEqual(await waitForOutcomes(greymx, sender, outcomes.length), outcomes)
  if (!header) return
  const delivered = steps.filter(({ message }) => message === 'pass').length
  const messages = await deliveriesOf(mta, sender === '<>' ? '' : sender, delivered)
  // MTAs deliver messages concurrently, so that a later one may overtake the one that was delayed.
  const marked = messages.map(headerOf).filter((text) => /^X-Greylist:/m.test(text))
  assert.equal(marked.length, 1, 'one message was delayed')
  assert.match(marked[0] ?? '', header)
}

/** Sends one message, and asserts the replies. */
export async function playStep({ sender, recipients, message }: Step, client: SmtpClient): Promise<void> {
  assert.match(await client.command(`MAIL FROM:${sender}`), /^250 /, sender)
  for (const [recipient, expected] of recipients)
    assert.equal(verdictIn(await client.command(`RCPT TO:${recipient}`)), expected, `${sender} ${recipient}`)
  if (message === undefined) await client.command('RSET')
  else assert.equal(verdictIn(await client.data(MESSAGE)), message, sender)
  await client.quit()
}

function verdictIn(reply: string): Verdict | string {
  if (reply.startsWith('250 ')) return 'pass'
  return /^45[01] 4\.7\.1 .*Greylisted, please try again later \(\w{8}\)$/.test(reply) ? 'tempfail' : reply
}
