// greymx export: prints what the store keeps, or writes it to a file. What the lines are is left to import/.

import { closeSync, fsyncSync, lstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { fileProblemOf, messageOf } from '../errors.ts'
import { exportLines } from '../import/export.ts'
import { formatStoreSpec } from '../store/open.ts'
import { greymxVersion } from '../version.ts'
import { loadOrComplain } from './config.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain, print } from './output.ts'
import { Counting } from './progress.ts'
import { openForCommand } from './store.ts'

export interface ExportValues {
  readonly config: string | undefined
  /** Absent for standard output. */
  readonly file: string | undefined
}

const STANDARD_OUTPUT = 1
const SILENT = { isTTY: false, write() {} }

/** Exports, and returns the exit status. A file is complete, or is not there and an earlier one remains. */
export async function exportTo({ config: configFile, file }: ExportValues): Promise<ExitStatus> {
  const config = loadOrComplain(configFile)
  if (!config) return EXIT.config
  const name = formatStoreSpec(config.store)
  const store = await openForCommand(config.store, 'read')
  if (!store) return EXIT.unavailable
  // On a terminal, the lines themselves show how far it is.
  const counting = new Counting(file === undefined && isatty(STANDARD_OUTPUT) ? SILENT : process.stderr)
  const stopped = new AbortController()
  const stop = () => stopped.abort(new Error('interrupted'))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  let output: Output | undefined
  try {
    output = file === undefined ? undefined : new Output(file)
    let count = 0
    for await (const { text, lines } of exportLines(store, greymxVersion(), Date.now, stopped.signal)) {
      if (output) output.write(text)
      else if (!print(text)) return EXIT.ok
      count += lines
      counting.show(count)
    }
    output?.complete()
    return EXIT.ok
  } catch (error) {
    counting.end()
    if (error instanceof CannotWrite) {
      complain(`Cannot write ${file}: ${error.message}\n`)
      return EXIT.usage
    }
    if (stopped.signal.aborted) {
      complain('The export was interrupted: what was exported is not all of it\n')
      return EXIT.unavailable
    }
    complain(`Cannot read the store ${name}: ${messageOf(error)}: what was exported is not all of it\n`)
    return EXIT.unavailable
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    counting.end()
    output?.discard()
    await store.close()
  }
}

class CannotWrite extends Error {}

/**
 * A file that replaces an earlier one once it is complete. Only its owner may read it, as it has addresses. What is no
 * file, such as a device or a link, is written to as it is.
 */
class Output {
  readonly #path: string
  readonly #partPath: string
  readonly #file: number
  #isOpen = true

  constructor(path: string) {
    this.#path = path
    const isFile = writing(() => lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? true)
    this.#partPath = isFile ? `${path}.part` : path
    this.#file = writing(() => {
      if (!isFile) return openSync(path, 'w')
      rmSync(this.#partPath, { force: true })
      // Who may write to the folder must not have put a link there meanwhile.
      return openSync(this.#partPath, 'wx', 0o600)
    })
  }

  write(text: string): void {
    writing(() => {
      let rest = Buffer.from(text)
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#file, rest))
    })
  }

  complete(): void {
    writing(() => {
      if (this.#partPath !== this.#path) fsyncSync(this.#file)
      this.#close()
      if (this.#partPath !== this.#path) renameSync(this.#partPath, this.#path)
    })
  }

  /** Removes what was written, unless it is complete. */
  discard(): void {
    if (!this.#isOpen) return
    this.#close()
    if (this.#partPath !== this.#path) rmSync(this.#partPath, { force: true })
  }

  #close(): void {
    this.#isOpen = false
    closeSync(this.#file)
  }
}

function writing<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new CannotWrite(fileProblemOf(error))
  }
}
