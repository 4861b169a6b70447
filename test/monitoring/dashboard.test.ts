// Tests that the dashboard is what Grafana's documentation of its JSON model asks for, and that each panel says what it
// shows. Debian has no Grafana that could load it. That its expressions return data is tested in prometheus.test.ts.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parse } from 'yaml'
import { type Panel, readDashboard } from './files.ts'

const dashboard = await readDashboard()
const figures = dashboard.panels.filter(({ type }) => type !== 'row')

/** Grafana's grid has so many columns. */
const COLUMNS = 24

test('every panel has a title, a unit, a description in sentences, and a legend for each of its expressions', () => {
  assert.ok(figures.length > 20)
  for (const { title, description = '', fieldConfig, targets = [] } of figures) {
    assert.match(title, /^\S.*\S$/)
    assert.ok(fieldConfig?.defaults.unit, `${title}: unit`)
    assert.match(description, /^[A-Z].{20,}\.$/, `${title}: description`)
    assert.ok(targets.length > 0, title)
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    for (const { expr, legendFormat } of targets) assert.ok(expr && legendFormat, title)
  }
  for (const names of [dashboard.panels.map(({ id }) => `${id}`), figures.map(({ title }) => title)])
    assert.equal(new Set(names).size, names.length)
})

test('all panels ask the data source that is chosen, and the fleet and the MXs that are', () => {
  const { list } = dashboard.templating
  assert.deepEqual(
    list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['job', 'query'],
      ['instance', 'query'],
    ],
  )
  const chosen = { type: 'prometheus', uid: '${' + 'datasource}' }
  for (const { datasource } of list.slice(1)) assert.deepEqual(datasource, chosen)
  for (const { title, datasource, targets = [] } of figures) {
    assert.deepEqual(datasource, chosen, title)
    for (const target of targets) {
      assert.deepEqual(target.datasource, chosen, title)
      const selectors = target.expr.match(/\{[^}]*\}/g) ?? []
      assert.ok(selectors.length > 0, title)
      for (const selector of selectors)
        assert.match(selector, /^\{job="\$job"(, instance=~"\$instance")?[,}]/, title)
      const known = [...list.map(({ name }) => name), '__range', '__rate_interval']
      for (const [, name = ''] of target.expr.matchAll(/\$(\w+)/g)) assert.ok(known.includes(name), name)
    }
  }
})

test('panels are of types that Grafana has without plugins, lie within the grid, and do not overlap', () => {
  const types = ['row', 'timeseries', 'stat', 'heatmap']
  const cells = new Set<string>()
  for (const { title, type, gridPos } of dashboard.panels) {
    assert.ok(types.includes(type), `${title}: ${type}`)
    for (const cell of cellsOf(gridPos)) {
      assert.ok(!cells.has(cell), `${title} lies on another panel at ${cell}`)
      cells.add(cell)
    }
    assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= COLUMNS, title)
  }
})

test('Grafana in docker finds the dashboard and Prometheus', async () => {
  const [compose, sources, providers] = await Promise.all(
    ['compose.monitoring.yaml', 'monitoring/datasource.yaml', 'monitoring/dashboards.yaml'].map(
      async (file) => parse(await readFile(`docker/${file}`, 'utf8')),
    ),
  )
  const { grafana, prometheus } = compose.services
  const mounted = new Map<string, string>(
    grafana.volumes.map((volume: string) => [volume.split(':')[1], volume.split(':')[0]]),
  )
  const path = `${providers.providers[0].options.path}/greymx.json`
  assert.equal(mounted.get(path), './monitoring/dashboard.json')
  assert.equal(grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH, path)
  assert.equal(
    mounted.get('/etc/grafana/provisioning/datasources/greymx.yaml'),
    './monitoring/datasource.yaml',
  )
  assert.equal(
    mounted.get('/etc/grafana/provisioning/dashboards/greymx.yaml'),
    './monitoring/dashboards.yaml',
  )
  const [source] = sources.datasources
  assert.equal(source.type, 'prometheus')
  assert.equal(source.url, `http://prometheus:${prometheus.ports[0].split(':').at(-1)}`)
  assert.ok(grafana.networks.some((network: string) => prometheus.networks.includes(network)))
})

function cellsOf({ x, y, w, h }: Panel['gridPos']): string[] {
  return Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`)
}
