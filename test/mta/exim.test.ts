// Debian's Exim asks greymx by the lines of src/doors/exim.md, and by those of greylistd. The lines are taken from there,
// so that what is documented is what is tested. What each mail gets is in doors.ts.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Exim, type EximOptions, greylistdSetup, startExim } from '../support/exim.ts'
import { moveCommand, type Places, pageFiles } from '../support/exim-page.ts'
import { type Greymx, PROGRAM, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { endWith, scratch, waitFor } from '../support/scratch.ts'
import { connect } from '../support/smtp.ts'
import { deliveriesOf, headerOf, MESSAGE } from './scenarios.ts'

/** The delay of greymx, and what a test waits beyond it, in milliseconds. */
const DELAY = 1000
const MARGIN = 200

const SETTINGS = `
store: "memory:"
greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1d, max_deferrals: 0 }
exempt: { clients: [trusted.test] }
reply: |
  451 4.7.1 100% greylisted <{recipient}>
  and $message_exim_id in {seconds}s
`

/** A host name that is exempt. Its address leads to it, but not back, as Exim asks DNS for that. */
const HOSTS = { '127.30.1.1': 'mail.trusted.test' }

/** The last test of a way stops greymx. */
const IN_ORDER = { concurrency: 1 }

interface Way {
  readonly name: string
  readonly options: (places: Places) => Pick<EximOptions, 'files' | 'prepare'>
  /** The reply to an unknown recipient. */
  readonly reply: RegExp
  /** What Exim's log says of it. */
  readonly logged: RegExp
  /** Whether a message that was delayed says so in its header. */
  readonly hasHeader: boolean
}

const REPLY = /^451[ -]4\.7\.1 100% greylisted <u@example\.com> and \$message_exim_id in \ds$/

const WAYS: readonly Way[] = [
  {
    name: 'lines of greymx',
    options: (places) => ({ files: withoutCommand(pageFiles(places)) }),
    reply: REPLY,
    logged: /temporarily rejected RCPT <u@example\.com>: greylisted$/m,
    hasHeader: true,
  },
  {
    name: 'ACL that greylistd-setup-exim4 writes',
    options: (places) => ({
      files: {},
      prepare: `python3 -W ignore ${greylistdSetup} add -no-reload\n${moveCommand(places)}\n`,
    }),
    reply: /^451[ -].*not yet authorized to deliver[\s\S]*<u@example\.com>\.\s+Please try later\.$/,
    logged: /temporarily rejected RCPT <u@example\.com>: greylisted\.$/m,
    hasHeader: false,
  },
  {
    name: 'command greymx decide',
    options: (places) => ({ files: withCommand(pageFiles(places)) }),
    reply: REPLY,
    logged: /temporarily rejected RCPT <u@example\.com>: greylisted$/m,
    hasHeader: false,
  },
]

const MACROS = '/etc/exim4/conf.d/main/00_greymx'

function withoutCommand(files: Readonly<Record<string, string>>): Record<string, string> {
  const wanted = [MACROS, '/etc/exim4/greymx_rcpt', '/etc/exim4/greymx_data']
  return Object.fromEntries(wanted.map((path) => [path, files[path] ?? assert.fail(path)]))
}

/** The files with the command, and the macros by which Debian's configuration includes them. */
function withCommand(files: Readonly<Record<string, string>>): Record<string, string> {
  const wanted = ['/etc/exim4/greymx_run_rcpt', '/etc/exim4/greymx_run_data']
  const macros = (files[MACROS] ?? assert.fail(MACROS)).replace(/\/greymx_(?=rcpt|data)/g, '/greymx_run_')
  const lines = macros.split('\n').filter((line) => line.startsWith('CHECK_'))
  assert.equal(lines.length, 2)
  return {
    [MACROS]: `${lines.join('\n')}\n`,
    ...Object.fromEntries(wanted.map((path) => [path, files[path] ?? assert.fail(path)])),
  }
}

async function sessionFrom({ host, port }: Exim, localAddress: string) {
  const client = await connect({ host, port, localAddress })
  assert.match(await client.ehlo(), /^250/)
  return client
}

/** Replies with their lines in one, as Exim wraps long ones. */
function unwrapped(reply: string): string {
  return reply.replace(/\n451[- ]4\.7\.1 /g, ' ').replace(/\n451[- ]/g, ' ')
}

/** Sends a message as far as it is let; returns the last reply. */
async function send(exim: Exim, from: string, sender: string, recipient = 'u@example.com'): Promise<string> {
  const client = await sessionFrom(exim, from)
  assert.match(await client.command(`MAIL FROM:<${sender}>`), /^250 /)
  const reply = await client.command(`RCPT TO:<${recipient}>`)
  const last = reply.startsWith('250 ') ? await client.data(MESSAGE) : reply
  await client.quit()
  return unwrapped(last)
}

describe('Debian’s Exim', { concurrency: true }, () => {
  for (const way of WAYS) {
    describe(`by the ${way.name},`, IN_ORDER, async () => {
      const dir = await scratch({ after })
      const places = { socket: join(dir, 'exim.sock'), program: join(dir, 'greymx') }
      await writeFile(places.program, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`, {
        mode: 0o755,
      })
      const greymx = await startGreymx({ dir, settings: `listen_exim: unix:${places.socket}\n${SETTINGS}` })
      const exim = await startExim({ dir, hosts: HOSTS, configuration: 'debian', ...way.options(places) })

      describe('while greymx runs,', { concurrency: true }, () => {
        test('defers a stranger’s mail, and lets its retry pass', async () => {
          assert.match(await send(exim, '127.1.1.1', 'one@a.test'), way.reply)
          await sleep(DELAY + MARGIN)
          assert.match(await send(exim, '127.1.1.1', 'one@a.test'), /^250 /)
          assert.deepEqual(await waitForOutcomes(greymx, 'one@a.test', 2), ['tempfail new', 'pass retry'])
          const [message] = await deliveriesOf(exim, 'one@a.test', 1)
          assert.equal(
            /^X-Greylist: delayed 00:00:0\d by mx\.exim\.test; /m.test(headerOf(message)),
            way.hasHeader,
          )
          assert.match(await exim.log(), way.logged)
        })

        test('asks about bounces at DATA, and not about callouts', async () => {
          const callout = await sessionFrom(exim, '127.2.1.1')
          assert.match(await callout.command('MAIL FROM:<>'), /^250 /)
          assert.match(await callout.command('RCPT TO:<u@example.com>'), /^250 /)
          await callout.quit()
          assert.match(await send(exim, '127.2.1.1', ''), /^451[ -]/)
          await sleep(DELAY + MARGIN)
          assert.match(await send(exim, '127.2.1.1', ''), /^250 /)
          assert.deepEqual(await waitForOutcomes(greymx, '<>', 2), ['tempfail new', 'pass retry'])
        })

        test('does not let an address become another, whatever is in it', async () => {
          const recipient = '"u sender=y, \\"v\\" (z) w"@example.com'
          const senders = [
            '"x\\" client=\\"127.9.9.9 $pid $' + '{pid}"@a.test',
            'a."b, c"@a.test',
            'a\\ b@a.test',
          ]
          for (const sender of senders) {
            assert.match(await send(exim, '127.3.1.1', sender, recipient), /^451[ -]/)
            const addresses = ` sender=${JSON.stringify(sender)} recipient=${JSON.stringify(recipient)} `
            const isOurs = (line: string) => line.includes('client=127.3.1.1 ') && line.includes(addresses)
            await waitFor(`${addresses} in the log`, () => greymx.log().some(isOurs))
          }
          await sleep(DELAY + MARGIN)
          for (const sender of senders)
            assert.match(await send(exim, '127.3.1.1', sender, recipient), /^250 /)
        })

        test('refuses for good whom it does not know, before it asks', async () => {
          assert.match(await send(exim, '127.4.1.1', 'x@a.test', 'u@elsewhere.test'), /^550 /)
          assert.deepEqual(greymx.outcomes('x@a.test'), [])
        })
      })

      test('lets mail pass while greymx is away', async () => {
        await greymx.stop()
        assert.match(await send(exim, '127.5.1.1', 'new@a.test'), /^250 /)
        assert.match(await send(exim, '127.5.1.1', ''), /^250 /)
        await deliveriesOf(exim, 'new@a.test', 1)
      })
    })
  }

  describe('by the lines of greymx, with one greymx more,', IN_ORDER, async () => {
    const dir = await scratch({ after })
    const places = { socket: join(dir, 'exim.sock') }
    const greymx: Greymx = await startGreymx({
      dir,
      settings: `listen_exim: unix:${places.socket}\n${SETTINGS}`,
    })
    const files = withoutCommand(pageFiles(places))
    const exim = await startExim({ dir, hosts: HOSTS, configuration: 'debian', files })

    test('does not tell a host name that does not lead back to its address', async () => {
      assert.match(await send(exim, '127.30.1.1', 'name@a.test'), /^451[ -]/)
      assert.deepEqual(await waitForOutcomes(greymx, 'name@a.test', 1), ['tempfail new'])
    })

    test('does not wait for a greymx that hangs longer than 5 s', async () => {
      endWith(dir, async () => greymx.signal('SIGCONT'))
      greymx.signal('SIGSTOP')
      const startedAt = performance.now()
      const client = await sessionFrom(exim, '127.6.1.1')
      assert.match(await client.command('MAIL FROM:<hung@a.test>'), /^250 /)
      assert.match(await client.command('RCPT TO:<u@example.com>'), /^250 /)
      assert.ok(performance.now() - startedAt >= 5000 - MARGIN)
      greymx.signal('SIGCONT')
      assert.match(await client.data(MESSAGE), /^250 /)
      await client.quit()
    })
  })
})
