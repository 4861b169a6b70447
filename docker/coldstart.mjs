// Measures how long greymx takes from the start of its process to the first decision, in milliseconds: the best of
// five. It runs in greymx's image. DNS refuses all questions at once, as waiting for it is not greymx's time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectToFilter } from '/opt/greymx/dist/milter/client.js'

const times = []
for (let run = 0; run < 5; run += 1) times.push(await firstDecision())
console.log(Math.round(Math.min(...times)))

async function firstDecision() {
  const environment = {
    ...process.env,
    GREYMX_LISTEN: 'unix:/run/greymx/coldstart.sock',
    GREYMX_STORE: 'lmdb:/var/lib/greymx/coldstart',
    GREYMX_DNS_SERVERS: '127.0.0.1:1',
    GREYMX_ADMIN: 'false',
  }
  const startedAt = performance.now()
  const daemon = spawn(process.execPath, ['/opt/greymx/dist/main.js', 'serve'], {
    env: environment,
    stdio: 'ignore',
  })
  const client = await connected()
  await client.connect({ hostName: '[198.51.100.7]', family: 'inet', port: 0, address: '198.51.100.7' }, [])
  await client.helo('client.example.org')
  await client.mail('<a@example.org>')
  const { code } = await client.rcpt('<b@example.com>')
  const took = performance.now() - startedAt
  client.quit()
  daemon.kill()
  await once(daemon, 'exit')
  if (code !== 'y' && code !== 'c') throw new Error(`greymx answered ${code}`)
  return took
}

async function connected() {
  for (;;) {
    try {
      return await connectToFilter({ kind: 'unix', path: '/run/greymx/coldstart.sock' }, 5000)
    } catch {
      await sleep(5)
    }
  }
}
