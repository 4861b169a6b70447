// Makes new cases from old ones: commands that real MTAs sent are left out, doubled, exchanged or made up, lengths are
// wrong, and strings that no MTA sends and random bytes are put in.

import { encodeCommand } from '../../src/milter/command.ts'
import { readCaptures } from '../support/captures.ts'
import type { Case, Random } from './case.ts'
import { SETTINGS } from './target.ts'

/** The connections of the real MTAs. */
export const SEEDS: ReadonlyArray<readonly Buffer[]> = ['postfix.txt', 'sendmail.txt'].flatMap((file) =>
  readCaptures(file).flatMap(({ connections }) => connections),
)

const PACKETS = SEEDS.flat()
const COMMANDS = 'ODCHMRTLNBEAQKU'

const STRINGS: readonly string[] = [
  '',
  '<>',
  '<a@b.test>',
  '<u@example.com>',
  '<postmaster>',
  '<"a b"@c>',
  '<"x\r\n250 ok"@y>',
  '5.7.1 x@y',
  '<5.1.1>',
  '%s%n%',
  '@',
  '<@a,@b:c@d>',
  '<prvs=0123456789=a@b.test>',
  '<a+b=c.d@e>',
  'SIZE=100',
  '127.0.0.1',
  'IPv6:2001:db8::1',
  '2001:db8::7',
  '999.1.1.1',
  '[1.2.3.4]',
  'unknown',
  'mail.example.org',
  'dsl-1-2-3-4.dyn.example',
  '\udcff\udcfe',
  'ю@пример.test',
  '\ud800',
  '__proto__',
  '{i}',
  'i',
  'j',
  '_',
  'x'.repeat(300),
  'x'.repeat(5000),
  ' '.repeat(5000),
  `<${'a='.repeat(2000)}@b>`,
  `${'"'.repeat(2000)}`,
  'OK',
]

const RUBBISH: readonly Buffer[] = [
  Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  Buffer.from('160301020001', 'hex'),
  Buffer.from('EHLO x\r\n'),
  Buffer.alloc(4),
  Buffer.from('ffffffff', 'hex'),
  Buffer.from('00100000', 'hex'),
  Buffer.from('00100001', 'hex'),
  Buffer.from('0000000158', 'hex'),
]

/** A case that has only what real MTAs sent. */
export function freshCase(random: Random): Case {
  const lanes = Array.from({ length: 1 + random.below(3) }, () => random.pick(SEEDS))
  return { settings: random.below(SETTINGS.length), lanes, schedule: random.seed() }
}

export function mutate(parent: Case, random: Random): Case {
  const lanes = parent.lanes.map((packets) => [...packets])
  for (let count = 1 + random.below(4); count > 0; count -= 1) mutatePackets(random.pick(lanes), random)
  if (random.chance(0.1) && lanes.length < 4) lanes.push([...random.pick(SEEDS)])
  if (random.chance(0.1) && lanes.length > 1) lanes.splice(random.below(lanes.length), 1)
  return {
    settings: random.chance(0.2) ? random.below(SETTINGS.length) : parent.settings,
    lanes,
    schedule: random.chance(0.7) ? random.seed() : parent.schedule,
  }
}

/** Longest connection that is made, in bytes, as mutations of mutations would grow without end. */
const MAX_CONNECTION_BYTES = 100_000

function mutatePackets(packets: Buffer[], random: Random): void {
  const at = random.below(packets.length + 1)
  const packet = packets[at] ?? random.pick(PACKETS)
  switch (random.below(12)) {
    case 0:
      packets.splice(at, 1 + random.below(3))
      break
    case 1:
      packets.splice(at, 0, random.pick(PACKETS))
      break
    case 2: {
      const copies = random.chance(0.1) ? 300 : 1 + random.below(5)
      packets.splice(at, 0, ...Array<Buffer>(copies).fill(packet))
      break
    }
    case 3:
      packets.splice(random.below(packets.length + 1), 0, ...packets.splice(at, 1))
      break
    case 4:
      packets[at] = madeUp(random)
      break
    case 5:
      packets[at] = flipped(packet, random)
      break
    case 6:
      packets[at] = withLength(packet, random)
      break
    case 7:
      packets[at] = frame(random.pick([...COMMANDS]), packet.subarray(5))
      break
    case 8:
      packets[at] = frame(code(packet), payload(packet).subarray(0, random.below(packet.length)))
      break
    case 9:
      packets[at] = withString(packet, random)
      break
    case 10:
      packets.splice(at, 0, random.chance(0.3) ? random.pick(RUBBISH) : madeUp(random))
      break
    default:
      packets.splice(
        0,
        packets.length,
        ...packets.slice(0, at),
        ...random.pick(SEEDS).slice(random.below(20)),
      )
  }
  let length = 0
  const end = packets.findIndex((one) => {
    length += one.length
    return length > MAX_CONNECTION_BYTES
  })
  if (end !== -1) packets.splice(end)
}

function madeUp(random: Random): Buffer {
  const string = () => random.pick(STRINGS)
  switch (random.below(9)) {
    case 0:
      return encodeCommand({
        kind: 'OPTNEG',
        offer: {
          version: random.pick([0, 1, 2, 3, 4, 5, 6, 7, 2 ** 32 - 1]),
          actions: random.pick([0, 1, 0x1ff, random.seed()]),
          steps: random.pick([0, 0x1fffff, random.seed(), 2 ** 32 - 1]),
        },
      })
    case 1: {
      const names = ['i', 'j', '_', 'v', 'auth_authen', 'auth_type', 'client_resolve', 'verify', string()]
      const macros = Array.from(
        { length: random.chance(0.1) ? 200 : random.below(6) },
        () => [random.pick(names), string()] as const,
      )
      const stage = random.pick(['CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'BODYEOB', 'ABORT'] as const)
      return encodeCommand({ kind: 'MACRO', stage, macros })
    }
    case 2: {
      const family = random.pick(['inet', 'inet6', 'unix', 'unknown'] as const)
      return encodeCommand({
        kind: 'CONNECT',
        connection: { hostName: string(), family, port: 25, address: string() },
      })
    }
    case 3:
      return encodeCommand({ kind: 'HELO', name: string() })
    case 4:
      return encodeCommand({
        kind: 'MAIL',
        address: string(),
        parameters: random.chance(0.5) ? [string()] : [],
      })
    case 5:
    case 6:
      return encodeCommand({
        kind: 'RCPT',
        address: string(),
        parameters: random.chance(0.2) ? [string()] : [],
      })
    case 7:
      return frame(random.pick([...COMMANDS]), bytes(random.below(30), random))
    default:
      return frame(
        random.pick([...COMMANDS]),
        Buffer.alloc(random.below(random.chance(0.1) ? 70_000 : 500), 'a'),
      )
  }
}

function flipped(packet: Buffer, random: Random): Buffer {
  const changed = Buffer.from(packet)
  for (let count = 1 + random.below(3); count > 0 && changed.length > 0; count -= 1) {
    changed[random.below(changed.length)] = random.below(256)
  }
  return changed
}

function withLength(packet: Buffer, random: Random): Buffer {
  if (packet.length < 4) return packet
  const changed = Buffer.from(packet)
  const length = packet.readUInt32BE(0)
  const lies = [0, length - 1, length + 1, length + 5, 65_536, 65_537, 2 ** 20, 2 ** 31, 2 ** 32 - 1]
  changed.writeUInt32BE(Math.max(0, random.pick(lies)) % 2 ** 32)
  return changed
}

/** The frame with one of its strings replaced, and with the right length. */
function withString(packet: Buffer, random: Random): Buffer {
  const parts = payload(packet).toString('latin1').split('\0')
  parts[random.below(parts.length)] = Buffer.from(random.pick(STRINGS)).toString('latin1')
  return frame(code(packet), Buffer.from(parts.join('\0'), 'latin1'))
}

function code(packet: Buffer): string {
  return String.fromCharCode(packet[4] ?? 0)
}

function payload(packet: Buffer): Buffer {
  return packet.subarray(5)
}

function frame(character: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(1 + content.length)
  return Buffer.concat([length, Buffer.from(character, 'latin1'), content])
}

function bytes(count: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length: count }, () => random.below(256)))
}
