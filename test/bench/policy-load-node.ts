// What policy-load.c does, for machines without a C compiler.
//
//   node policy-load-node.js SOCKET CONNECTIONS KIND FIRST COUNT SECONDS JUDGED

import { once } from 'node:events'
import { connect } from 'node:net'
import { quantile } from './figures.ts'
import { FixedPlan, KINDS } from './fixed-plan.ts'

const [socket = '', connections, kindText, first, count, seconds, judged] = process.argv.slice(2)
const kind = KINDS.find((known) => known === kindText)
if (!kind) throw new Error(`expected one of ${KINDS.join(', ')}, found ${kindText}`)
const plan = new FixedPlan(kind, Number(first), Number(count))
const latencies: number[] = []
let wrong = 0
const startedAt = performance.now()
const until = startedAt + Number(seconds) * 1000

/** Asks one request after another over a connection of its own. */
async function ask(): Promise<void> {
  const open = connect(
    socket.startsWith('/') ? { path: socket } : { host: '127.0.0.1', port: Number(socket) },
  )
  open.setNoDelay(true)
  await once(open, 'connect')
  for (;;) {
    const attempt = performance.now() < until ? plan.next(performance.now()) : undefined
    if (!attempt) break
    const { sender, recipient, passed } = attempt.triplet
    const n = Number(/\d+/.exec(recipient)?.[0])
    const host = `mail.${sender.split('@')[1]?.charAt(0)}${n}.example`
    const sentAt = performance.now()
    open.write(
      [
        ...['request=smtpd_access_policy', 'protocol_state=RCPT', 'protocol_name=ESMTP'],
        ...[
          `client_address=198.${18 + ((n >> 8) & 1)}.${n & 255}.7`,
          `client_name=${host}`,
          'client_port=50112',
        ],
        ...[`reverse_client_name=${host}`, 'helo_name=mail.example.org', `sender=${sender}`],
        ...[`recipient=${recipient}`, 'queue_id=', `instance=1a2b.${kind?.charAt(0)}${n}.${plan.taken}`],
        ...['size=0', 'etrn_domain=', 'sasl_method=', 'sasl_username=', '', ''],
      ].join('\n'),
    )
    let answer = ''
    while (!answer.endsWith('\n\n')) {
      const [chunk] = (await once(open, 'data')) as [Buffer]
      answer += chunk.toString('latin1')
    }
    latencies.push(performance.now() - sentAt)
    if (judged === '1' && /^action=defer/i.test(answer) === passed) wrong += 1
  }
  open.destroy()
}

await Promise.all(Array.from({ length: Number(connections) }, ask))
const { user, system } = process.cpuUsage()
console.log(
  JSON.stringify({
    decisions: latencies.length,
    wrong,
    taken: plan.taken,
    seconds: (performance.now() - startedAt) / 1000,
    cpu: (user + system) / 1e6,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  }),
)
