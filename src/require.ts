// `require`, for packages that take long to import: for what a CommonJS module exports, `import` searches its source
// first, and a package of ES modules it reads file by file.

import { createRequire } from 'node:module'

export const require = createRequire(import.meta.url)
