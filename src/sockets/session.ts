// What the sockets know of a protocol: a session takes the bytes of one connection, and answers through its peer. Which
// protocol that is, its door says.

/**
 * What a connection waits for: `us` to answer, the MTA to complete a `frame` or send its first, the MTA as `reader` of
 * our replies, or its next command, within a `transaction` or outside (`idle`).
 */
export type Waiting = 'us' | 'frame' | 'reader' | 'transaction' | 'idle'

/** One connection's protocol. Its owner feeds it with chunks; replies and reports go out through the peer. */
export interface Session {
  /** Estimated memory that the session keeps, in bytes. */
  readonly held: number
  /** A count that grows while the MTA sends commands or takes replies: if it stands still, the MTA stalls. */
  readonly progress: number
  readonly waiting: Waiting
  /** Takes bytes from the socket, cut anywhere. */
  receive(chunk: Buffer): void
  /** The owner calls this when the MTA has closed its half of the connection, and may still read. */
  inputOver(): void
  /** The owner calls this when the MTA has taken the replies that were waiting. */
  replied(): void
  /** The owner calls this when the socket is closed. */
  disconnected(): void
  /** Ends the connection unless a message is under way, or an answer is still awaited or not taken by the MTA. */
  endIfIdle(): void
}

/** What a session needs of its socket. `Fault` are the kinds of faults that its protocol has. */
export interface Peer<Fault extends string> {
  /** False if the MTA does not take its replies; nothing more is sent until the owner calls `replied`. */
  send(bytes: Buffer): boolean
  /** Ends the connection; the session sends nothing more. */
  end(): void
  /** Reports that the MTA broke the protocol, and closes the connection at once. */
  fail(kind: Fault, reason: string): void
  /** Reports that the MTA reached a limit at which the connection goes on. */
  exceeded(kind: Fault, reason: string): void
  pause(): void
  resume(): void
  /** Calls `action` once other connections have had their turn. */
  later(action: () => void): void
}

/** Begins the protocol on a new connection. */
export type NewSession<Fault extends string> = (peer: Peer<Fault>) => Session
