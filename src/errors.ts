// Turns a caught value into a text for log and operator.

/**
 * Returns an error's message, which is never empty: an error of connections to several addresses has none of its own.
 */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || (error instanceof AggregateError ? String(error.errors[0]) : error.name)
}
