// Asks the daemon as a command does, in a process of its own: CONFIG NAME PARAMS, then `stream` for a stream. Prints the
// answer or the items as JSON. With AS_USER, it changes to the user with that number first.

import { callDaemon, streamFromDaemon } from '../../src/cli/call.ts'
import { print } from '../../src/cli/output.ts'

const [, , config, name = '', params = '', kind] = process.argv
const { AS_USER: user } = process.env
if (user !== undefined) {
  process.setgroups?.([])
  process.setgid?.(Number(user))
  process.setuid?.(Number(user))
}
const values = { config, json: false }
if (kind === 'stream') {
  process.exitCode = await streamFromDaemon(values, name, JSON.parse(params), (item) =>
    print(`${JSON.stringify(item)}\n`),
  )
} else {
  const result = await callDaemon(values, name, JSON.parse(params))
  if ('answer' in result) print(`${JSON.stringify(result.answer)}\n`)
  else process.exitCode = result.status
}
