// Gives the login of a new connection, whose password may stand in a file that is written anew while greymx runs: by a
// rotation of passwords, or with a token that holds for some minutes.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import type { RedisLogin } from './settings.ts'

/** What AUTH takes. */
export interface Credentials {
  readonly username?: string
  readonly password?: string
}

/** Returns the first line of the file, which is the password; `''` if it is empty. Throws if it cannot be read. */
export function readPasswordFile(path: string): string {
  const [password = ''] = readRegularFile(path).split(/\r?\n/, 1)
  return password
}

/** Returns the text of the file. Throws if it cannot be read, or is no regular file. */
export function readRegularFile(path: string): string {
  // A FIFO without a writer would hold the whole process, unless it is opened like this.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!fstatSync(file).isFile()) throw new Error(`${path} is not a file`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

/**
 * Returns the credentials for a connection that begins now. While the file cannot be read, as in the moment in which it
 * is written, the password is that of before.
 */
export function credentialsNow({ username, password, passwordFile }: RedisLogin): Credentials {
  const current = passwordFile === undefined ? password : (passwordIn(passwordFile) ?? password)
  if (passwordFile !== undefined && current !== undefined) noteGiven(passwordFile, current)
  return {
    ...(username === undefined ? {} : { username }),
    ...(current === undefined ? {} : { password: current }),
  }
}

/** Returns all passwords of a login that may appear in messages of a server. Reads no file. */
export function passwordsOf({ password, passwordFile }: RedisLogin): Array<string | undefined> {
  return [password, ...(given.get(passwordFile ?? '') ?? [])]
}

/** The last passwords that connections got from each file. */
const given = new Map<string, string[]>()
/** Connections with older ones are gone. */
const MAX_GIVEN = 8

function noteGiven(file: string, password: string): void {
  const others = (given.get(file) ?? []).filter((other) => other !== password)
  given.set(file, [...others, password].slice(-MAX_GIVEN))
}

function passwordIn(path: string): string | undefined {
  try {
    return readPasswordFile(path) || undefined
  } catch {
    return undefined
  }
}
