// Zones whose SPF records cost those who look them up much work, waiting or questions. Every message has a domain of
// its own in its zone, `RANDOM.ZONE.example`, or a registrable domain of its own, `RANDOM-ZONE.example`. All names that
// its records lead to are below that domain, so that no answer can come from a cache.

import type { DnsRecord, Rcode } from './dns-message.ts'

/** The server's reaction to a question. */
export type Reaction =
  | { readonly kind: 'answer'; readonly rcode: Rcode; readonly records: readonly DnsRecord[] }
  /** No answer ever comes. */
  | { readonly kind: 'silence' }
  /** The reply has the right id and is no DNS message. */
  | { readonly kind: 'garbage' }
  /** The answer has the id of another question. */
  | { readonly kind: 'wrong-id' }
  /** UDP sends the client to TCP, which sends half of the answer and then nothing more. */
  | { readonly kind: 'half'; readonly records: readonly DnsRecord[] }

export interface HostileZone {
  readonly name: string
  readonly meaning: string
  /** The local part of senders, if it matters. */
  readonly local?: string
  /** Delay of each reaction, in milliseconds. */
  readonly delay?: number
  /** Whether its mail waits for DNS rather than for greymx. */
  readonly isSlow?: true
  /** The reaction to a question for `type`; `below` is the part of the name below `base`, the sender's domain. */
  react(question: { readonly below: string; readonly base: string; readonly type: string }): Reaction
}

const NOTHING: Reaction = { kind: 'answer', rcode: 'NXDOMAIN', records: [] }
const NO_DATA: Reaction = { kind: 'answer', rcode: 'NOERROR', records: [] }
const SILENCE: Reaction = { kind: 'silence' }

/** The record of the plain zone, as many domains have it; it passes none of the clients used here. */
const PLAIN_RECORD = 'v=spf1 ip4:192.0.2.0/24 -all'

/** Terms of some 4,000 characters that match nobody. */
const FILLER = networks(0, 4000 - 300)

/** Matches reversed addresses of hostile mail: 20.0.0.0/8 and 2a00::/16. */
const OWN_CLIENT = /(?:\.20|\.0\.0\.a\.2)\.e$/

const LONG_LOCAL = 'a.bb.ccc.dddd.eeeee.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.yz'

/** All zones in the order in which they are measured; the plain one is the first. */
export const HOSTILE_ZONES: readonly HostileZone[] = [
  zone('plain', 'one short record', () => txt(PLAIN_RECORD)),
  zone('deep', 'nine includes, each of nine more, 4 kB each', ({ below, base }) =>
    txt(`v=spf1 ${includes(below, base, 9)} ${FILLER} ?all`),
  ),
  zone('deeppass', 'nine includes of 4 kB, then +all', ({ below, base }) =>
    below === '' ? txt(`v=spf1 ${includes(below, base, 9)} ${FILLER} +all`) : txt(`v=spf1 ${FILLER} ?all`),
  ),
  zone('halves', 'nine includes of 4 kB, then both halves of all addresses', ({ below, base }) =>
    below === ''
      ? txt(`v=spf1 ${includes(below, base, 9)} ip4:0.0.0.0/1 ip4:128.0.0.0/1 ip6:::/1 ip6:8000::/1 -all`)
      : txt(`v=spf1 ${FILLER} ?all`),
  ),
  zone('chain', 'includes one in the other without end, 4 kB each', ({ below, base }) =>
    txt(`v=spf1 include:${child('i', below, base)} ${FILLER} ?all`),
  ),
  zone('shared', 'nine includes that all senders share, 4 kB each', ({ below }) =>
    below === ''
      ? txt(`v=spf1 ${times(9, (n) => `include:s${n}.rshared.shared.example`)} ?all`)
      : txt(`v=spf1 ${FILLER} ?all`),
  ),
  zone('long', 'one record of 4 kB', () => txt(`v=spf1 ${FILLER} -all`)),
  zone('longest', 'one record of 60 kB', () => txt(`v=spf1 ${networks(0, 59_000)} -all`)),
  zone('strings', 'one record in 4,000 strings of a character', () => ({
    kind: 'answer',
    rcode: 'NOERROR',
    records: [{ type: 'TXT', strings: [...`v=spf1 ${FILLER} -all`] }],
  })),
  zone('manytxt', '400 other TXT records beside it', () => ({
    kind: 'answer',
    rcode: 'NOERROR',
    records: [
      ...range(400).map((n) => record(`site-verification=${n}-${'x'.repeat(90)}`)),
      record(PLAIN_RECORD),
    ],
  })),
  zone('manyspf', '100 SPF records at once', () => ({
    kind: 'answer',
    rcode: 'NOERROR',
    records: range(100).map((n) => record(`v=spf1 ip4:192.0.2.${n} -all`)),
  })),
  zone('terms', '1,900 terms of one character, all unknown or empty', () =>
    txt(`v=spf1 ${times(1900, () => 'a')} -all`),
  ),
  zone('exists', 'ten exists with macros, of which none is there', ({ below, base }) =>
    below === '' ? txt(`v=spf1 ${times(10, (n) => `exists:%{i}.%{l}.e${n}.${base}`)} -all`) : NOTHING,
  ),
  zone(
    'expand',
    'exists with macros by the hundred',
    ({ below, base }) =>
      below === ''
        ? txt(`v=spf1 ${times(10, (n) => `exists:${'%{s}%{i}%{h}%{d}'.repeat(22)}.e${n}.${base}`)} -all`)
        : NO_DATA,
    { local: LONG_LOCAL },
  ),
  zone(
    'macros',
    'includes with macros, each of more of them',
    ({ base }) =>
      txt(
        `v=spf1 ${times(10, (n) => `include:%{ir}.%{v}.%{l1r-}.%{d2}.m${n}.${base}`)} ${times(60, () => '-exists:%{l.-+}%{i}.%{h1}.%{d}')} ?all`,
      ),
    { local: LONG_LOCAL },
  ),
  zone('mx', 'ten MX hosts of 300 addresses', ({ below, base, type }) => {
    if (type === 'TXT') return txt('v=spf1 mx -all')
    if (type === 'MX') return hosts('MX', 10, below, base)
    return addresses(type, 300)
  }),
  zone('mxmany', '300 MX hosts', ({ below, base, type }) => {
    if (type === 'TXT') return txt('v=spf1 mx -all')
    if (type === 'MX') return hosts('MX', 300, below, base)
    return addresses(type, 10)
  }),
  zone('mxmx', 'ten mx of ten hosts', ({ below, base, type }) => {
    if (type === 'TXT') return txt(`v=spf1 ${times(10, (n) => `mx:d${n}.${base}`)} -all`)
    if (type === 'MX') return hosts('MX', 10, below, base)
    return addresses(type, 100)
  }),
  zone('a', 'one host of 2,000 addresses', ({ type }) =>
    type === 'TXT' ? txt('v=spf1 a -all') : addresses(type, 2000),
  ),
  zone('aten', 'ten hosts of 2,000 addresses', ({ base, type }) =>
    type === 'TXT' ? txt(`v=spf1 ${times(10, (n) => `a:h${n}.${base}`)} -all`) : addresses(type, 2000),
  ),
  zone('ptr', 'ten ptr, and thirty names for each client', ({ base, type }) =>
    type === 'TXT' ? txt(`v=spf1 ${times(10, (n) => `ptr:p${n}.${base}`)} -all`) : addresses(type, 100),
  ),
  zone('redirect', 'redirects without end, 4 kB each', ({ below, base }) =>
    txt(`v=spf1 ${FILLER} redirect=${child('r', below, base)}`),
  ),
  zone('redirectself', 'a redirect to itself', ({ base }) => txt(`v=spf1 ${FILLER} redirect=${base}`)),
  zone('includeself', 'ten includes of itself', ({ base }) =>
    txt(`v=spf1 ${times(10, () => `include:${base}`)} ${FILLER} ?all`),
  ),
  zone('void', 'ten hosts that are not there', ({ below, base }) =>
    below === '' ? txt(`v=spf1 ${times(10, (n) => `a:v${n}.${base}`)} -all`) : NOTHING,
  ),
  zone('cname', 'chains of sixteen aliases at each name', ({ below, base, type }) => {
    if (type === 'TXT' && below === '') return txt(`v=spf1 ${times(10, (n) => `a:c${n}.${base}`)} -all`)
    const aliases = range(16).map((n): DnsRecord => {
      const owner = n === 0 ? `${below}.${base}` : `x${n - 1}.${base}`
      return { type: 'CNAME', owner, host: `x${n}.${base}` }
    })
    return { kind: 'answer', rcode: 'NOERROR', records: aliases }
  }),
  zone('cnameloop', 'an alias of itself', ({ below, base }) => ({
    kind: 'answer',
    rcode: 'NOERROR',
    records: [{ type: 'CNAME', host: below === '' ? base : `${below}.${base}` }],
  })),
  zone(
    'slow',
    'answers after 400 ms, five includes in each other',
    ({ below, base }) => txt(`v=spf1 include:${child('i', below, base)} ${FILLER} ?all`),
    { delay: 400, isSlow: true },
  ),
  zone('slower', 'answers after 1.4 s', ({ below, base }) => txt(`v=spf1 ${includes(below, base, 9)} ?all`), {
    delay: 1400,
    isSlow: true,
  }),
  zone('silent', 'no answers', () => SILENCE, { isSlow: true }),
  zone(
    'silentbelow',
    'a record whose ten hosts nobody answers for',
    ({ below, base }) => (below === '' ? txt(`v=spf1 ${times(10, (n) => `a:h${n}.${base}`)} -all`) : SILENCE),
    { isSlow: true },
  ),
  zone(
    'silentothers',
    'passes its own clients, and is silent about all others',
    ({ below, base }) => {
      if (below === '') return txt(`v=spf1 exists:%{ir}.e.${base} -all`)
      return OWN_CLIENT.test(below) ? addresses('A', 1) : SILENCE
    },
    { isSlow: true },
  ),
  zone('servfail', 'SERVFAIL for each of nine includes', ({ below, base }) =>
    below === ''
      ? txt(`v=spf1 ${includes(below, base, 9)} ?all`)
      : { kind: 'answer', rcode: 'SERVFAIL', records: [] },
  ),
  zone('refused', 'REFUSED for everything', () => ({ kind: 'answer', rcode: 'REFUSED', records: [] })),
  zone('garbage', 'answers that are none', () => ({ kind: 'garbage' }), { isSlow: true }),
  zone('wrongid', 'answers to the id of another question', () => ({ kind: 'wrong-id' }), { isSlow: true }),
  zone(
    'half',
    'half an answer over TCP',
    () => ({ kind: 'half', records: [record(`v=spf1 ${FILLER} -all`)] }),
    { isSlow: true },
  ),
]

/** A sender with a new domain in the zone; `isAlone` gives it a registrable domain of its own. */
export function hostileSender({ name, local = 'x' }: HostileZone, token: string, isAlone: boolean): string {
  return `${local}@${token}${isAlone ? '-' : '.'}${name}.example`
}

/** The zone of a name, the sender's domain that it is below, and the rest; `undefined` for a name in no zone. */
export function findZone(name: string): { zone: HostileZone; base: string; below: string } | undefined {
  const [, below = '', base = '', zoneName = ''] =
    /^(?:(.*)\.)?(r[a-z0-9]+[.-]([a-z]+)\.example)$/.exec(name) ?? []
  const found = BY_NAME.get(zoneName)
  return found && { zone: found, base, below }
}

const BY_NAME = new Map(HOSTILE_ZONES.map((each) => [each.name, each]))

function zone(
  name: string,
  meaning: string,
  react: HostileZone['react'],
  more: Pick<HostileZone, 'local' | 'delay' | 'isSlow'> = {},
): HostileZone {
  return { name, meaning, react, ...more }
}

function txt(text: string): Reaction {
  return { kind: 'answer', rcode: 'NOERROR', records: [record(text)] }
}

/** A TXT record in strings of the largest length. */
function record(text: string): DnsRecord {
  return { type: 'TXT', strings: text.match(/.{1,255}/gs) ?? [''] }
}

function hosts(type: 'MX' | 'PTR', count: number, below: string, base: string): Reaction {
  const records = range(count).map((n): DnsRecord => ({ type, host: child(`h${n}`, below, base) }))
  return { kind: 'answer', rcode: 'NOERROR', records }
}

/** An answer with `count` addresses that no client has. */
function addresses(type: string, count: number): Reaction {
  if (type !== 'A' && type !== 'AAAA') return NO_DATA
  const records = range(count).map(
    (n): DnsRecord => ({
      type,
      address: type === 'A' ? `192.0.${2 + (n >> 8)}.${n & 255}` : `2001:db8:ffff:0:0:0:0:${n.toString(16)}`,
    }),
  )
  return { kind: 'answer', rcode: 'NOERROR', records }
}

function includes(below: string, base: string, count: number): string {
  return times(count, (n) => `include:${child(`i${n}`, below, base)}`)
}

function child(label: string, below: string, base: string): string {
  return below === '' ? `${label}.${base}` : `${label}.${below}.${base}`
}

/** Alternating `ip4` and `ip6` terms of unused networks, up to `length` characters. */
function networks(from: number, length: number): string {
  let text = ''
  for (let n = from; text.length < length; n += 1)
    text += `ip4:192.0.${2 + ((n >> 8) & 127)}.${n & 255} ip6:2001:db8:ffff:${n.toString(16)}::/64 `
  return text.trimEnd()
}

function times(count: number, make: (n: number) => string): string {
  return range(count).map(make).join(' ')
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n)
}
