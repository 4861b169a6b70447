// Runs a real Postfix with check_policy_service while greymx is away, restarts and returns: with the entry that serve
// prints, mail flows meanwhile.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { policyEntry, QUEUE_DIRECTORY } from '../../src/check/main-cf.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import { fingerprint, makeCertificates } from '../support/certificates.ts'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { complaintsOf, startPostfix, startSession } from '../support/postfix.ts'
import { freePort, scratch } from '../support/scratch.ts'
import { rcptOnce, send } from './scenarios.ts'

const SETTINGS = 'store: "lmdb:STATE"\ngreylist: { delay: 1s, retry_window: 1h, lifetime: 1d }\n'

function startAsking(dir: string, entry: string): Promise<Mta> {
  return startPostfix({
    dir,
    milter: '',
    settings: {
      smtpd_recipient_restrictions: `reject_unauth_destination, ${entry}`,
      smtpd_data_restrictions: entry,
    },
  })
}

describe('Postfix that asks by check_policy_service,', { concurrency: true }, () => {
  for (const kind of ['unix', 'inet'] as const) {
    test(`over ${kind}: mail flows while greymx is away, and is judged again when it is back`, async () => {
      const dir = await scratch({ after })
      const spec: SocketSpec =
        kind === 'unix'
          ? { kind, path: `${dir}/policy.sock` }
          : { kind, host: '127.0.0.1', port: await freePort() }
      const listen = spec.kind === 'unix' ? `unix:${spec.path}` : `inet:${spec.port}@127.0.0.1`
      const settings = `listen_policy: ${listen}\n${SETTINGS.replace('STATE', `${dir}/state`)}`
      const greymx = await startGreymx({ dir, settings })
      const mta = await startAsking(dir, policyEntry(spec))
      const open = await startSession(mta, { ADDR: '192.0.2.7' })
      assert.match(await rcptOnce(open, 'a@b.test', 'u@example.com'), /^450 4\.7\.1 .*Greylisted/)
      assert.match(await send(open, '', ['u@example.com']), /^450 4\.7\.1 .*Greylisted/)
      await greymx.stop()
      assert.match(await rcptOnce(open, 'c@b.test', 'u@example.com'), /^250 /)
      const fresh = await startSession(mta, { ADDR: '192.0.2.8' })
      assert.match(await send(fresh, '', ['v@example.com']), /^250 /)

      // The delay is over when it is back.
      await startGreymx({ dir, name: 'again', settings })
      assert.match(await send(open, 'a@b.test', ['u@example.com']), /^250 /)
      assert.match(await send(open, '', ['u@example.com']), /^250 /)
      assert.match(await rcptOnce(fresh, 'c@b.test', 'u@example.com'), /^450 4\.7\.1 .*Greylisted/)
      for (const client of [open, fresh]) await client.quit()
      const warnings = (await mta.log()).split('\n').filter((line) => /warning:|fatal:|panic:/.test(line))
      assert.deepEqual(
        warnings.filter(
          (line) => !/problem talking to server|connect to .*: Connection refused|No such file/.test(line),
        ),
        [],
      )
    })
  }

  test('within its chroot: what Postfix refuses for good it refuses so, and bounces are judged at their end', async () => {
    const dir = await scratch({ after })
    const tls = await makeCertificates(dir)
    const entry = policyEntry({ kind: 'unix', path: `${QUEUE_DIRECTORY}/policy.sock` })
    const mta = await startPostfix({
      dir,
      milter: '',
      chroot: true,
      settings: {
        smtpd_recipient_restrictions: `reject_unauth_destination, ${entry}, check_recipient_access inline:{gone@example.com=REJECT}`,
        smtpd_end_of_data_restrictions: entry,
        smtpd_tls_security_level: 'may',
        smtpd_tls_cert_file: tls.server.cert,
        smtpd_tls_key_file: tls.server.key,
        smtpd_tls_CAfile: tls.authority,
        smtpd_tls_ask_ccert: 'yes',
      },
    })
    const rule = `fingerprint:${fingerprint(tls.stranger.cert, 'sha256')}`
    const listen = `listen_policy: unix:${mta.queueDirectory}/policy.sock\n`
    const settings = `${listen}${SETTINGS.replace('STATE', `${dir}/state`)}exempt: { tls_clients: ["${rule}"] }\n`
    const greymx = await startGreymx({ dir, settings })
    const client = await startSession(mta, { ADDR: '192.0.2.7' })
    assert.match(await rcptOnce(client, 'a@b.test', 'u@elsewhere.test'), /^554 5\.7\.1 .*Relay access denied/)
    assert.match(await rcptOnce(client, 'a@b.test', 'gone@example.com'), /^554 5\.7\.1 /)
    assert.match(await rcptOnce(client, 'a@b.test', 'u@example.com'), /^450 4\.7\.1 .*Greylisted/)
    const recipients = ['u@example.com', 'v@example.com']
    assert.match(await send(client, '', recipients), /^450 4\.7\.1 .*Greylisted/)
    await sleep(1200)
    assert.match(await send(client, '', recipients), /^250 /)
    // Postfix tells the fingerprint of a certificate that it cannot verify, too.
    assert.match(await client.startTls(tls.stranger), /^250/)
    assert.match(await rcptOnce(client, 'tls@b.test', 'u@example.com'), /^250 /)
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'tls@b.test', 1), ['pass authenticated'])
    await waitForOutcomes(greymx, '<>', 4)
    assert.deepEqual(greymx.outcomes('a@b.test'), ['tempfail new', 'tempfail new'])
    assert.deepEqual(greymx.outcomes('<>'), ['tempfail new', 'tempfail new', 'pass retry', 'pass retry'])
    assert.deepEqual(await complaintsOf(mta), [])
  })

  test('without a default action of its own, Postfix defers all mail while greymx is away', async () => {
    const dir = await scratch({ after })
    const mta = await startAsking(dir, `check_policy_service unix:${dir}/none.sock`)
    const client = await startSession(mta, { ADDR: '192.0.2.7' })
    assert.match(await rcptOnce(client, 'a@b.test', 'u@example.com'), /^451 4\.3\.5 /)
    await client.quit()
  })
})
