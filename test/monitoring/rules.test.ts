// Tests of the alert rules: promtool accepts them and runs their tests, and each alert has what its reader needs. That
// the metrics are there is tested in prometheus.test.ts.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { promtool } from '../support/prometheus.ts'
import { readRules } from './files.ts'

const run = promisify(execFile)

const TESTS = 'test/monitoring'
const tests = (await readdir(TESTS))
  .filter((name) => name.endsWith('.test.yaml'))
  .map((name) => `${TESTS}/${name}`)

test('promtool has no objection to the rules, and their tests pass', async () => {
  await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', 'docker/monitoring/rules.yaml'])
  const { stdout } = await run(promtool, ['test', 'rules', ...tests])
  assert.equal(stdout.match(/SUCCESS/g)?.length, tests.length, stdout)
})

test('each alert is tested to fire and not to fire', async () => {
  const cases = await Promise.all(tests.map(async (file) => parse(await readFile(file, 'utf8')).tests))
  const checks: Array<{ alertname: string; exp_alerts?: unknown[] }> = cases
    .flat()
    .flatMap(({ alert_rule_test }) => alert_rule_test)
  for (const { alert } of await readRules()) {
    const own = checks.filter(({ alertname }) => alertname === alert)
    assert.ok(
      own.some(({ exp_alerts = [] }) => exp_alerts.length > 0),
      `${alert} fires`,
    )
    assert.ok(
      own.some(({ exp_alerts = [] }) => exp_alerts.length === 0),
      `${alert} does not fire`,
    )
  }
})

test('each alert has a severity, says what happens to mail, and leads to what to do about it', async () => {
  const runbook = await readFile('docker/monitoring/README.md', 'utf8')
  const sections = [...runbook.matchAll(/^### (Greymx\w+)$/gm)].map(([, name]) => name)
  const rules = await readRules()
  assert.deepEqual(
    sections,
    rules.map(({ alert }) => alert),
  )
  for (const { alert, labels, annotations } of rules) {
    const { summary = '', description = '', runbook_url: url } = annotations
    assert.ok(['critical', 'warning'].includes(labels.severity ?? ''), alert)
    assert.match(summary, /greymx|MX/, alert)
    assert.doesNotMatch(summary, /\.$/, alert)
    assert.match(description, /^[A-Z{].{80,}\.$/, alert)
    assert.equal(url, `file:///opt/greymx/docker/monitoring/README.md#${alert.toLowerCase()}`)
  }
})
