// Draws two panels as SVG: the delay of wanted mail against the spam that passed, a point for each variant, and how much
// mail comes later than a time, a line for each. Each variant has a marker and a dash of its own and its name beside it,
// so that the picture needs no colour.

import { DISTRIBUTION_TIMES, shareOf } from './figures.ts'
import { formatDelay, headingsOf, type Variant } from './table.ts'

const WIDTH = 1080
const HEIGHT = 480
const PANEL = { top: 60, bottom: 410, height: 350 } as const
const LEFT_PANEL = { left: 70, right: 470 } as const
const RIGHT_PANEL = { left: 590, right: 850 } as const
const FONT_SIZE = 12
const LINE_HEIGHT = 15

/** Colours that people with any colour vision tell apart (Okabe and Ito); those of a variant are never alone. */
const COLOURS = ['#000000', '#d55e00', '#0072b2', '#009e73', '#cc79a7', '#8a6d00', '#56b4e9', '#666666']
const DASHES = ['', '8 3', '2 3', '10 3 2 3', '5 5', '14 4', '1 2', '8 3 2 3 2 3']

/** Paths of markers around 0,0, some 10 wide. */
const MARKERS = [
  'M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z',
  'M-5,-5h10v10h-10z',
  'M0,-6l6,11h-12z',
  'M0,-7l6,7l-6,7l-6,-7z',
  'M0,6l6,-11h-12z',
  'M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z',
  'M0,-7l2,5h5l-4,3l2,6l-5,-4l-5,4l2,-6l-4,-3h5z',
  'M-6,-3l3,-3h6l3,3v6l-3,3h-6l-3,-3z',
]

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** The picture of some variants. */
export function plot(variants: readonly Variant[], title: string): string {
  const { headings, legend } = headingsOf(variants)
  const height = HEIGHT + legend.length * LINE_HEIGHT
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="${FONT_SIZE}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(20, 24, title, 'font-size="15"'),
    ...scatter(variants, headings),
    ...distribution(variants, headings),
    ...legend.map((line, index) => text(LEFT_PANEL.left, HEIGHT + index * LINE_HEIGHT, line)),
    '</svg>',
    '',
  ].join('\n')
}

/** A function from values to places on an axis. */
type Scale = (value: number) => number

function logScale(min: number, max: number, from: number, to: number): Scale {
  const [low, high] = [Math.log(min), Math.log(max)]
  return (value) => {
    const clamped = Math.min(Math.max(value, min), max)
    return from + ((Math.log(clamped) - low) / (high - low)) * (to - from)
  }
}

function linearScale(max: number, from: number, to: number): Scale {
  return (value) => from + (value / max) * (to - from)
}

function scatter(variants: readonly Variant[], names: readonly string[]): string[] {
  const points = variants.map(({ figures }) => ({
    delay: figures.wanted.mean,
    spam: 100 * shareOf(figures.stoppable),
  }))
  const maxSpam = niceMax(Math.max(...points.map(({ spam }) => spam)))
  const delayAxis = delayAxisOf(points.map(({ delay }) => delay / MINUTE))
  const x: Scale = (delay) => delayAxis.scale(delay / MINUTE)
  const y = linearScale(maxSpam, PANEL.bottom, PANEL.top)
  const places = points.map(({ delay, spam }) => ({ x: x(delay), y: y(spam) }))
  const labels = placeLabels(places, names)
  return [
    ...frame(LEFT_PANEL),
    ...delayAxis.ticks.flatMap((tick) => tickBelow(x(tick * MINUTE), String(tick))),
    ...ticksOf(maxSpam).flatMap((tick) => tickBeside(LEFT_PANEL.left, y(tick), `${tick} %`)),
    text(
      (LEFT_PANEL.left + LEFT_PANEL.right) / 2,
      PANEL.bottom + 40,
      'mean delay of wanted mail, in minutes',
      'text-anchor="middle"',
    ),
    text(LEFT_PANEL.left, PANEL.top - 12, 'stoppable spam that passed'),
    ...names.flatMap((name, index) => {
      const place = places[index]
      if (!place) return []
      const { left, middle: labelY, width } = labels[index] ?? { left: place.x, middle: place.y, width: 0 }
      const end = left > place.x ? left - 2 : left + width + 2
      return [
        `<path d="M${number(place.x)},${number(place.y)}L${number(end)},${number(labelY)}" stroke="${colourOf(index)}" stroke-width="0.5"/>`,
        marker(index, place.x, place.y),
        text(left, labelY + 4, name),
      ]
    }),
  ]
}

/** How much more the largest delay is than the smallest for the axis to be logarithmic. */
const LOG_FROM = 6

/** An axis for delays in minutes; logarithmic if they differ much, so that none of them is at its edge alone. */
function delayAxisOf(delays: readonly number[]): {
  readonly scale: Scale
  readonly ticks: readonly number[]
} {
  const [least, most] = [Math.min(...delays), Math.max(...delays)]
  const { left, right } = LEFT_PANEL
  if (least <= 0 || most < LOG_FROM * least) {
    const max = niceMax(most)
    return { scale: linearScale(max, left, right), ticks: ticksOf(max) }
  }
  const min = 10 ** Math.floor(Math.log10(least))
  const max = niceMax(most)
  const powers = Array.from({ length: 12 }, (_, index) => Number((min * 10 ** index).toPrecision(3)))
  const ticks = powers.flatMap((power) => [power, 2 * power, 5 * power]).filter((tick) => tick <= max)
  return { scale: logScale(min, max, left, right), ticks }
}

interface Place {
  readonly x: number
  readonly y: number
}

/** The box of a line of text. */
interface Label {
  readonly left: number
  readonly middle: number
  readonly width: number
}

/** Approximate width of a character, and half of a marker's size with the space around it. */
const CHARACTER_WIDTH = 6.4
const MARKER_ROOM = 8

/** Where the names of points stand: near them, and not over each other or over a marker, if there is room. */
function placeLabels(places: readonly Place[], names: readonly string[]): Label[] {
  const labels: Label[] = []
  for (const [index, place] of places.entries()) {
    const width = (names[index] ?? '').length * CHARACTER_WIDTH
    const candidates = LABEL_SHIFTS.flatMap((shift): Label[] => [
      { left: place.x + 14, middle: place.y + shift, width },
      { left: place.x - 14 - width, middle: place.y + shift, width },
    ])
    const isFree = (label: Label) =>
      label.left >= LEFT_PANEL.left &&
      label.left + width <= RIGHT_PANEL.left - 50 &&
      label.middle >= PANEL.top &&
      label.middle <= PANEL.bottom - LINE_HEIGHT &&
      !labels.some((other) => overlap(label, other)) &&
      !places.some(({ x, y }) => overlap(label, { left: x - MARKER_ROOM, middle: y, width: 2 * MARKER_ROOM }))
    labels.push(candidates.find(isFree) ?? { left: place.x + 14, middle: place.y, width })
  }
  return labels
}

/** How far a name may stand below or above its point, nearest first. */
const LABEL_SHIFTS = [0, 14, -14, 28, -28, 42, -42, 56, -56, 70, -70, 84, -84]

function overlap(one: Label, other: Label): boolean {
  const apart = Math.abs(one.middle - other.middle) >= LINE_HEIGHT - 1
  return !apart && one.left < other.left + other.width && other.left < one.left + one.width
}

/** Least part of the mail that the panel shows. */
const LEAST_SHARE = 0.001

function distribution(variants: readonly Variant[], names: readonly string[]): string[] {
  const first = DISTRIBUTION_TIMES[0] ?? 0
  const last = DISTRIBUTION_TIMES.at(-1) ?? 0
  const most = Math.max(0.2, ...variants.map(({ figures }) => figures.distribution[0] ?? 0))
  const x = logScale(first, last, RIGHT_PANEL.left, RIGHT_PANEL.right)
  const y = logScale(LEAST_SHARE, Math.min(1, most * 1.2), PANEL.bottom, PANEL.top)
  const times = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 12 * HOUR, 2 * DAY]
  const shares = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1].filter((share) => share <= most * 1.2)
  const ends = variants.map(({ figures }) => y(figures.distribution.at(-1) ?? 0))
  const labels = spread(ends)
  const middle = (RIGHT_PANEL.left + RIGHT_PANEL.right) / 2
  return [
    ...frame(RIGHT_PANEL),
    ...times.flatMap((time) => tickBelow(x(time), formatDelay(time).replace('.0', ''))),
    ...shares.flatMap((share) => tickBeside(RIGHT_PANEL.left, y(share), `${number(100 * share)} %`)),
    text(middle, PANEL.bottom + 40, 'delay', 'text-anchor="middle"'),
    text(RIGHT_PANEL.left, PANEL.top - 12, 'wanted mail that comes later, or never'),
    ...variants.flatMap(({ figures }, index) => {
      const line = figures.distribution.map(
        (share, at) => `${number(x(DISTRIBUTION_TIMES[at] ?? 0))},${number(y(share))}`,
      )
      // Markers of neighbouring lines stand at different places.
      const marked = figures.distribution.flatMap((share, at) =>
        at % 20 === (7 * index) % 20 && share > LEAST_SHARE
          ? [marker(index, x(DISTRIBUTION_TIMES[at] ?? 0), y(share))]
          : [],
      )
      const labelY = labels[index] ?? 0
      const stroke = `stroke="${colourOf(index)}" fill="none"`
      return [
        `<path d="M${line.join('L')}" ${stroke} stroke-width="1.5" stroke-dasharray="${DASHES[index % DASHES.length]}"/>`,
        ...marked,
        `<path d="M${RIGHT_PANEL.right},${number(ends[index] ?? 0)}L${RIGHT_PANEL.right + 16},${number(labelY)}" ${stroke} stroke-width="0.5"/>`,
        marker(index, RIGHT_PANEL.right + 24, labelY),
        text(RIGHT_PANEL.right + 36, labelY + 4, names[index] ?? ''),
      ]
    }),
  ]
}

/** Places near the given ones, and a line of text apart from each other at least. */
function spread(places: readonly number[]): number[] {
  const order = places.map((_, index) => index).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  const moved = [...places]
  let free = PANEL.top
  for (const index of order) {
    moved[index] = Math.max(free, places[index] ?? 0)
    free = (moved[index] ?? 0) + LINE_HEIGHT
  }
  // What was pushed over the bottom moves up again, and so does all that is in its way.
  let limit: number = PANEL.bottom
  for (const index of order.toReversed()) {
    moved[index] = Math.min(limit, moved[index] ?? 0)
    limit = (moved[index] ?? 0) - LINE_HEIGHT
  }
  return moved
}

/** The least of 1, 2, 3, 5 and their tenfolds that is above a value. */
function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.1)))
  return [1, 2, 3, 5, 10].map((step) => step * power).find((step) => step > value) ?? 10 * power
}

function ticksOf(max: number): number[] {
  return [0, 1, 2, 3, 4, 5].map((part) => Number(((max * part) / 5).toPrecision(3)))
}

function frame({ left, right }: { readonly left: number; readonly right: number }): string[] {
  return [`<path d="M${left},${PANEL.top}V${PANEL.bottom}H${right}" fill="none" stroke="#333333"/>`]
}

function tickBelow(x: number, label: string): string[] {
  return [
    `<path d="M${number(x)},${PANEL.bottom}v5" stroke="#333333"/>`,
    text(x, PANEL.bottom + 19, label, 'text-anchor="middle"'),
  ]
}

function tickBeside(left: number, y: number, label: string): string[] {
  return [
    `<path d="M${left},${number(y)}h-5" stroke="#333333"/>`,
    text(left - 9, y + 4, label, 'text-anchor="end"'),
  ]
}

function marker(index: number, x: number, y: number): string {
  const fill = Math.floor(index / MARKERS.length) % 2 === 0 ? colourOf(index) : '#ffffff'
  return `<path d="${MARKERS[index % MARKERS.length]}" transform="translate(${number(x)},${number(y)})" fill="${fill}" stroke="${colourOf(index)}"/>`
}

function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#000000'
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${number(x)}" y="${number(y)}" ${attributes}>${escapeXml(content)}</text>`
}

/** A number with one decimal at most. */
function number(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escapeXml(content: string): string {
  return content.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
