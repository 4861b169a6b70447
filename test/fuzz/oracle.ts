// Works out, from all bytes that were sent on a connection, what it must have been answered: one reply for each command
// that awaits one, of a kind that is allowed there, and nothing after what closes the connection.

import { STEPS } from '../../src/milter/codes.ts'
import { type Command, decodeCommand } from '../../src/milter/command.ts'

export interface Expected {
  /** The allowed letters of each reply, in order: `O`, `c`, a verdict `cty`, or the end of message `hc`. */
  readonly replies: readonly string[]
  /** Whether the bytes end the connection, by QUIT or by a fault. */
  readonly closes: boolean
  /** Whether the bytes end within a message; a refused MAIL begins none. */
  readonly message: 'none' | 'open' | 'unless-refused'
  /** The states and commands in order, by which the fuzzer sees whether a case shows something new. */
  readonly trace: readonly string[]
}

type State = 'new' | 'negotiated' | 'connected' | 'transaction'

/** The states in which a command may come; QUIT may come in all. */
const LEGAL: { readonly [kind in Command['kind']]: readonly State[] } = {
  OPTNEG: ['new'],
  MACRO: ['negotiated', 'connected', 'transaction'],
  ABORT: ['negotiated', 'connected', 'transaction'],
  QUIT_NC: ['negotiated', 'connected', 'transaction'],
  CONNECT: ['negotiated'],
  HELO: ['connected', 'transaction'],
  MAIL: ['connected', 'transaction'],
  UNKNOWN: ['connected', 'transaction'],
  RCPT: ['transaction'],
  DATA: ['transaction'],
  HEADER: ['transaction'],
  EOH: ['transaction'],
  BODY: ['transaction'],
  BODYEOB: ['transaction'],
  QUIT: ['new', 'negotiated', 'connected', 'transaction'],
}

const REPLIES: { readonly [kind in Command['kind']]?: readonly [noReplyStep: number, letters: string] } = {
  OPTNEG: [0, 'O'],
  CONNECT: [STEPS.NR_CONN, 'c'],
  HELO: [STEPS.NR_HELO, 'c'],
  MAIL: [STEPS.NR_MAIL, 'cty'],
  RCPT: [STEPS.NR_RCPT, 'cty'],
  DATA: [STEPS.NR_DATA, 'cty'],
  HEADER: [STEPS.NR_HDR, 'c'],
  EOH: [STEPS.NR_EOH, 'c'],
  BODY: [STEPS.NR_BODY, 'c'],
  UNKNOWN: [STEPS.NR_UNKN, 'c'],
  BODYEOB: [0, 'hc'],
}

/** What is expected for `stream`; `steps` are those of the filter's answer to the offer. */
export function expectedOf(stream: Buffer, steps: number, longest: number): Expected {
  const replies: string[] = []
  const trace: string[] = []
  let state: State = 'new'
  let before = ''
  let lastReplied: Command['kind'] | undefined
  const closed = (how: string): Expected => {
    trace.push(`${before} ${state} ${how}`)
    return { replies, trace, closes: true, message: 'none' }
  }
  for (let at = 0; at + 4 <= stream.length; ) {
    const length = stream.readUInt32BE(at)
    if (length === 0 || length > longest) return closed('length')
    if (at + 4 + length > stream.length) break
    const command = decodeCommand(stream.subarray(at + 4, at + 4 + length))
    at += 4 + length
    if (command.kind === 'malformed') return closed(command.reason)
    if (!LEGAL[command.kind].includes(state)) return closed(command.kind)
    trace.push(`${before} ${state} ${command.kind}`)
    if (command.kind === 'OPTNEG' && command.offer.version < 2) return closed('version')
    if (command.kind === 'QUIT') return closed('QUIT')
    const [noReplyStep, letters] = REPLIES[command.kind] ?? [0, '']
    if (letters !== '' && (steps & noReplyStep) === 0) {
      replies.push(letters)
      lastReplied = command.kind
    }
    state = nextState(state, command.kind)
    before = command.kind
  }
  const message = state !== 'transaction' ? 'none' : lastReplied === 'MAIL' ? 'unless-refused' : 'open'
  return { replies, trace, closes: false, message }
}

function nextState(state: State, kind: Command['kind']): State {
  if (kind === 'OPTNEG' || kind === 'QUIT_NC') return 'negotiated'
  if (kind === 'CONNECT') return 'connected'
  if (kind === 'MAIL') return 'transaction'
  if (state === 'transaction' && (kind === 'ABORT' || kind === 'BODYEOB')) return 'connected'
  return state
}

/**
 * A reply's text: printable, each line with a code of 400 to 459 but not 421, and an enhanced code of class 4 or none.
 */
const TEMPORARY = /^(?!421)4[0-5]\d[- ](?:4\.\d{1,3}\.\d{1,3} |(?!\d\.\d+\.\d+))[\x20-\x7e]*$/

/**
 * The fault in the frames that came in reply, or `undefined`. If the connection did not last until the end, some may be
 * missing; there may never be too many.
 */
export function faultOf(frames: readonly Buffer[], expected: Expected, lasted: boolean): string | undefined {
  let at = 0
  for (const frame of frames) {
    const letter = String.fromCharCode(frame[0] ?? 0)
    const allowed = expected.replies[at]
    if (allowed === undefined) return `reply ${at + 1} is one too many: ${frame.toString('latin1')}`
    if (!allowed.includes(letter)) return `reply ${at + 1} is ${letter}, expected one of ${allowed}`
    if (letter === 'h') {
      if (!/^hX-Greylist\0[\x20-\x7e]+\0$/.test(frame.toString('latin1')))
        return 'a header that is none of ours'
      continue
    }
    if (letter === 'y') {
      const text = frame.toString('latin1', 1)
      if (!text.endsWith('\0')) return 'a reply text that does not end in NUL'
      for (const line of text.slice(0, -1).split('\r\n')) {
        if (!TEMPORARY.test(line)) return `a reply that is not temporary: ${JSON.stringify(line)}`
      }
    } else if (letter !== 'O' && frame.length !== 1) return `reply ${letter} of ${frame.length} bytes`
    at += 1
  }
  if (lasted && at < expected.replies.length) return `${at} replies, expected ${expected.replies.length}`
  return undefined
}
