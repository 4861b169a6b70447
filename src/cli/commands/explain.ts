// greymx explain, as the command line has it. What it does is in ../explain.ts.

import { misuse } from '../args.ts'
import { defineCommand } from '../command.ts'
import { CONFIG, flag, JSON_OUTPUT, optional, zeroOrMore } from '../input.ts'

export const command = defineCommand({
  about:
    'Tells what an attempt would get now and later, and by which rule. Nothing is changed. The attempt is given by its ' +
    'reference, or by the client, the sender and the recipient. Exit status: 75 when it would be deferred now.',
  examples: [
    'greymx explain 198.51.100.7 a@example.org b@example.com',
    'greymx explain fbe2ccf7 --for-user',
    "greymx explain 198.51.100.7 '<>' b@example.com --name mx.example.org --in 10m",
  ],
  options: {
    client: optional('IP', 'address of the SMTP client'),
    name: optional('HOST', 'its confirmed host name'),
    helo: optional('NAME', 'its greeting'),
    from: optional('ADDR', 'envelope sender; <> for bounces'),
    to: optional('ADDR', 'envelope recipient'),
    in: optional('TIME', 'how much later the attempt is also tried out, like 10m; by default when it passes'),
    'for-user': flag('print three sentences for the user who asks'),
    config: CONFIG,
    json: JSON_OUTPUT,
  },
  args: { attempt: zeroOrMore('IP FROM TO | REF', 'the attempt') },
  run: async (values) => {
    const { attempt, name, helo, in: later } = values
    const isRef = attempt.length === 1
    if (!isRef && attempt.length !== 0 && attempt.length !== 3)
      return misuse(`expected IP FROM TO, or REF, and not ${attempt.length} arguments`, 'explain')
    const [client = values.client, from = values.from, to = values.to] = isRef ? [] : attempt
    if (!isRef && (client === undefined || from === undefined || to === undefined))
      return misuse('expected IP FROM TO, or REF, or --client, --from and --to', 'explain')
    const { explain } = await import('../explain.ts')
    const params = isRef ? { ref: attempt[0], client } : { client, from, to }
    return explain({ ...values, isForUser: values['for-user'] }, { ...params, name, helo, in: later })
  },
})
