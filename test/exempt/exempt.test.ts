// The order of exemptions: authenticated, client, sender, recipient; the first that applies is the reason.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { parseAddressRule } from '../../src/exempt/addresses.ts'
import { parseClientRule } from '../../src/exempt/clients.ts'
import { compileExempt, type ExemptSettings } from '../../src/exempt/exempt.ts'
import { parseIp } from '../../src/ip.ts'

const NONE: ExemptSettings = { authenticated: false, clients: [], senders: [], recipients: [] }
const ALL: ExemptSettings = {
  authenticated: true,
  clients: [parseClientRule('192.0.2.0/24')],
  senders: [parseAddressRule('example.org')],
  recipients: [parseAddressRule('postmaster@')],
}
const ADDRESS = parseIp('192.0.2.7')
const ATTEMPT: Attempt = {
  client: ADDRESS ? { address: ADDRESS, name: 'mx.example.net' } : {},
  authenticated: true,
  sender: parseAddress('a@example.org'),
  recipient: parseAddress('postmaster@example.com'),
}

test('compileExempt() gives the first exemption that applies', () => {
  const { recipient, ...withoutRecipient } = ATTEMPT
  const cases: Array<
    [settings: ExemptSettings, attempt: Attempt, reason: string | undefined, rule?: string]
  > = [
    [ALL, ATTEMPT, 'authenticated', 'authenticated'],
    [ALL, { ...ATTEMPT, authenticated: false }, 'exempt-client', '192.0.2.0/24'],
    [{ ...ALL, authenticated: false }, ATTEMPT, 'exempt-client', '192.0.2.0/24'],
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
    assert.deepEqual(compileExempt(settings)(attempt), expected, `${reason} ${rule}`)
  }
})

test('a name that the MTA did not confirm exempts nobody', () => {
  const exempt = compileExempt({
    ...NONE,
    clients: [parseClientRule('example.net'), parseClientRule('/example/')],
  })
  assert.equal(exempt(ATTEMPT)?.reason, 'exempt-client')
  const { address } = ATTEMPT.client
  assert.equal(exempt({ ...ATTEMPT, client: address ? { address } : {} }), undefined)
})
