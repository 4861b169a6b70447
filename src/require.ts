// `require`, for packages that are slow to import: `import` searches a CommonJS module's source for its exports first,
// and reads a package of ES modules file by file.

import { createRequire } from 'node:module'

/** Loads a package synchronously. */
export const require = createRequire(import.meta.url)
