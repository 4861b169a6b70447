// greymx status: prints which daemons share the store, how each of them is, and what needs attention, as the running
// daemon tells it.

import { formatElapsed } from '../operator/elapsed.ts'
import type { Status } from '../operator/status.ts'
import { type CallValues, callDaemon } from './call.ts'
import { terminalWidth } from './columns.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { cut, formatColumns } from './figures.ts'
import { print } from './output.ts'

/** Longest host name that is shown, in characters. */
const MAX_HOST = 40

/** Returns the exit status: that of warnings when something needs attention. */
export async function status(values: CallValues): Promise<ExitStatus> {
  const asked = await callDaemon(values, 'status', {})
  if ('status' in asked) return asked.status
  const answer = asked.answer as Status
  print(values.json ? `${JSON.stringify(answer)}\n` : formatStatus(answer, terminalWidth()))
  return answer.attention.length > 0 ? EXIT.warnings : EXIT.ok
}

/** The answer as text. Figures are in lines of at most `width` characters; sentences and settings are not cut. */
export function formatStatus(answer: Status, width: number): string {
  const { members, differences, attention } = answer
  const now = Date.parse(answer.now)
  const ago = (instant: string) => formatElapsed(now - Date.parse(instant))
  const rows = members.map((member) => ({
    label: cut(member.host || '(no name)', MAX_HOST),
    cells: [
      String(member.pid),
      member.version,
      member.state === 'running'
        ? `up ${ago(member.startedAt)}`
        : `${member.state}, seen ${ago(member.lastSeenAt)} ago`,
      `${member.store.up ? 'up' : 'down'} ${ago(member.store.since)}`,
      member.dns,
      formatOffset(member.clockOffset),
    ],
  }))
  const parts = [formatColumns(['pid', 'version', 'daemon', 'store', 'DNS', 'clock'], rows, width)]
  if (differences.length > 0) {
    const lines = differences.flatMap(({ setting, isOfOneHost, values }) => [
      `  ${setting}${isOfOneHost ? ', which may differ' : ''}`,
      ...values.map(({ member, value }) => `    ${member}: ${value ?? '(default)'}`),
    ])
    parts.push(['settings that differ', ...lines].map((line) => `${line}\n`).join(''))
  }
  parts.push(
    attention.length === 0
      ? 'all is well\n'
      : ['needs attention', ...attention.map((line) => `  ${line}`)].map((line) => `${line}\n`).join(''),
  )
  return parts.join('\n')
}

/** How far the clock of a host is off the store's. */
function formatOffset(clockOffset: number): string {
  const off = Math.abs(clockOffset)
  if (off < 50) return '0 s'
  const sign = clockOffset < 0 ? '+' : '-'
  return (
    sign + (off < 120_000 ? `${(off / 1000).toFixed(1)} s` : formatElapsed(Math.round(off / 1000) * 1000))
  )
}
