// What a caught value says, for whoever reads it.

/** Never empty for an error: a failed attempt to connect to several addresses has no message of its own. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || (error instanceof AggregateError ? String(error.errors[0]) : error.name)
}
