// npm run bench: measures how many decisions a second greymx makes and what they cost, next to a milter that does nothing;
// see decisions.ts. The figures hold for this machine; only the ratios hold for others.
//
//   npm run bench -- [--store redis,lmdb,memory] [--kind new,known,mix] [--socket unix,inet] [--messages 1,10]
//                    [--connections 64] [--known 10000] [--entries 0] [--rounds 5] [--turn 2] [--profile]
//
// Each option with a list makes a row for each of its values. --messages is the number of messages of each connection:
// an MTA makes one connection for each SMTP session, and most sessions bring one message. --entries is the number of
// passes of others that the store has before the first turn, as 10000,1000000. --profile prints the functions that take
// most of greymx's time, and slows it down.
//
//   npm run bench -- --door policy [--store redis,lmdb,memory] [--kind new,known,mix] [--connections 64] …
//
// This measures the policy door, next to a policy server that does nothing and to Postgrey; see policy.ts.
//
//   npm run bench -- --rules [--seconds 35] [--seed 1]
//
// This measures what each rule costs, in this process and without the milter protocol; see rules.ts.
//
//   npm run bench -- --start [--runs 20]
//
// This measures how long greymx takes from its start to its first decision; see start.ts.
//
//   npm run bench -- --page [--entries 1000000] [--rounds 5]
//
// This measures what the page costs mail, and how soon it answers; see page.ts.
//
//   npm run bench -- --hostile [--seconds 600] [--seed 1]
//
// This measures what mail costs whose sender's zone is made to be costly, and how long others wait; see hostile.ts.

import { parseArgs } from 'node:util'
import { scratch } from '../support/scratch.ts'
import { benchDecisions } from './decisions.ts'
import { benchPage } from './page.ts'
import { benchPolicy } from './policy.ts'
import { benchStart } from './start.ts'

const { values } = parseArgs({
  options: {
    rules: { type: 'boolean', default: false },
    start: { type: 'boolean', default: false },
    hostile: { type: 'boolean', default: false },
    page: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    door: { type: 'string', default: 'milter' },
    runs: { type: 'string', default: '20' },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
    messages: { type: 'string', default: '1,10' },
    kind: { type: 'string', default: 'new,known,mix' },
    store: { type: 'string', default: 'redis,lmdb,memory' },
    socket: { type: 'string', default: 'unix,inet' },
    known: { type: 'string', default: '10000' },
    entries: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '5' },
    turn: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
  },
})

const endings: Array<() => Promise<void>> = []
const onEnd = (end: () => Promise<void>) => endings.push(end)
try {
  const dir = await scratch({ after: onEnd })
  if (values.rules) {
    const { benchRules } = await import('./rules.ts') // imported here, as it compiles long lists
    await benchRules({ dir, seconds: Number(values.seconds ?? 35), seed: Number(values.seed) })
  } else if (values.start) await benchStart(dir, Number(values.runs))
  else if (values.page) await benchPage(dir, Number(values.entries), Number(values.rounds))
  else if (values.hostile) {
    const { benchHostile } = await import('./hostile.ts') // imported here, as it loads the test harness of the MTAs
    await benchHostile(dir, Number(values.seconds ?? 600), Number(values.seed))
  } else {
    const options = {
      stores: among(['redis', 'lmdb', 'memory'], values.store),
      kinds: among(['new', 'known', 'mix'], values.kind),
      sockets: among(['unix', 'inet'], values.socket),
      messages: values.messages.split(',').map(Number),
      connections: Number(values.connections),
      known: Number(values.known),
      entries: values.entries.split(',').map(Number),
      rounds: Number(values.rounds),
      turn: Number(values.turn),
      profile: values.profile,
    }
    const [door] = among(['milter', 'policy'], values.door)
    const bench = door === 'policy' ? benchPolicy : benchDecisions
    if (!(await bench(dir, options, onEnd))) process.exitCode = 1
  }
} finally {
  for (const end of endings.reverse()) await end()
}

/** The values of a list, in their order. */
function among<Value extends string>(known: readonly Value[], text: string): Value[] {
  return text.split(',').map((part) => {
    const value = known.find((one) => one === part)
    if (value === undefined) throw new Error(`expected one of ${known.join(', ')}, found ${part}`)
    return value
  })
}
