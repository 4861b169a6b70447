// What load.c does, for machines without a C compiler. It costs about as much as the filter under test.
//
//   node load-node.js SOCKET CONNECTIONS MESSAGES KIND FIRST COUNT SECONDS JUDGED

import { quantile } from './figures.ts'
import { FixedPlan, KINDS } from './fixed-plan.ts'
import { Load, newTally } from './load.ts'

const [socket = '', connections, messages, kindText, first, count, seconds, judged] = process.argv.slice(2)
const kind = KINDS.find((known) => known === kindText)
if (!kind) throw new Error(`expected one of ${KINDS.join(', ')}, found ${kindText}`)
const plan = new FixedPlan(kind, Number(first), Number(count))
const load = new Load({
  socket: socket.startsWith('/')
    ? { kind: 'unix', path: socket }
    : { kind: 'inet', host: '127.0.0.1', port: Number(socket) },
  connections: Number(connections),
  messages: Number(messages),
  seed: 1,
  delay: 0,
  isJudged: judged === '1',
  plan,
})
const tally = newTally()
const startedAt = performance.now()
await load.run(Number(seconds) * 1000, tally)
const { user, system } = process.cpuUsage()
console.log(
  JSON.stringify({
    decisions: tally.decisions,
    wrong: tally.wrong.length,
    taken: plan.taken,
    seconds: (performance.now() - startedAt) / 1000,
    cpu: (user + system) / 1e6,
    p50: quantile(tally.latencies, 0.5),
    p99: quantile(tally.latencies, 0.99),
  }),
)
