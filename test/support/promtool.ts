// promtool, which checks metrics as Prometheus wants them. Debian's package prometheus has it; npm test unpacks that
// without installing it, as it would run as a service.

import { join, resolve } from 'node:path'

export const prometheusRoot = resolve('node_modules/.cache/greymx/prometheus')
export const promtool = join(prometheusRoot, 'usr/bin/promtool')
