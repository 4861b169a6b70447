// Tests of the metrics of a daemon that has just started: they are as Prometheus wants them, and every series whose
// labels are known is there.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { KEY_KINDS } from '../../src/greylist/keys.ts'
import { VERDICTS } from '../../src/outcome.ts'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { promtool } from '../support/prometheus.ts'
import { scratch, waitFor } from '../support/scratch.ts'

const metricsOf = async ({ adminPort }: Greymx) =>
  (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()

/** The value of a series, with its labels as they are written. */
const sampleIn = (metrics: string, series: string): number | undefined => {
  const line = metrics.split('\n').find((text) => text.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('promtool has no objection to the metrics of a daemon that has just started, nor once it has decided', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"\non_store_error: local' })
  const check = async () => {
    const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], {
      input: await metricsOf(greymx),
      encoding: 'utf8',
    })
    assert.deepEqual([status, stdout, stderr], [0, '', ''])
  }
  await check()
  const client = await milterSession(greymx)
  await ask(client, 'a@a.test')
  client.quit()
  await check()
})

test('every verdict, reason, operation and result has its series at 0 from the start', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"' })
  const metrics = await metricsOf(greymx)
  const series = [
    ...Object.entries(VERDICTS).flatMap(([reason, verdicts]) =>
      verdicts.map((verdict) => `greymx_decisions_total{verdict="${verdict}",reason="${reason}"}`),
    ),
    ...['find', 'add', 'pass', 'count', 'counts', 'forget', 'merge'].flatMap((operation) => [
      ...['ok', 'error', 'timeout', 'refused'].map(
        (result) => `greymx_store_operations_total{operation="${operation}",result="${result}"}`,
      ),
      `greymx_store_seconds_count{operation="${operation}"}`,
    ]),
    ...['found', 'none', 'failed', 'unanswered', 'not-asked'].map(
      (result) => `greymx_dns_questions_total{result="${result}"}`,
    ),
    // The daemon has records of its own from the start.
    ...[...Object.values(KEY_KINDS), 'other']
      .filter((kind) => kind !== KEY_KINDS.r)
      .map((kind) => `greymx_store_entries{kind="${kind}"}`),
    'greymx_protocol_errors_total{kind="malformed"}',
    'greymx_protocol_errors_total{kind="idle"}',
    'greymx_dns_seconds_count',
    ...['aligned', 'other'].flatMap((sender) => [
      `greymx_first_deferrals_total{sender="${sender}"}`,
      `greymx_returns_total{sender="${sender}"}`,
    ]),
  ]
  for (const each of series) assert.equal(sampleIn(metrics, each), 0, each)
  assert.equal(sampleIn(metrics, 'greymx_dns_up'), 1)
  assert.equal(sampleIn(metrics, 'greymx_local_max_entries'), 100_000)
  assert.match(metrics, /^greymx_build_info\{version="\d+\.\d+\.\d+",node_version="v\d+[.\d]*"\} 1$/m)
  assert.match(metrics, /^nodejs_eventloop_lag_p99_seconds \S+$/m)
})

test('a reload and DNS show in the metrics', async (t) => {
  const dir = await scratch(t)
  const dns = await startDns({ dir, zones: { 'a.test': '@ TXT "v=spf1 ip4:192.0.2.7 -all"' } })
  const settings = `store: "memory:"\ndns_servers: ["${dns.server}"]`
  const greymx = await startGreymx({ dir, settings })
  const name = 'greymx_config_last_reload_success'
  const first = await metricsOf(greymx)
  assert.equal(sampleIn(first, `${name}ful`), 1)
  const since = sampleIn(first, `${name}_timestamp_seconds`) ?? 0
  assert.ok(Math.abs(Date.now() / 1000 - since) < 60)
  const client = await milterSession(greymx)
  await ask(client, 'a@a.test')
  client.quit()
  const asked = await metricsOf(greymx)
  assert.ok((sampleIn(asked, 'greymx_dns_questions_total{result="found"}') ?? 0) >= 1)
  assert.ok((sampleIn(asked, 'greymx_dns_seconds_count') ?? 0) >= 1)
  assert.ok((sampleIn(asked, 'greymx_store_seconds_count{operation="find"}') ?? 0) >= 1)
  await writeFile(greymx.configFile, 'no_such_setting: true\n')
  greymx.signal('SIGHUP')
  await waitFor('the refusal', async () => sampleIn(await metricsOf(greymx), `${name}ful`) === 0)
  assert.equal(sampleIn(await metricsOf(greymx), `${name}_timestamp_seconds`), since)
})

test('entries are counted by kind, in memory and in LMDB', async (t) => {
  for (const store of ['memory:', `lmdb:${await scratch(t)}/state`]) {
    const dir = await scratch(t)
    const greymx = await startGreymx({ dir, settings: `store: "${store}"` })
    const client = await milterSession(greymx)
    for (let count = 0; count < 3; count += 1) await ask(client, `s${count}@a.test`)
    client.quit()
    const first = await waitFor('the figures', async () => {
      const metrics = await metricsOf(greymx)
      return sampleIn(metrics, 'greymx_store_entries{kind="triplet"}') === undefined ? undefined : metrics
    })
    const count = (kind: string) => sampleIn(first, `greymx_store_entries{kind="${kind}"}`)
    assert.deepEqual([count('triplet'), count('tally'), count('listed'), count('other')], [3, 1, 0, 0], store)
  }
})
