// A peer that records what a policy session sends and reports, and requests as Postfix writes them.

import type { PolicyFault } from '../../src/policy/session.ts'
import type { Peer } from '../../src/sockets/session.ts'

export class RecordingPeer implements Peer<PolicyFault> {
  /** What was sent. */
  sent = ''
  readonly faults: Array<readonly [kind: PolicyFault, reason: string]> = []
  readonly exceededLimits: PolicyFault[] = []
  isEnded = false
  isPaused = false
  /** Whether replies are taken. */
  takes = true
  readonly turns: Array<() => void> = []

  send(bytes: Buffer): boolean {
    this.sent += bytes.toString('latin1')
    return this.takes
  }

  end(): void {
    this.isEnded = true
  }

  fail(kind: PolicyFault, reason: string): void {
    this.faults.push([kind, reason])
    this.isEnded = true
  }

  exceeded(kind: PolicyFault): void {
    this.exceededLimits.push(kind)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  later(action: () => void): void {
    this.turns.push(action)
  }
}

/** The attributes of Postfix 3.7 at RCPT, in its order. */
export const RCPT: Readonly<Record<string, string>> = {
  request: 'smtpd_access_policy',
  protocol_state: 'RCPT',
  protocol_name: 'ESMTP',
  client_address: '192.0.2.7',
  client_name: 'unknown',
  client_port: '50112',
  reverse_client_name: 'unknown',
  server_address: '127.0.0.1',
  server_port: '25',
  helo_name: 'client.test',
  sender: 'a@b.test',
  recipient: 'u@example.com',
  recipient_count: '0',
  queue_id: '',
  instance: '1f2a.68a1.0',
  size: '0',
  etrn_domain: '',
  stress: '',
  sasl_method: '',
  sasl_username: '',
  sasl_sender: '',
  ccert_subject: '',
  ccert_issuer: '',
  ccert_fingerprint: '',
  ccert_pubkey_fingerprint: '',
  encryption_protocol: '',
  encryption_cipher: '',
  encryption_keysize: '0',
  policy_context: '',
}

/** The bytes of a request with these attributes. */
export function encodeRequest(attributes: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(attributes).map(([name, value]) => `${name}=${value}\n`)
  return Buffer.from(`${lines.join('')}\n`)
}
