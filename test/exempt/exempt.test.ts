// Tests of the order of exemptions: authenticated, client, sender, recipient; the first that applies is the reason.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { parseAddressRule } from '../../src/exempt/addresses.ts'
import { parseClientRule } from '../../src/exempt/clients.ts'
import { compileExempt, type ExemptLists, type ExemptSettings } from '../../src/exempt/exempt.ts'
import { parseTlsClientRule } from '../../src/exempt/tlsclients.ts'
import { parseIp } from '../../src/ip.ts'

const NO_LISTS = { clients: [], senders: [], recipients: [] }
const EVERYBODY = { except: [] }
const NONE: ExemptSettings = {
  authenticated: false,
  tlsClients: [],
  clients: [],
  senders: [],
  recipients: [],
  trustedRelays: [],
  greylisted: EVERYBODY,
}
const ALL: ExemptSettings = {
  authenticated: true,
  tlsClients: [parseTlsClientRule('subject:mail.example.net')],
  clients: [parseClientRule('192.0.2.0/24')],
  senders: [parseAddressRule('example.org')],
  recipients: [parseAddressRule('postmaster@')],
  trustedRelays: [],
  greylisted: EVERYBODY,
}
const ADDRESS = parseIp('192.0.2.7')
const ATTEMPT: Attempt = {
  client: ADDRESS ? { address: ADDRESS, name: 'mx.example.net' } : {},
  authenticated: true,
  sender: parseAddress('a@example.org'),
  recipient: parseAddress('postmaster@example.com'),
}
const CERTIFIED: Attempt = {
  ...ATTEMPT,
  certificate: { subjects: ['mail.example.net'], issuers: ['Any CA'] },
}

test('compileExempt() gives the first exemption that applies', () => {
  const { recipient, ...withoutRecipient } = ATTEMPT
  const cases: Array<
    [settings: ExemptSettings, attempt: Attempt, reason: string | undefined, rule?: string]
  > = [
    [ALL, ATTEMPT, 'authenticated', 'authenticated'],
    [ALL, { ...ATTEMPT, authenticated: false }, 'exempt-client', '192.0.2.0/24'],
    [{ ...ALL, authenticated: false }, ATTEMPT, 'exempt-client', '192.0.2.0/24'],
    [{ ...ALL, authenticated: false }, CERTIFIED, 'authenticated', 'subject:mail.example.net'],
    [{ ...ALL, tlsClients: [] }, { ...CERTIFIED, authenticated: false }, 'exempt-client', '192.0.2.0/24'],
    [{ ...ALL, authenticated: false, clients: [] }, ATTEMPT, 'exempt-sender', 'example.org'],
    [{ ...NONE, recipients: ALL.recipients }, ATTEMPT, 'exempt-recipient', 'postmaster@'],
    [{ ...NONE, recipients: ALL.recipients }, withoutRecipient, undefined],
    [{ ...NONE, senders: ALL.senders }, withoutRecipient, 'exempt-sender', 'example.org'],
    [{ ...NONE, senders: ALL.recipients, recipients: ALL.senders }, ATTEMPT, undefined],
    [NONE, ATTEMPT, undefined],
    [ALL, { client: {}, authenticated: false, sender: parseAddress('<>') }, undefined],
  ]
  for (const [settings, attempt, reason, rule] of cases) {
    const expected = reason === undefined ? undefined : { reason, rule }
    assert.deepEqual(compileExempt(settings, NO_LISTS)(attempt), expected, `${reason} ${rule}`)
  }
})

test('whose mail is greylisted can be said by recipient', () => {
  const rules = (...texts: string[]) => texts.map(parseAddressRule)
  const cases: Array<
    [greylisted: ExemptSettings['greylisted'], recipient: string, rule: string | undefined]
  > = [
    [{ except: rules('example.com') }, 'a@sub.example.com', 'example.com'],
    [{ except: rules('a@example.com') }, 'b@example.com', undefined],
    [{ only: rules('example.com'), except: [] }, 'a@example.com', undefined],
    [{ only: rules('example.com'), except: [] }, 'a@example.net', 'only'],
    [{ only: rules('example.com'), except: [] }, '"a b"@[192.0.2.7]', 'only'],
    // Postfix delivers each of these to a@example.com.
    [{ only: rules('example.com'), except: [] }, 'a@example.com>', undefined],
    [{ only: rules('example.com'), except: [] }, 'a@example.com(', undefined],
    [{ only: rules('example.com'), except: [] }, 'a@example.com@', undefined],
    [{ only: rules('example.com'), except: [] }, '<"a@example.com">', undefined],
    [{ only: rules('a@example.com'), except: [] }, ',a@example.com', undefined],
    [{ only: rules('a@example.com'), except: [] }, '\\a@example.com', undefined],
    [{ only: rules('a@example.com'), except: [] }, '"a"@example.com', undefined],
    [{ only: rules('example.com'), except: [] }, 'a', undefined],
    [{ only: rules('example.com'), except: rules('a@') }, 'A@example.com', 'a@'],
  ]
  for (const [greylisted, recipient, rule] of cases) {
    const attempt = { ...ATTEMPT, authenticated: false, recipient: parseAddress(recipient) }
    const expected = rule === undefined ? undefined : { reason: 'not-greylisted', rule }
    assert.deepEqual(compileExempt({ ...NONE, greylisted }, NO_LISTS)(attempt), expected, recipient)
  }
})

test('a name that the MTA did not confirm exempts nobody', () => {
  const exempt = compileExempt(
    { ...NONE, clients: [parseClientRule('example.net'), parseClientRule('/example/')] },
    NO_LISTS,
  )
  assert.equal(exempt(ATTEMPT)?.reason, 'exempt-client')
  const { address } = ATTEMPT.client
  assert.equal(exempt({ ...ATTEMPT, client: address ? { address } : {} }), undefined)
})

test('trusted relays and the entries of list files count beside the settings', () => {
  const unauthenticated = { ...ATTEMPT, authenticated: false }
  const cases: Array<[settings: Partial<ExemptSettings>, lists: Partial<ExemptLists>, reason: string]> = [
    [{ trustedRelays: [parseClientRule('192.0.2.7')] }, {}, 'exempt-client'],
    [{}, { clients: [parseClientRule('mx.example.net')] }, 'exempt-client'],
    [{}, { senders: [parseAddressRule('example.org')] }, 'exempt-sender'],
    [{}, { recipients: [parseAddressRule('example.com')] }, 'exempt-recipient'],
  ]
  for (const [settings, lists, reason] of cases) {
    const exempt = compileExempt({ ...NONE, ...settings }, { ...NO_LISTS, ...lists })
    assert.equal(exempt(unauthenticated)?.reason, reason)
  }
})
