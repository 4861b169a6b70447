// Tests of whom a name belongs to: who pays a registry for it, or has it below a suffix that a company lets to others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { organisationOf, ownerOf } from '../../src/identity/organisation.ts'

test('a name belongs to its registered domain, and a customer’s below a company’s suffix to the customer', () => {
  for (const [name, organisation, owner] of [
    ['example.org', 'example.org', 'example.org'],
    ['mail.example.co.uk', 'example.co.uk', 'example.co.uk'],
    ['shop.tenant.blogspot.com', 'blogspot.com', 'tenant.blogspot.com'],
    ['blogspot.com', 'blogspot.com', undefined],
    ['co.uk', 'co.uk', undefined],
    ['localhost', 'localhost', undefined],
    ['192.0.2.1', '192.0.2.1', undefined],
    ['', '', undefined],
  ] as const)
    assert.deepEqual([organisationOf(name), ownerOf(name)], [organisation, owner], name)
})

test('a text that is no name is not read as a URL', () => {
  for (const text of ['www.example.org:25', 'www.example.org/mail'])
    assert.notEqual(organisationOf(text), 'example.org', text)
  assert.equal(ownerOf('www.example.org:25'), 'example.org:25')
})

// Regression: all literals whose addresses end alike had one owner, `2.1]`.
test('an address literal belongs to itself', () => {
  for (const literal of ['[192.0.2.1]', '[198.51.2.1]', '[ipv6:2001:db8::1]'])
    assert.deepEqual([organisationOf(literal), ownerOf(literal)], [literal, undefined], literal)
})
