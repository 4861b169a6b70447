// Charts as SVG. They have no text of their own: axes are lines of the page, so that they can be read at any width, and
// each chart stands above a table with the same figures.

import { html } from 'hono/html'
import type { Html } from './layout.ts'
import { number } from './words.ts'

/** Size of the drawing, in units of its own: the page stretches it. */
const WIDTH = 720
const HEIGHT = 200

/** Part of a column's width that is left free between two. */
const GAP = 0.15

/** One part of a column. */
export interface Part {
  /** Name of its colour: a class of the style sheet. */
  readonly colour: string
  readonly count: number
}

/** A column of a stacked chart. */
export interface Stack {
  /** The text that a browser shows while the pointer is on the column. */
  readonly title: string
  readonly parts: readonly Part[]
}

export interface Axis {
  readonly first: Html | string
  readonly last: Html | string
}

/** Stacked columns, with their scale at the side and the ends of the axis below. */
export function stackedColumns(label: string, stacks: readonly Stack[], axis: Axis): Html {
  const most = niceCeiling(Math.max(1, ...stacks.map(({ parts }) => sumOf(parts))))
  const width = WIDTH / Math.max(1, stacks.length)
  const columns = stacks.map(({ title, parts }, index) => {
    let below = 0
    const rects = parts
      .filter(({ count }) => count > 0)
      .map(({ colour, count }) => {
        const height = (count / most) * HEIGHT
        below += height
        const x = round(index * width + (width * GAP) / 2)
        return html`<rect class="${colour}" x="${x}" y="${round(HEIGHT - below)}" width="${round(width * (1 - GAP))}" height="${round(height)}"/>`
      })
    return html`<g><title>${title}</title><rect class="hit" x="${round(index * width)}" y="0" width="${round(width)}" height="${HEIGHT}"/>${rects}</g>`
  })
  return html`<figure class="chart">
<div class="scale" aria-hidden="true"><span>${number(most)}</span><span>${number(most / 2)}</span><span>0</span></div>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}">
<path class="grid" d="M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}"/>
${columns}</svg>
<div class="axis"><span>${axis.first}</span><span>${axis.last}</span></div>
</figure>
`
}

/** A bar in a row of a table: `count` of `most`. */
export function bar(count: number, most: number, colour: string): Html {
  const width = most === 0 ? 0 : round((count / most) * 100)
  return html`<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="${colour}" width="${width}" height="10"/></svg>`
}

/** A square in the colour of a series. */
export function swatch(colour: string): Html {
  return html`<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect class="${colour}" width="10" height="10"/></svg>`
}

function sumOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { count }) => sum + count, 0)
}

/** The least of 1, 2, 4, 5, 10, 20, … that is not below `most`, so that half of it is a whole number from 2 on. */
function niceCeiling(most: number): number {
  const unit = 10 ** Math.floor(Math.log10(most))
  const factor = [1, 2, 4, 5, 6, 8, 10].find((each) => each * unit >= most) ?? 10
  return Math.max(2, factor * unit)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
