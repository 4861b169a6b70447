// Runs SPF evaluations for tests, with a function in place of DNS.

import assert from 'node:assert/strict'
import type { DnsAnswer } from '../../../src/dns.ts'
import { checkHost, type SpfAnswer } from '../../../src/identity/spf/evaluate.ts'
import { Lookups } from '../../../src/identity/spf/lookups.ts'
import { type IpAddress, parseIp } from '../../../src/ip.ts'

/** Answers like `dns.promises.resolve`, and rejects with an error that has a `code`. */
export type AskResolver = (name: string, type: string) => Promise<unknown>

export interface Question {
  readonly client?: string
  readonly domain?: string
  readonly local?: string
  readonly helo?: string
}

/** Records by name and type; a string is the code with which each question for the name fails. */
export type Zone = Readonly<Record<string, string | Readonly<Record<string, readonly unknown[]>>>>

export const IPV4 = '192.0.2.7'
export const IPV6 = '2001:db8::7'
export const DOMAIN = 'sender.example.org'

export async function check(
  resolve: AskResolver,
  question: Question = {},
  isWanted = () => true,
): Promise<SpfAnswer> {
  const { client = IPV4, domain = DOMAIN, local = 'bob', helo = 'mx.example.net' } = question
  const ask = async (name: string, type: string): Promise<DnsAnswer> => {
    const expiresAt = Number.POSITIVE_INFINITY
    try {
      return { value: await resolve(name, type), expiresAt }
    } catch (error) {
      assert.ok(error instanceof Error)
      return { error, expiresAt }
    }
  }
  const lookups = new Lookups(ask, isWanted)
  return checkHost({ client: ip(client), domain, local, helo }, lookups, async () => undefined)
}

export function ip(text: string): IpAddress {
  const address = parseIp(text)
  assert.ok(address, text)
  return address
}

export function txt(...record: readonly string[]) {
  return { TXT: [record] }
}

export function mx(priority: number, exchange: string) {
  return { priority, exchange }
}

export function inMemory(zone: Zone): AskResolver {
  return async (name, type) => {
    const records = zone[name]
    if (records === undefined) throw failure('ENOTFOUND')
    if (typeof records === 'string') throw failure(records)
    const values = records[type]
    if (values === undefined) throw failure('ENODATA')
    return values
  }
}

export function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}
