// Debian's Postgrey, which debian.ts unpacks for its list files; it is neither installed nor run.

import { join } from 'node:path'

/** The folder with the unpacked Debian package of Postgrey, below the root of the repository. */
export const postgreyRoot = join(process.cwd(), 'node_modules/.cache/greymx/postgrey')
export const postgreyClients = join(postgreyRoot, 'usr/share/postgrey/whitelist_clients')
export const postgreyRecipients = join(postgreyRoot, 'usr/share/postgrey/whitelist_recipients')
