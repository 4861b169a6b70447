// Which node of a Cluster has which keys, and where nodes are that the Cluster names without a host.
//
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
// https://redis.io/docs/latest/commands/cluster-slots/

/** Number of hash slots of a Cluster. */
export const SLOTS = 16_384

const SLOT_NUMBERS = Array.from({ length: SLOTS }, (_, slot) => slot)

/** Polynomial of the CRC of the specification: CRC16-CCITT, as XMODEM has it. */
const POLYNOMIAL = 0x1021

const CRC = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1
  return crc
})

/** The hash slot of a key, by its hash tag if it has one. */
export function slotOf(name: string): number {
  const tag = /^[^{]*\{([^}]+)\}/.exec(name)?.[1] ?? name
  let crc = 0
  for (const byte of Buffer.from(tag)) crc = ((crc << 8) & 0xffff) ^ (CRC[(crc >> 8) ^ byte] ?? 0)
  return crc % SLOTS
}

/** A hash tag of a key in one of the slots for which `isWanted` holds; `undefined` when there is none. */
export function tagWithin(isWanted: (slot: number) => boolean): string | undefined {
  // Asking for each slot is cheap, and hashing is not: a node whose slots another has taken over costs nothing.
  if (!SLOT_NUMBERS.some(isWanted)) return undefined
  // Few numbers are tried where a node has its share of the slots; all slots have come up after some 200,000.
  for (let number = 0; number < 20 * SLOTS; number += 1) {
    if (isWanted(slotOf(String(number)))) return String(number)
  }
  return undefined
}

/**
 * Gives a host to the nodes of a reply to CLUSTER SLOTS that have none, as with `cluster-preferred-endpoint-type
 * unknown-endpoint`: they are at the address that was asked. `?` stands for a host name that is not set; such a node
 * is at the IP address that the reply has beside it. Changes `reply`.
 */
export function fillHosts(reply: unknown, asked: string): void {
  if (!Array.isArray(reply)) return
  for (const range of reply) {
    if (!Array.isArray(range)) continue
    for (const node of range.slice(2)) {
      if (!Array.isArray(node)) continue
      const host = String(node[0] ?? '')
      if (host === '') node[0] = asked
      else if (host === '?') node[0] = addressIn(node[3]) ?? asked
    }
  }
}

/** The IP address among the names and values that a reply has of a node. */
function addressIn(details: unknown): string | undefined {
  if (!Array.isArray(details)) return undefined
  const index = details.findIndex((name) => String(name) === 'ip')
  return index < 0 ? undefined : String(details[index + 1])
}

/** The text of a redirection, `MOVED SLOT HOST:PORT` or ASK, with the address that was asked where it has no host. */
export function fillRedirection(message: string, asked: string): string {
  return message.replace(/^((?:MOVED|ASK) \d+ )\??(?=:\d+$)/, (_, start: string) => start + asked)
}
