// Objects without the properties that have no value, as JSON and schemas have them.

/** The properties of `values` whose value is not `undefined`. */
export function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>
}
