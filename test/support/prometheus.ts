// Debian's Prometheus: promtool, which checks metrics and rules, and the server, which tests start on a loopback port.
// npm test unpacks the package without installing it, as it would run as a service.

import { join, resolve } from 'node:path'
import { startDaemon } from './daemon.ts'
import { endWith, freePort } from './scratch.ts'

export const prometheusRoot = resolve('node_modules/.cache/greymx/prometheus')
export const promtool = join(prometheusRoot, 'usr/bin/promtool')
export const prometheusServer = join(prometheusRoot, 'usr/bin/prometheus')

/** A series with its value at one instant. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A rule as the server has evaluated it. */
export interface EvaluatedRule {
  readonly name: string
  readonly query: string
  readonly health: string
  readonly state: string
  readonly alerts: ReadonlyArray<{
    readonly labels: Readonly<Record<string, string>>
    readonly state: string
  }>
}

/** Series with their values at one instant, as the API has them. */
interface Vector {
  readonly result: ReadonlyArray<{
    readonly metric: Sample['labels']
    readonly value: readonly [at: number, text: string]
  }>
}

export interface Prometheus {
  /** The value of an expression now. Rejects with the server's message if it cannot be evaluated. */
  query(expression: string): Promise<Sample[]>
  rules(): Promise<EvaluatedRule[]>
}

/** Starts the server with a configuration file, of which relative paths count from `dir`, a folder of `scratch`. */
export async function startPrometheus(dir: string, configFile: string): Promise<Prometheus> {
  const port = await freePort()
  const daemon = await startDaemon({
    command: prometheusServer,
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(dir, 'prometheus')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    cwd: dir,
    ready: (output) => output.includes('Server is ready to receive web requests'),
  })
  endWith(dir, () => daemon.stop('SIGKILL'))
  /** What the API answers, of which the caller knows the shape. */
  const get = async <Data>(path: string): Promise<Data> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    const answer = (await response.json()) as { status: string; error?: string; data: Data }
    if (answer.status !== 'success') throw new Error(`Prometheus cannot answer ${path}: ${answer.error}`)
    return answer.data
  }
  return {
    async query(expression) {
      const { result } = await get<Vector>(`query?query=${encodeURIComponent(expression)}`)
      return result.map(({ metric, value: [, text] }) => ({ labels: metric, value: Number(text) }))
    },
    async rules() {
      const { groups } = await get<{ groups: ReadonlyArray<{ rules: EvaluatedRule[] }> }>('rules')
      return groups.flatMap(({ rules }) => rules)
    },
  }
}
