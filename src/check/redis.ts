// Puts what Redis tells of itself into lines for the operator, and into warnings.

import type { RedisReport } from '../store/redis/report.ts'

/** Fewer days than these until Redis is full are a warning. */
const FEW_DAYS = 14

const MIB = 1024 * 1024

/** The lines that `greymx check --redis` prints about the store `name`. */
export function redisLines(name: string, report: RedisReport): string[] {
  const { versions, policies, usedBytes, limitBytes, entries, daysUntilFull } = report
  const used = `${inMib(usedBytes)} used`
  const memory =
    limitBytes === undefined
      ? `${used}, no maxmemory`
      : `${used} of ${inMib(limitBytes)}, ${inMib(Math.max(0, limitBytes - usedBytes))} left`
  const counts = Object.entries(entries).sort(([, a], [, b]) => b - a)
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  return [
    `${name}: ${versions.join(' and ')}, maxmemory-policy ${policies.join(' and ')}`,
    `${name}: memory: ${memory}`,
    `${name}: entries: ${[total, ...counts.map(([kind, count]) => `${kind}: ${count}`)].join(', ')}`,
    ...(daysUntilFull === undefined ? [] : [`${name}: days until full: ${inDays(daysUntilFull)}`]),
  ]
}

/** The warnings about a Redis that will be full soon, or that nothing keeps from taking all memory of its machine. */
export function redisWarnings({ limitBytes, daysUntilFull }: RedisReport): string[] {
  if (limitBytes === undefined)
    return ['maxmemory is not set: expected a limit, as a Redis without one grows until the machine kills it']
  if (daysUntilFull === undefined || daysUntilFull >= FEW_DAYS) return []
  return [
    `it is full in ${inDays(daysUntilFull)} if entries are added as in the last day: expected more maxmemory, as ` +
      'new senders then get what on_store_full says',
  ]
}

function inMib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`
}

function inDays(days: number): string {
  if (days === Number.POSITIVE_INFINITY) return 'never, as entries do not grow'
  return days >= 10 ? String(Math.round(days)) : days.toFixed(1)
}
