// Cuts the bytes of a database dump into tokens, whatever they are and in pieces of any size, and holds one token at a
// time. It knows the strings, names and comments of MySQL, PostgreSQL and SQLite, and the lines of PostgreSQL's COPY. What
// tokens mean is left to sql.ts.
// Source: MySQL 8.0 reference manual 9.1.1 (strings), 9.7 (comments); PostgreSQL 15 manual 4.1.2 (constants), COPY (text
// format); SQLite, "SQL As Understood By SQLite" (literals, comments).

import { decodeText } from '../../milter/text.ts'

/** Takes the tokens. */
export interface TokenSink {
  /** Whether the content of strings matters now; it is not decoded otherwise. */
  wantsText(): boolean
  /** A keyword, number or name without quotes. */
  word(text: string): void
  /** A string or a name in quotes; undefined when it is longer than MAX_TOKEN or does not matter. */
  quoted(text: string | undefined): void
  mark(mark: Mark): void
  /** The beginning of a comment. */
  comment(text: string): void
  /** Whether the lines of a COPY follow what has just ended. */
  beginsCopy(): boolean
  /** A line of COPY; undefined when it is longer than MAX_TOKEN. */
  copied(line: string | undefined): void
}

export type Mark = '(' | ')' | ',' | ';'

/** Longest token in bytes; an address has some 320 at most, and a row of COPY a few of them. */
const MAX_TOKEN = 16 * 1024
/** Most bytes of a comment that are looked at. */
const MAX_COMMENT = 256

/** What the next byte belongs to. */
type State =
  | 'none'
  | 'word'
  | 'dash'
  | 'slash'
  | 'line-comment'
  | 'block-comment'
  | 'string'
  | 'escape'
  | 'quote'
  | 'dollar-string'
  | 'copy'

const [TAB, NEWLINE, CARRIAGE_RETURN, SPACE] = [0x09, 0x0a, 0x0d, 0x20] as const
const [QUOTE, DOUBLE, BACKTICK, BACKSLASH] = [0x27, 0x22, 0x60, 0x5c] as const
const [OPEN, CLOSE, COMMA, SEMICOLON] = [0x28, 0x29, 0x2c, 0x3b] as const
const [DASH, SLASH, STAR, HASH, DOLLAR] = [0x2d, 0x2f, 0x2a, 0x23, 0x24] as const

/** What a backslash and one of these letters stand for in a string; it is taken away before any other. */
const ESCAPED: ReadonlyMap<number, number> = new Map(
  Object.entries({ n: 10, r: 13, t: 9, b: 8, f: 12, '0': 0, Z: 26 }).map(([letter, byte]) => [
    letter.charCodeAt(0),
    byte,
  ]),
)

/** A comment by which MySQL's and MariaDB's dumps can be told. */
const MYSQL_COMMENT = /^M?!|^ (?:MySQL|MariaDB) dump/

export class Tokenizer {
  readonly #sink: TokenSink
  readonly #token = Buffer.allocUnsafe(MAX_TOKEN)
  #length = 0
  #isTooLong = false
  #state: State = 'none'
  #quote = 0
  /** Whether a backslash escapes in all strings, as in MySQL's. */
  #isMysql = false
  /** Whether it escapes in this one. */
  #hasEscapes = false
  #isAfterStar = false
  /** What begins and ends a string of PostgreSQL in dollars, as $$ or $body$, and how much of its end is there. */
  #tag = Buffer.alloc(0)
  #matched = 0
  #line = 1

  constructor(sink: TokenSink) {
    this.#sink = sink
  }

  /** The number of the line that the latest token ends on. */
  get line(): number {
    return this.#line
  }

  push(chunk: Buffer): void {
    for (let index = 0; index < chunk.length; ) {
      const byte = chunk[index] ?? 0
      // A byte that ends a token without being a part of it is looked at again.
      if (!this.#take(byte)) continue
      if (byte === NEWLINE) this.#line += 1
      index += 1
    }
  }

  /** Ends a token that goes up to the end of the dump. Returns whether it is cut off. */
  end(): boolean {
    if (this.#state === 'word' || this.#state === 'quote') this.#take(SPACE)
    return this.#state !== 'none' && this.#state !== 'line-comment'
  }

  #take(byte: number): boolean {
    switch (this.#state) {
      case 'none':
        return this.#begin(byte)
      case 'word':
        return this.#takeOfWord(byte)
      case 'dash':
        return this.#takeAfterDash(byte)
      case 'slash':
        this.#state = byte === STAR ? 'block-comment' : 'none'
        return byte === STAR
      case 'line-comment':
        if (byte === NEWLINE) this.#endComment()
        else this.#add(byte, MAX_COMMENT)
        return true
      case 'block-comment':
        return this.#takeOfBlock(byte)
      case 'string':
        return this.#takeOfString(byte)
      case 'escape':
        this.#add(ESCAPED.get(byte) ?? byte)
        this.#state = 'string'
        return true
      case 'quote':
        return this.#takeAfterQuote(byte)
      case 'dollar-string':
        return this.#takeOfDollarString(byte)
      case 'copy':
        return this.#takeOfCopy(byte)
      default:
        return this.#state satisfies never
    }
  }

  #begin(byte: number): boolean {
    this.#length = 0
    this.#isTooLong = false
    switch (byte) {
      case SPACE:
      case TAB:
      case NEWLINE:
      case CARRIAGE_RETURN:
        return true
      case QUOTE:
      case DOUBLE:
      case BACKTICK:
        this.#beginString(byte)
        return true
      case OPEN:
      case CLOSE:
      case COMMA:
      case SEMICOLON:
        this.#sink.mark(String.fromCharCode(byte) as Mark)
        if (byte === SEMICOLON && this.#sink.beginsCopy()) this.#state = 'copy'
        return true
      case DASH:
        this.#state = 'dash'
        return true
      case SLASH:
        this.#state = 'slash'
        return true
      case HASH:
        this.#state = 'line-comment'
        return true
      default:
        this.#state = 'word'
        return false
    }
  }

  #beginString(quote: number): void {
    if (quote === BACKTICK) this.#isMysql = true
    this.#quote = quote
    this.#hasEscapes = this.#isMysql && quote !== BACKTICK
    this.#state = 'string'
  }

  #takeOfWord(byte: number): boolean {
    const isEnd =
      byte <= SPACE ||
      (byte >= OPEN && byte <= CLOSE) ||
      byte === COMMA ||
      byte === SEMICOLON ||
      byte === QUOTE ||
      byte === DOUBLE ||
      byte === BACKTICK
    if (!isEnd) {
      this.#add(byte)
      if (byte === DOLLAR && !this.#isMysql) this.#beginDollarString()
      return true
    }
    const word = this.#text() ?? ''
    this.#state = 'none'
    this.#sink.word(word)
    if (byte === QUOTE && /^e$/i.test(word)) {
      this.#begin(byte)
      this.#hasEscapes = true
      return true
    }
    // A control character would be the beginning of a word, and its end.
    return byte < SPACE && byte !== NEWLINE
  }

  #takeAfterDash(byte: number): boolean {
    if (byte === DASH) {
      this.#state = 'line-comment'
      return true
    }
    this.#add(DASH)
    this.#state = 'word'
    return false
  }

  #takeOfBlock(byte: number): boolean {
    if (byte === SLASH && this.#isAfterStar) this.#endComment()
    else this.#add(byte, MAX_COMMENT)
    this.#isAfterStar = byte === STAR
    return true
  }

  #endComment(): void {
    const text = this.#token.toString('latin1', 0, this.#length)
    if (MYSQL_COMMENT.test(text)) this.#isMysql = true
    this.#state = 'none'
    this.#sink.comment(text)
  }

  #takeOfString(byte: number): boolean {
    if (byte === this.#quote) this.#state = 'quote'
    else if (byte === BACKSLASH && this.#hasEscapes) this.#state = 'escape'
    else this.#add(byte)
    return true
  }

  /** A quote within a string is written twice. */
  #takeAfterQuote(byte: number): boolean {
    if (byte === this.#quote) {
      this.#add(byte)
      this.#state = 'string'
      return true
    }
    this.#state = 'none'
    this.#sink.quoted(this.#sink.wantsText() ? this.#text() : undefined)
    return false
  }

  #beginDollarString(): void {
    if (!/^\$(?:[a-z_]\w*)?\$$/i.test(this.#text() ?? '')) return
    this.#tag = Buffer.from(this.#token.subarray(0, this.#length))
    this.#matched = 0
    this.#state = 'dollar-string'
  }

  /** A tag has dollars at its ends alone, so that it can begin anew only at a dollar. */
  #takeOfDollarString(byte: number): boolean {
    if (byte === this.#tag[this.#matched]) this.#matched += 1
    else this.#matched = byte === DOLLAR ? 1 : 0
    if (this.#matched < this.#tag.length) return true
    this.#state = 'none'
    this.#sink.quoted(undefined)
    return true
  }

  #takeOfCopy(byte: number): boolean {
    if (byte !== NEWLINE) {
      this.#add(byte)
      return true
    }
    const line = this.#text()?.replace(/\r$/, '')
    this.#length = 0
    this.#isTooLong = false
    if (line === '\\.') this.#state = 'none'
    // What follows the ; is no line of the table.
    else if (line !== '') this.#sink.copied(line)
    return true
  }

  #add(byte: number, limit = MAX_TOKEN): void {
    if (this.#length < limit) {
      this.#token[this.#length] = byte
      this.#length += 1
    } else this.#isTooLong = true
  }

  #text(): string | undefined {
    return this.#isTooLong ? undefined : decodeText(this.#token, 0, this.#length)
  }
}
