// Both ends of an SMTP dialogue: a client that sends exactly what a scenario says, and a server that accepts all that
// the MTA under test passes on.

import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { connect as connectTls } from 'node:tls'
import type { Certificate } from './certificates.ts'
import type { DeliveredMessage } from './mta.ts'

export interface SmtpTarget {
  readonly host: string
  readonly port: number
  /** An address in 127.0.0.0/8, by which Sendmail knows the client. */
  readonly localAddress?: string
}

/**
 * Attributes of Postfix's XCLIENT; `[UNAVAILABLE]` and `[TEMPUNAVAIL]` are values too. Attributes that are not given
 * stay as they were, such as the REVERSE_NAME of an earlier NAME. An IPv6 ADDR begins with `IPV6:`.
 */
export type XclientAttributes = Partial<
  Record<
    'NAME' | 'ADDR' | 'PORT' | 'PROTO' | 'HELO' | 'LOGIN' | 'REVERSE_NAME' | 'DESTADDR' | 'DESTPORT',
    string
  >
>

/**
 * One SMTP session. A reply is its whole text, with lines joined by \n. A method that awaits a reply rejects when the
 * server closes the connection, or sends nothing for a minute.
 */
export interface SmtpClient {
  readonly greeting: string
  /** Sends a line as UTF-8, and returns the reply. */
  command(line: string): Promise<string>
  /** Sends lines in one piece and returns their replies. */
  pipeline(lines: readonly string[]): Promise<string[]>
  ehlo(name?: string): Promise<string>
  /** Claims to be another client and sends EHLO again. Returns the reply to EHLO, or to XCLIENT if that was refused. */
  xclient(attributes: XclientAttributes): Promise<string>
  authCramMd5(user: string, password: string): Promise<string>
  /** Starts TLS, with a client certificate if one is given, and sends EHLO again. Returns the reply to EHLO. */
  startTls(certificate?: Certificate): Promise<string>
  /** Sends DATA and a message: text with any line ends, or bytes with CRLF. Returns the last reply. */
  data(message: string | Buffer): Promise<string>
  quit(): Promise<string>
  /** Drops the connection without QUIT. */
  close(): void
}

const replyTimeout = 60_000

/** Connects, and waits for any greeting. */
export async function connect(target: SmtpTarget): Promise<SmtpClient> {
  const { host, port, localAddress } = target
  let socket: Socket = createConnection({ noDelay: true, host, port, ...(localAddress && { localAddress }) })
  let lines = lineReader(socket)
  let heloName = 'client.test'

  const reply = async (): Promise<string> => {
    const replied: string[] = []
    for (;;) {
      const line = await lines.next()
      replied.push(line)
      if (!/^\d{3}-/.test(line)) return replied.join('\n')
    }
  }
  const command = (line: string) => {
    socket.write(`${line}\r\n`)
    return reply()
  }
  const ehlo = (name = heloName) => {
    heloName = name
    return command(`EHLO ${name}`)
  }

  return {
    greeting: await reply(),
    command,
    pipeline: async (commands) => {
      socket.write(commands.map((line) => `${line}\r\n`).join(''))
      const replies: string[] = []
      for (const _ of commands) replies.push(await reply())
      return replies
    },
    ehlo,
    xclient: async (attributes) => {
      const claims = Object.entries(attributes).map(([name, value]) => `${name}=${xtext(value)}`)
      const answer = await command(`XCLIENT ${claims.join(' ')}`)
      return answer.startsWith('220') ? ehlo() : answer
    },
    authCramMd5: async (user, password) => {
      const challenge = await command('AUTH CRAM-MD5')
      if (!challenge.startsWith('334 ')) return challenge
      const digest = createHmac('md5', password)
        .update(Buffer.from(challenge.slice(4), 'base64'))
        .digest('hex')
      return command(Buffer.from(`${user} ${digest}`).toString('base64'))
    },
    startTls: async (certificate) => {
      const answer = await command('STARTTLS')
      if (!answer.startsWith('220')) return answer
      lines.detach()
      // The test does not check the server's certificate.
      socket = connectTls({ socket, rejectUnauthorized: false, ...certificate })
      await once(socket, 'secureConnect')
      lines = lineReader(socket)
      return ehlo()
    },
    data: async (message) => {
      const answer = await command('DATA')
      if (!answer.startsWith('354')) return answer
      socket.write(asData(message))
      return reply()
    },
    quit: async () => {
      const answer = await command('QUIT')
      socket.end()
      return answer
    },
    close: () => socket.destroy(),
  }
}

// In latin1 each byte is a character, so that text functions work on any bytes.
function asData(message: string | Buffer): Buffer {
  const text =
    typeof message === 'string'
      ? Buffer.from(message.replace(/\r?\n/g, '\r\n')).toString('latin1')
      : message.toString('latin1')
  const lines = text.replace(/(^|\n)\./g, '$1..')
  return Buffer.from(`${lines}${lines.endsWith('\r\n') ? '' : '\r\n'}.\r\n`, 'latin1')
}

// XCLIENT values are xtext (RFC 3461 section 4): anything but plain ASCII as + and two digits.
function xtext(value: string): string {
  return Array.from(Buffer.from(value), (byte) =>
    byte > 32 && byte < 127 && byte !== 43 && byte !== 61
      ? String.fromCharCode(byte)
      : `+${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')
}

interface LineReader {
  /** Resolves to the next line; rejects when there can be none. */
  next(): Promise<string>
  /** Stops reading, so that another reader can use the socket. */
  detach(): void
}

function lineReader(socket: Socket): LineReader {
  const lines: string[] = []
  let failure: Error | undefined
  let wake = () => {}
  const end = (error: Error) => {
    failure ??= error
    wake()
  }
  socket.on('error', end)
  socket.on('close', () => end(new Error('The server closed the connection')))
  const reader = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
  reader.on('line', (line) => {
    lines.push(line)
    wake()
  })
  // The reader passes on errors of its input, as when Sendmail resets a TLS connection after QUIT.
  reader.on('error', end)
  const next = async () => {
    const deadline = setTimeout(
      () => end(new Error(`The server said nothing for ${replyTimeout} ms`)),
      replyTimeout,
    )
    try {
      for (;;) {
        const line = lines.shift()
        if (line !== undefined) return line
        if (failure !== undefined) throw failure
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      clearTimeout(deadline)
    }
  }
  return { next, detach: () => reader.close() }
}

/** A server that accepts every message and keeps it. */
export interface Sink {
  readonly port: number
  readonly messages: readonly DeliveredMessage[]
  close(): Promise<void>
}

/** Starts a sink on a free loopback port. */
export async function startSink(): Promise<Sink> {
  const messages: DeliveredMessage[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // A client that drops the connection has sent all that it had.
    socket.on('error', () => socket.destroy())
    receive(socket, (message) => messages.push(message))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // The address of a listening TCP server is never a path.
  const { port } = server.address() as AddressInfo
  return {
    port,
    messages,
    close: async () => {
      if (!server.listening) return
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

// With these extensions a message arrives unchanged; without 8BITMIME an MTA would recode the body.
const extensions =
  '250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n'

function receive(socket: Socket, keep: (message: DeliveredMessage) => void): void {
  let text = ''
  let from = ''
  let to: string[] = []
  let inData = false

  const takeLine = (line: string) => {
    const address = /<(.*)>/.exec(Buffer.from(line, 'latin1').toString())?.[1] ?? ''
    switch (line.slice(0, 4).toUpperCase()) {
      case 'EHLO':
        return socket.write(extensions)
      case 'MAIL':
        from = address
        to = []
        return socket.write('250 2.1.0 Ok\r\n')
      case 'RCPT':
        to.push(address)
        return socket.write('250 2.1.5 Ok\r\n')
      case 'DATA':
        inData = true
        return socket.write('354 Go ahead\r\n')
      case 'QUIT':
        return socket.end('221 2.0.0 Bye\r\n')
      default:
        return socket.write('250 2.0.0 Ok\r\n')
    }
  }
  const takeMessage = (dotted: string) => {
    inData = false
    const data = dotted.replace(/(^|\r\n)\./g, '$1')
    const headerEnd = data.indexOf('\r\n\r\n')
    keep({
      from,
      to,
      data: Buffer.from(data, 'latin1'),
      body: Buffer.from(headerEnd < 0 ? '' : data.slice(headerEnd + 4), 'latin1'),
    })
    socket.write('250 2.0.0 Ok\r\n')
  }

  socket.write('220 sink.test ESMTP\r\n')
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    for (;;) {
      const terminator = inData ? '\r\n.\r\n' : '\r\n'
      const end = text.indexOf(terminator)
      if (end < 0) return
      // The line end before the dot belongs to the message.
      const piece = text.slice(0, inData ? end + 2 : end)
      text = text.slice(end + terminator.length)
      if (inData) takeMessage(piece)
      else takeLine(piece)
    }
  })
}
