// Tests the alert rules and the dashboard against two daemons with one Redis, of which Debian's Prometheus reads the
// metrics by the configuration that docker/ has: every expression returns data, and an outage becomes an alert.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { type Prometheus, promtool, type Sample, startPrometheus } from '../support/prometheus.ts'
import { startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { readDashboard, readRules, selectorsIn } from './files.ts'

/** How long mail waits, in milliseconds. */
const DELAY = 500

/** The configuration of docker/, for these daemons, with a shorter interval. */
async function writeConfig(dir: string, daemons: readonly Greymx[]): Promise<string> {
  const config = await readFile('docker/monitoring/prometheus.yaml', 'utf8')
  const targets = daemons.map(({ adminPort }) => `"127.0.0.1:${adminPort}"`)
  const file = join(dir, 'prometheus.yaml')
  await copyFile('docker/monitoring/rules.yaml', join(dir, 'rules.yaml'))
  const shorter = config.replaceAll('15s', '500ms')
  await writeFile(file, shorter.replace('"greymx1:10892", "greymx2:10892"', targets.join(', ')))
  return file
}

const hasData = (samples: readonly Sample[]) => samples.some(({ value }) => Number.isFinite(value))

/** Those of the expressions that do not return data yet. */
async function withoutData(prometheus: Prometheus, expressions: readonly string[]): Promise<string[]> {
  const found = await Promise.all(expressions.map(async (each) => hasData(await prometheus.query(each))))
  return expressions.filter((_, index) => !found[index])
}

test('every expression of dashboard and rules returns data of two MXs, and an outage becomes an alert', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const dns = await startDns({ dir, zones: { 'a.test': '@ TXT "v=spf1 ip4:192.0.2.7 -all"' } })
  const settings = [
    `store: ${redis.url}/0`,
    `dns_servers: [${dns.server}]`,
    `greylist: { delay: ${DELAY}ms, retry_window: 1h }`,
  ].join('\n')
  // One decides locally while Redis is away, and so has a local store; the other has none, as by default.
  const mx1 = await startGreymx({ dir, name: 'mx1', settings: `${settings}\non_store_error: local` })
  const mx2 = await startGreymx({ dir, name: 'mx2', settings })
  const config = await writeConfig(dir, [mx1, mx2])
  await promisify(execFile)(promtool, ['check', 'config', config])
  const prometheus = await startPrometheus(dir, config)
  await waitFor('both targets', async () => (await prometheus.query('up == 1')).length === 2)

  // Mail that is deferred at one MX and returns to the other.
  const [first, second] = [await milterSession(mx1), await milterSession(mx2)]
  for (const sender of ['a@a.test', 'b@b.test']) assert.equal(await ask(first, sender), 'tempfail')
  await sleep(DELAY + 100)
  for (const sender of ['a@a.test', 'b@b.test']) assert.equal(await ask(second, sender), 'pass')

  const { panels } = await readDashboard()
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => valued(expr)))
  await waitFor(
    'data for all panels',
    async () => (await withoutData(prometheus, expressions)).length === 0,
  ).catch(async () => assert.deepEqual(await withoutData(prometheus, expressions), []))
  const sums = async (metric: string) =>
    (await prometheus.query(`sum by (sender) (${metric})`))
      .map(({ labels: { sender }, value }) => `${value} ${sender}`)
      .sort()
  for (const metric of ['greymx_first_deferrals_total', 'greymx_returns_total'])
    assert.deepEqual(await sums(metric), ['1 aligned', '1 other'], metric)

  const rules = await readRules()
  for (const { expr } of rules) assert.deepEqual(await withoutData(prometheus, selectorsIn(expr)), [])
  const evaluated = await prometheus.rules()
  assert.deepEqual(
    evaluated.map(({ name, health, state }) => [name, health, state]),
    rules.map(({ alert }) => [alert, 'ok', 'inactive']),
  )

  await redis.stop()
  await waitFor('the alert', async () => {
    const [alert] = (await prometheus.rules()).filter(({ name }) => name === 'GreymxStoreDown')
    return alert?.state === 'pending' && alert.alerts.length === 2
  })
  for (const client of [first, second]) client.quit()
  await Promise.all([mx1.stop(), mx2.stop()])
})

/** An expression of the dashboard with a value for each variable. */
function valued(expression: string): string {
  return expression
    .replaceAll('$job', 'greymx')
    .replaceAll('$instance', '.*')
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__range', '5m')
}
