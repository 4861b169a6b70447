// The tokens by which programs may make calls on the admin port, from the file that the setting `admin_tokens` names.

import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { explained, fileProblemOf, messageOf } from '../errors.ts'

/** Shortest token, in characters: 20 random letters and digits cannot be guessed. */
const MIN_TOKEN_LENGTH = 20

/** Longest file, in characters. */
const MAX_FILE_LENGTH = 64 * 1024

/** The permission bit by which everybody may read a file. */
const READABLE_BY_OTHERS = 0o004

/** A token as it is kept: with what is kept nobody can make a call. */
export interface Token {
  readonly name: string
  readonly digest: Buffer
}

/** What is told of the file after it was read. */
export interface TokenEvents {
  /** The file can be used, but is not as it should be. */
  readonly onWarning: (warning: string) => void
  /** The file cannot be used any more: until it can, no token counts. */
  readonly onProblem: (problem: string) => void
}

/** Returns the tokens in a file. Throws an error that says which line cannot be read, without what is in it. */
export function readTokens(path: string): readonly Token[] {
  return parseTokens(readTokenFile(path))
}

/** The tokens of a file, which is read anew when it has changed. */
export class TokenFile {
  readonly #path: string
  readonly #events: TokenEvents
  #tokens: readonly Token[]
  /** What the file was when it was last read; empty when it could not be found. */
  #version: string

  /** Throws when the file cannot be read. */
  constructor(path: string, events: TokenEvents) {
    this.#path = path
    this.#events = events
    this.#version = versionOf(path)
    this.#tokens = explained(`Cannot read admin_tokens ${path}`, () => readTokens(path))
  }

  /** Tells of permissions that let too many read the file. */
  warn(): void {
    const mode = statSync(this.#path, { throwIfNoEntry: false })?.mode ?? 0
    if ((mode & READABLE_BY_OTHERS) !== 0)
      this.#events.onWarning(`every user of this host may read ${this.#path}: expected mode 0640 or 0600`)
  }

  /** Returns the name of a token, or `undefined` if it is not in the file. */
  nameOf(text: string): string | undefined {
    return this.find(text)?.name
  }

  /** Returns a token, or `undefined` if it is not in the file. */
  find(text: string): Token | undefined {
    return this.#withDigest(digestOf(text))
  }

  /** Whether a token that was found before is still in the file. */
  has({ digest }: Token): boolean {
    return this.#withDigest(digest) !== undefined
  }

  /**
   * How long this takes tells nothing about the tokens: digests are compared in constant time, and each time with all of
   * them.
   */
  #withDigest(digest: Buffer): Token | undefined {
    this.#refresh()
    let found: Token | undefined
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) found = token
    return found
  }

  #refresh(): void {
    const version = versionOf(this.#path)
    if (version === this.#version) return
    this.#version = version
    try {
      this.#tokens = readTokens(this.#path)
      this.warn()
    } catch (error) {
      // A token that the operator has just removed must not count, so that none does.
      this.#tokens = []
      this.#events.onProblem(`${this.#path}: ${messageOf(error)}`)
    }
  }
}

function readTokenFile(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length <= MAX_FILE_LENGTH) return text
  } catch (error) {
    throw new Error(fileProblemOf(error), { cause: error })
  }
  throw new Error(`it has more than ${MAX_FILE_LENGTH} characters`)
}

function parseTokens(text: string): readonly Token[] {
  const tokens: Token[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/)
    const [name = '', token = ''] = words
    if (name === '' || name.startsWith('#')) continue
    const problem = problemOf(name, token, words.length, tokens)
    if (problem !== undefined) throw new Error(`line ${index + 1}: ${problem}`)
    tokens.push({ name, digest: digestOf(token) })
  }
  if (tokens.length === 0) throw new Error('there is no token in it')
  return tokens
}

/** What is wrong with a line. The token is not shown, as messages go to the log. */
function problemOf(name: string, token: string, words: number, before: readonly Token[]): string | undefined {
  if (words !== 2) return `it has ${words} words: expected NAME TOKEN`
  if (!/^[\w.@-]{1,64}$/.test(name)) return 'expected a name of at most 64 letters, digits and . _ - @'
  if (!/^[!-~]+$/.test(token))
    return `the token of ${name} has characters that HTTP cannot carry: expected ASCII`
  if (token.length < MIN_TOKEN_LENGTH)
    return `the token of ${name} has ${token.length} characters: expected ${MIN_TOKEN_LENGTH} or more`
  if (before.some((other) => other.name === name)) return `there is another token of ${name}`
  return undefined
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** What changes when a file is written or replaced; empty when it cannot be found. */
function versionOf(path: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(path)
    return [ino, size, mtimeMs, ctimeMs].join(' ')
  } catch {
    return ''
  }
}
