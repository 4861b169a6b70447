// Tests the page as operators use it: Debian's Chromium, two MXs with real Postfix, and one Redis.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Page } from 'playwright-core'
import type { Stats } from '../../src/operator/stats.ts'
import { assertAccessible, startBrowser } from '../support/browser.ts'
import { jsonOf } from '../support/commands.ts'
import { type Greymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { rcptOnce } from './scenarios.ts'

const TOKEN = '0123456789abcdefghijklmn'

/** A sender that is harmless only while it is shown as text. */
const SCRIPT = '"<img src=x onerror=alert(1)>"@script.test'

const VIEWS = ['/', '/?period=hour', '/?period=month', '/waiting', '/lost', '/mxs', '/rules', '/changes']

describe('the page, at two MXs with one Redis:', async () => {
  const dir = await scratch({ after })
  const redis = await startRedis({ dir })
  const tokens = join(dir, 'tokens')
  writeFileSync(tokens, `anna ${TOKEN}\n`, { mode: 0o600 })
  // Nothing passes by waiting, so that what passes does so by what the operator has done.
  const settings = `store: ${redis.url}/0\nadmin_tokens: ${tokens}\ngreylist: { delay: 1h, max_deferrals: 0 }`
  const start = (hostName: string) => startGreymx({ dir, name: hostName, hostName, settings })
  const [first, second] = [await start('mx1'), await start('mx2')]
  const milterOf = ({ port }: Greymx) => `inet:127.0.0.1:${port}`
  const [postfix1, postfix2] = [
    await startPostfix({ dir, milter: milterOf(first) }),
    await startPostfix({ dir, milter: milterOf(second) }),
  ]
  const [smtp1, smtp2] = [
    await startSession(postfix1, { ADDR: '192.0.2.7', NAME: 'mail.a.test' }),
    await startSession(postfix2, { ADDR: '198.51.100.9' }),
  ]
  const browser = await startBrowser(dir)
  const url = (daemon: Greymx, path: string) => `http://127.0.0.1:${daemon.adminPort}${path}`

  /** The reference of a first message, once the ledger has it. */
  async function deferred(smtp: typeof smtp1, sender: string, recipient: string): Promise<string> {
    const reply = await rcptOnce(smtp, sender, recipient)
    const ref = /^451 .*\((\w{8})\)$/.exec(reply)?.[1] ?? assert.fail(reply)
    await waitFor('the ledger', async () => (await fetch(url(first, `/entry/${ref}`))).status === 200)
    return ref
  }

  async function signIn(page: Page, daemon = first): Promise<void> {
    await page.goto(url(daemon, '/sign-in'))
    await page.getByLabel('Token').fill(TOKEN)
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('Signed in as anna').waitFor()
  }

  const hello = await deferred(smtp1, 'ann@a.test', 'bob@example.com')
  await deferred(smtp2, SCRIPT, 'bob@example.com')
  await deferred(smtp2, 'carl@b.test', 'dora@example.com')
  const long = await deferred(
    smtp2,
    `${'long'.repeat(15)}@${'x'.repeat(60)}.${'y'.repeat(60)}.test`,
    'eve@example.com',
  )

  test('figures are those of greymx stats', async () => {
    await Promise.all([waitForOutcomes(first, 'ann@a.test', 1), waitForOutcomes(second, 'carl@b.test', 1)])
    const page = await browser.open()
    for (const [path, args] of [
      ['/?period=hour', ['--hours', '1']],
      ['/', ['--hours', '24']],
      ['/?period=month', ['--days', '30']],
    ] as const) {
      const stats: Stats = await jsonOf(first, ['stats', ...args])
      await jsonOf(second, ['stats'])
      const { together, mxs }: Stats = await jsonOf(first, ['stats', ...args])
      assert.ok(stats.together.attempts >= 1)
      const shown = await waitFor('the figures', async () => {
        await page.goto(url(first, path))
        const tiles = await page
          .locator('.tile')
          .evaluateAll((all) =>
            all.map((tile) => [
              tile.querySelector('dt')?.textContent,
              tile.querySelector('dd')?.firstChild?.textContent?.trim(),
            ]),
          )
        const figures = Object.fromEntries(tiles)
        return figures['Recipients asked for'] === String(together.attempts) && figures
      })
      assert.equal(shown['First attempts deferred'], String(together.deferred))
      assert.equal(shown['Came back and passed'], String(together.returned))
      assert.equal(shown['Stayed away'], String(together.neverReturned.count))
      assert.equal(shown['Waited over an hour'], String(together.overAnHour))
      const rows = await page
        .getByRole('table', { name: /^Decisions/ })
        .locator('tbody tr')
        .allInnerTexts()
      assert.deepEqual(
        rows.map((row) => row.split('\t')).map(([what, , count]) => [what?.trim(), count]),
        together.verdicts.map(({ verdict, reason, count }) => [`${verdict} ${reason}`, String(count)]),
      )
      const each = await page
        .getByRole('table', { name: 'Figures of each MX' })
        .locator('tbody tr')
        .allInnerTexts()
      assert.deepEqual(
        each.map((row) => row.split('\t').slice(0, 3)),
        mxs.map(({ mx, attempts, deferred: new_ }) => [mx, String(attempts), String(new_)]),
      )
    }
    await page.context().close()
  })

  test('a search finds what waits by address, domain, client and reference, without an address in the URL', async () => {
    const page = await browser.open()
    await page.goto(url(second, '/waiting'))
    const found = async (about: string) => {
      await page.getByLabel('Address, domain, client or reference').fill(about)
      const sent = page.waitForResponse((response) => response.request().method() === 'POST')
      await page.getByRole('button', { name: 'Search' }).click()
      await (await sent).finished()
      await page.waitForLoadState()
      assert.equal(page.url(), url(second, '/waiting'))
      return page.getByRole('table', { name: 'First messages that wait' }).locator('tbody tr').count()
    }
    for (const about of ['ann@a.test', 'a.test', '192.0.2.7', '192.0.2.0/24', 'mail.a.test', hello])
      assert.equal(await found(about), 1, about)
    assert.equal(await found('bob@example.com'), 2)
    await assertAccessible(page, 'what was found')
    assert.equal(await found('nobody@example.com'), 0)
    assert.equal(await found('<script>alert(1)</script>'), 0)
    await page.context().close()
  })

  test('what an operator lets pass at one MX passes at the other at its next try, until it is undone', async () => {
    const page = await browser.open()
    await signIn(page)
    await page.goto(url(first, `/entry/${hello}`))
    await page.getByLabel('Reason').first().fill('ticket 4711')
    await page.getByRole('button', { name: 'Let it pass' }).click()
    await page.getByText('Its mail passes from now on').waitFor()
    await waitFor('the rule', async () => /^250/.test(await rcptOnce(smtp2, 'ann@a.test', 'bob@example.com')))

    await page.goto(url(first, '/rules'))
    const form = page.locator('section', { has: page.getByRole('heading', { name: 'Let mail pass' }) })
    await form.getByLabel('Sender').fill('fresh.test')
    await form.getByRole('button').click()
    await page.getByText('Its mail passes from now on').waitFor()
    let tries = 0
    const isFirstMessagePassed = async () => {
      tries += 1
      return /^250/.test(await rcptOnce(smtp2, `new${tries}@fresh.test`, 'bob@example.com'))
    }
    await waitFor('the rule', isFirstMessagePassed)
    await page.getByRole('status').getByRole('button', { name: 'Undo' }).click()
    await page.getByText('It was taken back.').waitFor()
    await waitFor('its end', async () => !(await isFirstMessagePassed()))

    const changes = await page
      .getByRole('table', { name: /^Changes/ })
      .locator('tbody tr')
      .allInnerTexts()
    assert.match(changes[0] ?? '', /token anna\tundo/)
    assert.match(changes[2] ?? '', new RegExp(`token anna\tallow {"ref":"${hello}".*\tticket 4711\tmx1`))
    await page.goto(url(second, '/changes'))
    assert.match(await page.getByRole('table').innerText(), /ticket 4711/)
    await page.context().close()
  })

  test('no view has a fault of accessibility, breaks its policy or is wider than a screen of 360, 800 or 1400 px', async () => {
    const views = ['/', '/waiting', '/lost', '/mxs', '/rules', '/changes', `/entry/${long}`, '/sign-in']
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await browser.open({ colorScheme })
      await signIn(page)
      for (const view of views) {
        await page.goto(url(first, view))
        // Nothing but colours is another in the dark.
        await assertAccessible(
          page,
          `${view}, ${colorScheme}`,
          colorScheme === 'dark' ? 'cat.color' : undefined,
        )
        for (const width of [360, 800, 1400]) {
          await page.setViewportSize({ width, height: 800 })
          const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
          assert.ok((overflow as number) <= 0, `${view} at ${width} px is ${overflow} px too wide`)
        }
      }
      await page.context().close()
    }
    assert.deepEqual(browser.complaints, [])
  })

  test('an address that is a script is text in every view', async () => {
    const page = await browser.open()
    await page.goto(url(first, '/waiting'))
    assert.equal(await page.getByText(SCRIPT).count(), 1)
    const ref = await page.getByRole('row', { name: SCRIPT }).getByRole('link').innerText()
    await page.goto(url(first, `/entry/${ref}`))
    assert.ok((await page.getByText(SCRIPT).count()) >= 2)
    assert.equal(await page.locator('img').count(), 0)
    assert.deepEqual(browser.complaints, [])
    await page.context().close()
  })

  test('every view can be read without JavaScript, and tables sort and times are local with it', async () => {
    const plain = await browser.open({ javaScriptEnabled: false })
    for (const view of [...VIEWS, `/entry/${hello}`]) {
      const answer = await plain.goto(url(first, view))
      assert.equal(answer?.status(), 200, view)
      assert.equal(await plain.getByRole('heading', { level: 1 }).count(), 1, view)
      assert.equal(await plain.getByRole('contentinfo').count(), 1, view)
      for (const text of await plain.locator('time').allTextContents()) assert.match(text, / UTC$/)
    }
    await plain.context().close()
    const page = await browser.open({ timezoneId: 'Pacific/Auckland', locale: 'en-GB' })
    await page.goto(url(first, '/waiting'))
    for (const text of await page.locator('time').allTextContents()) assert.doesNotMatch(text, /UTC/)
    await page.getByRole('button', { name: 'Sender' }).press('Enter')
    const senders = await page.locator('tbody tr td:nth-child(2)').allInnerTexts()
    assert.deepEqual(
      senders,
      senders.toSorted((one, other) => other.localeCompare(one)),
    )
    assert.equal(
      await page.getByRole('columnheader', { name: 'Sender' }).getAttribute('aria-sort'),
      'descending',
    )
    await page.context().close()
  })

  test('figures are fresh without a reload', async () => {
    const page = await browser.open()
    await page.clock.install()
    await page.goto(url(first, '/waiting'))
    await deferred(smtp1, 'later@a.test', 'bob@example.com')
    await page.clock.fastForward(11_000)
    await page.getByText('later@a.test').waitFor()
    await page.context().close()
  })
})
