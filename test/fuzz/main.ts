// npm run fuzz: sends greymx what no MTA would send, within this process and, at intervals, to the built daemon over
// its sockets. At the first fault it ends with status 1, and prints what was sent as hex, for --replay.
//
//   npm run fuzz -- [--seconds 60] [--seed N]
//   npm run fuzz -- --replay FILE

import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { readCase } from './case.ts'
import { failureOf } from './fuzzer.ts'
import { fuzz } from './run.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    replay: { type: 'string' },
  },
})

const endings: Array<() => Promise<void>> = []
try {
  if (values.replay !== undefined) {
    const error = await failureOf(readCase(await readFile(values.replay, 'utf8')))
    console.log(error?.stack ?? 'nothing is wrong')
    if (error) process.exitCode = 1
  } else {
    const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
    console.log(`seed ${seed}, ${seconds} s`)
    const problem = await fuzz({
      seconds,
      seed,
      scope: { after: (end) => endings.push(end) },
      say: console.log,
    })
    if (problem) {
      console.log(problem)
      process.exitCode = 1
    }
  }
} finally {
  for (const end of endings.reverse()) await end()
}
