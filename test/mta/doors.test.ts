// Runs the table of doors.ts through each door, with a real MTA, and sends mail that one door has seen first through the
// others, by processes that share one Redis.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { policyEntry } from '../../src/check/main-cf.ts'
import { makeCertificates } from '../support/certificates.ts'
import { type Exim, startExim } from '../support/exim.ts'
import { certificateFields, pageFiles } from '../support/exim-page.ts'
import { startGreymx } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { startRedis } from '../support/redis.ts'
import { scratch } from '../support/scratch.ts'
import { DELAY, type Door, play, playStep, type Running, SCENARIOS, SETTINGS } from './doors.ts'

/** Postfix's settings for TLS, and a session by XCLIENT. */
const postfix: Pick<Door, 'session'> & { tls(tls: Parameters<Door['start']>[2]): Record<string, string> } = {
  tls: ({ authority, server }) => ({
    smtpd_tls_security_level: 'may',
    smtpd_tls_cert_file: server.cert,
    smtpd_tls_key_file: server.key,
    smtpd_tls_CAfile: authority,
    smtpd_tls_ask_ccert: 'yes',
  }),
  async session(mta, { address, name, isForged, login, certificate }, tls) {
    const client = await startSession(mta, {
      ADDR: address.includes(':') ? `IPV6:${address}` : address,
      NAME: name === undefined || isForged ? '[UNAVAILABLE]' : name,
      REVERSE_NAME: name ?? '[UNAVAILABLE]',
      ...(login === undefined ? {} : { LOGIN: login }),
    })
    if (certificate) await client.startTls(tls[certificate])
    return client
  },
}

/** The door with the lines of src/doors/exim.md, in a small configuration that leaves logins to them. */
const exim: Door = {
  name: 'door for Exim',
  settings: (dir) => `listen_exim: unix:${dir}/exim.sock\n`,
  async start(dir, _greymx, tls) {
    const page = pageFiles({ socket: `${dir}/exim.sock` })
    const macros = page['/etc/exim4/conf.d/main/00_greymx']?.trimEnd()
    const [last = '', ...others] = (macros ?? '')
      .split('\n')
      .filter((line) => !line.startsWith('CHECK_'))
      .reverse()
    return startExim({
      dir,
      tls,
      configuration: 'own',
      files: {
        '/etc/exim4/main': `${[...others.reverse(), last].join('\n')} ${certificateFields()}\n`,
        '/etc/exim4/rcpt': page['/etc/exim4/greymx_rcpt'] ?? '',
        '/etc/exim4/data': page['/etc/exim4/greymx_data'] ?? '',
      },
    })
  },
  async session(mta, { address, name, isForged, login, certificate }, tls) {
    const client = await (mta as Exim).session({
      address,
      ...(name === undefined || isForged ? {} : { name }),
      ...(login === undefined ? {} : { authenticator: 'plain_server' }),
    })
    if (certificate) assert.match(await client.startTls(tls[certificate]), /^250/)
    return client
  },
}

const DOORS: readonly Door[] = [
  {
    name: 'milter door of Postfix',
    settings: () => '',
    start: (dir, greymx, tls) =>
      startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}`, settings: postfix.tls(tls) }),
    session: postfix.session,
  },
  {
    name: 'policy door of Postfix',
    settings: (dir) => `listen_policy: unix:${dir}/policy.sock\n`,
    start(dir, _greymx, tls) {
      const entry = policyEntry({ kind: 'unix', path: `${dir}/policy.sock` })
      return startPostfix({
        dir,
        milter: '',
        settings: {
          ...postfix.tls(tls),
          smtpd_recipient_restrictions: `reject_unauth_destination, ${entry}`,
          smtpd_data_restrictions: entry,
        },
      })
    },
    session: postfix.session,
  },
  exim,
]

describe('what greymx answers,', { concurrency: true }, async () => {
  const dir = await scratch({ after })
  const tls = await makeCertificates(dir)
  /** Starts the door with a daemon of its own. */
  const start = async (door: Door, index: number, store: string) => {
    const own = await scratch({ after })
    const settings = `store: "${store}"\n${door.settings(own)}${SETTINGS}`
    const greymx = await startGreymx({ dir: own, name: `greymx${index}`, settings })
    return { door, greymx, mta: await door.start(own, greymx, tls), tls }
  }
  const alone = await Promise.all(DOORS.map((door, index) => start(door, index, 'memory:')))
  for (const running of alone) {
    for (const scenario of SCENARIOS)
      test(`through the ${running.door.name}: ${scenario.name}`, () => play(scenario, running))
  }

  test('what one door has seen first passes later through all others of other processes, on one Redis', async () => {
    const redis = await startRedis({ dir })
    const fleet = await Promise.all(DOORS.map((door, index) => start(door, index, redis.url)))
    const senders = ['<plain@a.test>', '<"quo ted"@q.test>', '<jörg@bücher.test> SMTPUTF8', '<>']
    const clients = ['198.51.100.7', '2001:db8:7::7', '64:ff9b::198.51.101.7']
    const mails = senders.flatMap((sender) => clients.map((address) => ({ sender, address })))
    const send = async ({ door, mta }: Running, first: number, verdict: 'pass' | 'tempfail') => {
      for (const { sender, address } of mails) {
        const isBounce = sender === '<>'
        const recipients = [[`<from${first}@example.com>`, isBounce ? 'pass' : verdict]] as const
        const step = { client: { address }, sender, recipients, ...(isBounce ? { message: verdict } : {}) }
        await playStep(step, await door.session(mta, { address }, tls))
      }
    }
    await Promise.all(fleet.map((running, first) => send(running, first, 'tempfail')))
    await sleep(DELAY)
    await Promise.all(
      fleet.map(async (running) => {
        for (const [first, other] of fleet.entries())
          if (other !== running) await send(running, first, 'pass')
      }),
    )
  })
})
