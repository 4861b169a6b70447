// Tests of the image and the compose files: their contents, and docker/trial with both MTAs. On a machine that cannot
// run containers, docker/trial is skipped and the test says why.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { SHUTDOWN_GRACE } from '../../src/app/app.ts'
import { parseConfig } from '../../src/config/load.ts'
import { startGreymx } from '../support/greymx.ts'
import { freePort, scratch } from '../support/scratch.ts'

const run = promisify(execFile)

/** Exit status of docker/trial when it could run nothing. */
const NOT_RUN = 77

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

interface Service {
  readonly ports?: readonly unknown[]
  readonly read_only?: boolean
  readonly healthcheck?: unknown
  readonly image?: string
  readonly volumes?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly networks?: Readonly<Record<string, unknown>>
}

for (const [mta, file] of [
  ['Postfix', 'docker/compose.yaml'],
  ['Sendmail', 'docker/compose.sendmail.yaml'],
] as const) {
  test(`the compose file for ${mta} is valid, and publishes nothing but SMTP`, async () => {
    const { stdout } = await run('docker-compose', ['-f', file, '--profile', 'try', 'config'])
    const services: Record<string, Service> = parse(stdout).services
    assert.deepEqual(Object.keys(services).sort(), ['greymx1', 'greymx2', 'mx1', 'mx2', 'redis', 'try'])
    const publishing = Object.entries(services).filter(([, { ports = [] }]) => ports.length > 0)
    assert.deepEqual(publishing.map(([name]) => name).sort(), ['mx1', 'mx2'])
    for (const name of ['greymx1', 'greymx2']) assert.equal(services[name]?.read_only, true)
  })
}

for (const file of ['docker/compose.yaml', 'docker/compose.sendmail.yaml'])
  test(`monitoring joins ${file}: on loopback, with a password, and reads what it is given`, async () => {
    const env = { ...process.env, GRAFANA_PASSWORD: 'secret' }
    const files = ['-f', file, '-f', 'docker/compose.monitoring.yaml']
    const { services, networks } = parse((await run('docker-compose', [...files, 'config'], { env })).stdout)
    const reaches = (name: string) => Object.keys((services[name] as Service).networks ?? {})
    for (const name of ['prometheus', 'grafana']) {
      const { ports = [], image = '', volumes = [], read_only, healthcheck }: Service = services[name]
      assert.equal(ports.length, 1)
      assert.match(`${ports[0]}`, /^127\.0\.0\.1:/)
      assert.match(image, /:v?\d+\.\d+\.\d+$/)
      assert.equal(read_only, true)
      assert.ok(healthcheck, name)
      for (const volume of volumes) {
        const [source = '', target, mode] = volume.split(':')
        if (source !== `${name}-data`) assert.deepEqual([mode, await exists(source)], ['ro', true], target)
      }
    }
    const { environment = {} }: Service = services.grafana
    assert.equal(environment.GF_SECURITY_ADMIN_PASSWORD, 'secret')
    const source = await readFile('docker/compose.monitoring.yaml', 'utf8')
    assert.match(source, /\$\{GRAFANA_PASSWORD:\?/, 'nothing starts without a password')
    assert.equal(environment.GF_AUTH_ANONYMOUS_ENABLED, 'false')

    const { scrape_configs } = parse(await readFile('docker/monitoring/prometheus.yaml', 'utf8'))
    const { admin } = parse(await readFile('docker/milter.yaml', 'utf8'))
    const targets: string[] = scrape_configs[0].static_configs[0].targets
    assert.deepEqual(
      targets,
      ['greymx1', 'greymx2'].map((name) => `${name}:${admin.split(':')[1]}`),
    )
    // Whoever reaches the metrics reaches the port for MTAs as well.
    const inNetwork = Object.keys(services).filter((name) => reaches(name).includes('metrics'))
    assert.deepEqual(inNetwork.sort(), ['greymx1', 'greymx2', 'prometheus'])
    assert.equal(networks.metrics.internal, true)
    assert.ok(reaches('greymx1').includes('state'), 'what it had in the other file')
  })

test('the manifest for Kubernetes fits the image: ports, user, folders and probes', async (t) => {
  const [manifest, image, settings] = await Promise.all(
    ['docker/kubernetes.yaml', 'docker/Dockerfile', 'docker/milter.yaml'].map((file) =>
      readFile(file, 'utf8'),
    ),
  )
  const documents = parseAllDocuments(manifest ?? '').map((document) => document.toJS({}))
  assert.deepEqual(
    documents.map(({ kind }) => kind),
    ['Deployment', 'Service', 'NetworkPolicy'],
  )
  const [{ spec: deployment }, { spec: service }, { spec: policy }] = documents
  const pod = deployment.template.spec
  const [container] = pod.containers
  const { listen, admin } = parse(settings ?? '')
  const ports = { milter: Number(/^inet:(\d+)@/.exec(listen)?.[1]), admin: Number(admin.split(':')[1]) }
  assert.deepEqual(container.ports, [
    { name: 'milter', containerPort: ports.milter },
    { name: 'admin', containerPort: ports.admin },
  ])
  assert.deepEqual(service.ports, [{ name: 'milter', port: ports.milter, targetPort: 'milter' }])
  assert.match(manifest ?? '', new RegExp(`inet:greymx:${ports.milter},`))
  const policed = policy.ingress.flatMap((rule: { ports: { port: string }[] }) =>
    rule.ports.map(({ port }) => port),
  )
  assert.deepEqual(policed, ['milter', 'admin'])
  for (const selector of [deployment.selector, policy.podSelector]) {
    assert.deepEqual(selector.matchLabels, deployment.template.metadata.labels)
  }
  assert.deepEqual(service.selector, deployment.template.metadata.labels)

  const { runAsUser, runAsGroup } = pod.securityContext
  assert.ok(image?.includes(`\nUSER ${runAsUser}:${runAsGroup}\n`))
  const [{ mountPath }] = container.volumeMounts
  assert.ok(image?.includes(`\nVOLUME ${mountPath}\n`))
  assert.equal(container.securityContext.readOnlyRootFilesystem, true)
  assert.ok(pod.terminationGracePeriodSeconds * 1000 > SHUTDOWN_GRACE)

  // The settings of the manifest are settings, and greymx answers what the probes ask, without Redis too.
  const variables = container.env.map(({ name, value }: { name: string; value: string }) => [name, value])
  const loaded = parseConfig('milter.yaml', settings ?? '', Object.fromEntries(variables))
  assert.equal(loaded.kind, 'config', JSON.stringify(loaded))
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: redis://127.0.0.1:1/0' })
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    const { path, port } = container[probe].httpGet
    assert.equal(port, 'admin')
    assert.equal((await fetch(`http://127.0.0.1:${greymx.adminPort}${path}`)).status, 200, path)
  }
})

test('docker/trial: 451 at one MX and 250 at the other, mail without Redis, and an orderly stop', async (t) => {
  const [mx1, mx2] = [await freePort(), await freePort()]
  const child = spawn('docker/trial', {
    // Other tests run at the same time, so that what it measures may take longer than it promises.
    env: { ...process.env, MX1_SMTP: `127.0.0.1:${mx1}`, MX2_SMTP: `127.0.0.1:${mx2}`, SLACK: '4' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray())
  const [status] = await once(child, 'close')
  const output = [...((await stdout) ?? []), ...((await stderr) ?? [])].join('').trimEnd()
  if (status === NOT_RUN) return t.skip(output)
  for (const line of output.split('\n')) t.diagnostic(line)
  assert.equal(status, 0, output)
})
