// Turns a caught value into a text for log and operator.

/** The meanings of the usual errors of files, by their codes. */
const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
}

/** Returns why a file cannot be read, in words, without the path that the caller names. */
export function fileProblemOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return FILE_PROBLEMS[code] ?? messageOf(error)
}

/**
 * Returns an error's message, which is never empty: an error of connections to several addresses has none of its own.
 */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || (error instanceof AggregateError ? String(error.errors[0]) : error.name)
}

/** Returns what `act` returns; an error that it throws is prefixed with what was expected. */
export function explained<T>(expected: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new Error(`${expected}: ${messageOf(error)}`, { cause: error })
  }
}
