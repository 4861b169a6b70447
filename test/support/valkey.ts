// Valkey, against which the tests of Redis run a second time. debian.ts unpacks it where Debian has it, from Debian 13
// on.

import { join } from 'node:path'

export const valkeyRoot = join(process.cwd(), 'node_modules/.cache/greymx/valkey')
/** The server in Debian's packages, which needs the libraries that are unpacked beside it. */
export const valkeyBinary = join(valkeyRoot, 'usr/bin/valkey-server')
/** A script that starts it with these, for the variable REDIS_SERVER. */
export const valkeyServer = join(valkeyRoot, 'valkey-server')
