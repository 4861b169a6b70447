// Reads the alert rules and the dashboard of docker/monitoring/, as far as tests look into them.

import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'

export interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface DataSource {
  readonly type: string
  readonly uid: string
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: DataSource
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: ReadonlyArray<{
    readonly refId: string
    readonly expr: string
    readonly legendFormat: string
    readonly datasource: DataSource
  }>
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
}

export interface Variable {
  readonly name: string
  readonly label: string
  readonly type: string
  readonly definition?: string
  readonly datasource?: DataSource
}

export interface Dashboard {
  readonly uid: string
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
}

export async function readRules(): Promise<readonly Rule[]> {
  const { groups } = parse(await readFile('docker/monitoring/rules.yaml', 'utf8'))
  return groups.flatMap(({ rules }: { rules: Rule[] }) => rules)
}

export async function readDashboard(): Promise<Dashboard> {
  return JSON.parse(await readFile('docker/monitoring/dashboard.json', 'utf8'))
}

/** The vector selectors of an expression, such as `greymx_dns_up{job="greymx"}`, without their ranges. */
export function selectorsIn(expression: string): string[] {
  return expression.match(/\b(?:up\b|(?:greymx|process|nodejs)_\w+)(?:\{[^}]*\})?/g) ?? []
}
