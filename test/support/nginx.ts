// Runs nginx as the reverse proxy in front of the admin port.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { endWith, freePort, isListening } from './scratch.ts'

/** Starts nginx in `dir`, a folder of `scratch`, with the `locations` of one server; returns its port. */
export async function startNginx(dir: string, locations: string): Promise<number> {
  const port = await freePort()
  const file = join(dir, 'nginx.conf')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${dir}/nginx-${kind};`,
  )
  await writeFile(
    file,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr;
events {}
http { access_log off; ${paths.join(' ')} server { listen 127.0.0.1:${port}; ${locations} } }
`,
  )
  const nginx = await startDaemon({
    command: '/usr/sbin/nginx',
    args: ['-c', file],
    cwd: dir,
    ready: () => isListening(port),
  })
  endWith(dir, () => nginx.stop())
  return port
}
