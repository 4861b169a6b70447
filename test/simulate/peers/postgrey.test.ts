// The model of Postgrey against the Postgrey of Debian: both decide on the same attempts at the same times.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseAddressList, parseClientList } from '../../../src/exempt/lists.ts'
import { DEBIAN_LISTS, NO_CLIENTS, Postgrey } from '../../../src/simulate/peers/postgrey.ts'
import { postgreyClients, postgreyRecipients, startPostgrey } from '../../support/postgrey.ts'
import { scratch } from '../../support/scratch.ts'
import { assertAgreement, DECISIONS } from './agreement.ts'
import { type ListedClient, randomAttempts } from './attempts.ts'

const LISTED: readonly ListedClient[] = [
  ['192.0.2.1', 'debian.org'],
  ['192.0.2.1', 'mx.lists.debian.org'],
  ['192.0.2.1', 'notdebian.org'],
  ['192.0.2.2', 'mail-oln040092.outbound.protection.outlook.com'],
  ['192.0.2.2', 'outlook.com.example'],
  ['192.0.2.3', 'ms-smtp-03.rr.com'],
  ['192.0.2.3', 'x.ms-smtp-03.rr.com'],
  ['192.0.2.4', 'viefep15-int.chello.at'],
  ['66.216.126.174'],
  ['66.216.126.175'],
  ['195.235.39.7'],
  ['195.235.40.7'],
  ['205.201.143.255', 'unlisted.example'],
  ['205.201.144.0', 'unlisted.example'],
  ['51.4.80.31'],
  ['51.4.80.32'],
  ['2a01:4180:4051:0800::25'],
  ['2a01:4180:4051:0801::25'],
]

test("the model's lists are those that Debian ships", () => {
  const [clients, recipients] = [postgreyClients, postgreyRecipients].map((file) =>
    readFileSync(file, 'utf8'),
  )
  assert.deepEqual(parseClientList('', DEBIAN_LISTS.clients), parseClientList('', clients ?? ''))
  assert.deepEqual(parseAddressList('', DEBIAN_LISTS.recipients), parseAddressList('', recipients ?? ''))
})

test('Postgrey and its model agree on every attempt, with the list of clients', async (t) => {
  await agree(t, { model: new Postgrey('Postgrey', DEBIAN_LISTS), clients: postgreyClients, seed: 1 })
})

test('Postgrey and its model agree on every attempt, without a list of clients', async (t) => {
  const clients = join(await scratch(t), 'whitelist_clients')
  await writeFile(clients, '')
  await agree(t, { model: new Postgrey('Postgrey', NO_CLIENTS), clients, seed: 2 })
})

interface Run {
  readonly model: Postgrey
  readonly clients: string
  readonly seed: number
}

async function agree(t: TestContext, { model, clients, seed }: Run): Promise<void> {
  const attempts = randomAttempts(DECISIONS, seed, LISTED)
  const time = (attempts[0]?.at ?? 0) / 1000
  const postgrey = await startPostgrey({ dir: await scratch(t), clients, time })
  await assertAgreement(model, attempts, (attributes, seconds) => {
    postgrey.setTime(seconds)
    return postgrey.ask(attributes)
  })
}
