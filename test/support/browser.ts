// Drives Debian's Chromium, as a reader of the page does, and holds what it shows to accessibility and to the page's own
// content security policy.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type axe from 'axe-core'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { endWith } from './scratch.ts'

/** Where Debian's package has it. */
export const CHROMIUM = '/usr/bin/chromium'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface Browser {
  /** A page of a new context, whose errors and breaches of policy are noted. */
  open(options?: BrowserContextOptions): Promise<Page>
  /** What pages have complained of: errors of scripts, requests that failed, and breaches of the policy. */
  readonly complaints: readonly string[]
}

/** Starts the browser; it ends with `dir`, a folder of `scratch`. */
export async function startBrowser(dir: string): Promise<Browser> {
  // Chromium's own sandbox needs a user other than root; the pages are ours.
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  endWith(dir, () => browser.close())
  const complaints: string[] = []
  return {
    complaints,
    async open(options = {}) {
      const context = await browser.newContext(options)
      const page = await context.newPage()
      page.on('pageerror', ({ message }) => complaints.push(message))
      page.on('requestfailed', (request) =>
        complaints.push(`${request.url()}: ${request.failure()?.errorText}`),
      )
      page.on('dialog', (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`)
        void dialog.dismiss()
      })
      page.on('console', (message) => {
        if (/Content.Security.Policy|violates/i.test(message.text())) complaints.push(message.text())
      })
      return page
    },
  }
}

/** Asserts that axe-core finds nothing to complain of in what a page shows, by all of its rules or those with a tag. */
export async function assertAccessible(page: Page, what: string, tag?: string): Promise<void> {
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(
    (tags) =>
      (globalThis as unknown as { axe: typeof axe }).axe.run(
        tags ? { runOnly: tags } : {},
      ) as Promise<axe.AxeResults>,
    tag === undefined ? undefined : [tag],
  )
  assert.deepEqual(
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
    [],
    what,
  )
}
