// How parts of the daemon are exchanged while it runs: the new one is opened beside the old one, and replaces it only
// when every other part that changes with it is ready too.

/**
 * A part that is ready to be exchanged. Its owner calls exactly one of the two functions, and until then the old part
 * stays in use.
 */
export interface Change {
  /** Puts the new part in use at once, and returns a promise that the old one is closed. Never fails. */
  apply(): Promise<void>
  /** Closes what was opened for the change, and leaves everything as it was. Never fails. */
  abandon(): Promise<void>
}

/** Prepares a change; rejects, and leaves nothing open, when that cannot be done. */
export type Prepare = () => Change | Promise<Change>

/**
 * Prepares all changes one after the other and returns them as one, whose `apply` exchanges all parts within one turn
 * of the event loop. When one cannot be prepared, those before it are abandoned, and the promise rejects.
 */
export async function prepareAll(prepares: readonly Prepare[]): Promise<Change> {
  const changes: Change[] = []
  const abandon = async () => {
    for (const change of changes.toReversed()) await change.abandon()
  }
  try {
    for (const prepare of prepares) changes.push(await prepare())
  } catch (error) {
    await abandon()
    throw error
  }
  return {
    async apply() {
      await Promise.all(changes.map((change) => change.apply()))
    },
    abandon,
  }
}
