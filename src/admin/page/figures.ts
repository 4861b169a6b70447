// The first view: whether greylisting is worth it here. It shows the figures of `greymx stats` for an hour, a day or a
// month: what was decided and why, who came back and how late, and what stayed away.

import { html } from 'hono/html'
import { inWords } from '../../operator/in-words.ts'
import type { Figures, Stats } from '../../operator/stats.ts'
import type { Asker } from './ask.ts'
import { bar, type Part, type Stack, stackedColumns, swatch } from './chart.ts'
import { empty, type Frame, type Html, numberCell, table, tile } from './layout.ts'
import { number, percent, reasonInWords, time, utc } from './words.ts'

const [HOUR, DAY] = [3_600_000, 86_400_000]

/** The times that can be chosen: what `stats` is asked for, and the length of a column. */
const PERIODS = {
  hour: { title: 'Last hour', params: { hours: 1 }, column: HOUR, count: 1 },
  day: { title: 'Last 24 hours', params: { hours: 24 }, column: HOUR, count: 24 },
  month: { title: 'Last 30 days', params: { days: 30 }, column: DAY, count: 30 },
} as const

/** Most MXs of the view. */
const MAX_MXS = 40

type Period = keyof typeof PERIODS

/** The colours of reasons, in the order in which a column has them from the bottom up. */
const COLOURS: readonly (readonly [colour: string, reasons: readonly string[]])[] = [
  ['s-new', ['new']],
  ['s-early', ['early']],
  ['s-retry', ['retry']],
  ['s-known', ['known']],
  ['s-trusted', ['auto-whitelist', 'carrier', 'credit', 'written-to', 'expected']],
  [
    's-exempt',
    ['authenticated', 'exempt-client', 'exempt-sender', 'exempt-recipient', 'exempt-spf', 'not-greylisted'],
  ],
  ['s-other', ['max-deferrals', 'off', 'observe', 'store-error']],
]

/** Reasons of a newer version look like the last ones. */
const ORDER = new Map(
  COLOURS.flatMap(([colour, reasons], index) => reasons.map((reason) => [reason, { colour, index }])),
)
const OTHER = { colour: 's-other', index: COLOURS.length }

/** The period that a query names; a day if it names none. */
export function periodOf(query: string | undefined): Period {
  return query !== undefined && Object.hasOwn(PERIODS, query) ? (query as Period) : 'day'
}

/** `showsNames` tells whether the reader may see whose mail it is. */
export async function showFigures(
  asker: Asker,
  frame: Frame,
  period: Period,
  showsNames: boolean,
): Promise<Html> {
  const { params } = PERIODS[period]
  const stats = await asker.read<Stats>('stats', params)
  const { together } = stats
  const tabs = html`<nav aria-label="Period" class="tabs"><ul>${(Object.keys(PERIODS) as Period[]).map(
    (each) =>
      html`<li><a href="${frame.base}/?period=${each}"${each === period ? html` aria-current="page"` : ''}>${PERIODS[each].title}</a></li>`,
  )}</ul></nav>
<p class="since">From ${time(stats.from)} to ${time(stats.to)}, ${stats.unit === 'hour' ? 'by whole hours' : 'by days in UTC'}, of all MXs together.</p>
`
  if (together.attempts === 0 && together.returned === 0)
    return html`${tabs}${empty(
      'No mail was counted in this time.',
      html`If mail flows through your MTA, greymx is not asked: compare the MTA’s settings with the output of <code>greymx check --postfix</code>, and look at the <a href="${frame.base}/mxs">MXs</a>.`,
    )}`
  return html`${tabs}<div data-live="figures">
${tiles(together, stats.retryWindow)}
<section aria-labelledby="decisions"><h2 id="decisions">Decisions by reason</h2>
${decisions(stats, period)}</section>
<section aria-labelledby="delays"><h2 id="delays">How long first passes had waited</h2>
${delays(together)}</section>
<section aria-labelledby="by-mx"><h2 id="by-mx">Each MX</h2>
${byMx(stats)}</section>
${showsNames ? busiest(together) : ''}
</div>
`
}

function tiles(figures: Figures, retryWindow: number): Html {
  const { attempts, deferred, returned, neverReturned, overAnHour, delays: waits } = figures
  const stayed = percent(neverReturned.count, neverReturned.of)
  return html`<dl class="tiles">
${tile('Recipients asked for', number(attempts))}
${tile('First attempts deferred', number(deferred), percent(deferred, attempts))}
${tile('Came back and passed', number(returned))}
${tile('Stayed away', number(neverReturned.count), `${stayed} of ${number(neverReturned.of)} that had ${inWords(retryWindow)} to come back`)}
${tile('Waited over an hour', number(overAnHour), percent(overAnHour, returned))}
${tile('Half had waited up to', waits ? inWords(waits.p50) : '–', waits ? `nine of ten ${inWords(waits.p90)}` : '')}
</dl>
<p class="hint">What stays away is nearly always spam. The view <em>Lost mail</em> lists what looks wanted and did not come back.</p>
`
}

function decisions({ together, from, unit }: Stats, period: Period): Html {
  const { column, count, title } = PERIODS[period]
  const length = unit === 'hour' ? HOUR : DAY
  const first = Date.parse(from)
  const byStart = new Map(together.series.map((entry) => [Date.parse(entry.at), entry]))
  const stacks = Array.from({ length: count }, (_, index): Stack => {
    const at = first + index * column
    const verdicts = byStart.get(at)?.verdicts ?? []
    const name = utc(new Date(at).toISOString())
    const texts = verdicts.map((each) => `${each.verdict} ${each.reason} ${number(each.count)}`)
    return {
      title: [name, ...texts].join('\n'),
      parts: byColour(verdicts),
    }
  })
  const last = new Date(first + (count - 1) * length).toISOString()
  const reasons = table(
    `Decisions, ${title.toLowerCase()}`,
    [
      { title: 'Reason' },
      { title: 'What it means' },
      { title: 'Decisions', isNumber: true },
      { title: 'Share', isNumber: true },
    ],
    inOrder(together.verdicts).map(
      ({ verdict, reason, count: times }) =>
        html`<tr><th scope="row">${swatch(colourOf(reason))} ${verdict} ${reason}</th><td>${reasonInWords(reason)}</td>${numberCell(number(times), times)}${numberCell(percent(times, together.attempts), times)}</tr>
`,
    ),
  )
  return html`${stackedColumns(
    `Decisions by reason, ${title.toLowerCase()}; the table below has the figures`,
    stacks,
    {
      first: time(from),
      last: time(last),
    },
  )}
${reasons}
<details id="series"><summary>By ${unit}, as a table</summary>
${table(
  `Figures by ${unit}`,
  [
    { title: unit === 'hour' ? 'Hour' : 'Day' },
    { title: 'Recipients', isNumber: true },
    { title: 'Deferred', isNumber: true },
    { title: 'First attempts', isNumber: true },
    { title: 'Came back', isNumber: true },
    { title: 'Over an hour', isNumber: true },
  ],
  together.series.map(
    ({ at, attempts, tempfails, deferred, returned, overAnHour }) =>
      html`<tr><th scope="row">${time(at)}</th>${[attempts, tempfails, deferred, returned, overAnHour].map((each) => numberCell(number(each), each))}</tr>
`,
  ),
)}</details>
`
}

function delays({ delayBars, returned }: Figures): Html {
  if (returned === 0)
    return empty(
      'Nothing has come back in this time.',
      'A first attempt that comes back after the delay is counted here.',
    )
  const most = Math.max(...delayBars.map(({ count }) => count))
  let above = 0
  const rows = delayBars.map(({ upTo, count }) => {
    const range =
      upTo === undefined
        ? `over ${inWords(above)}`
        : above === 0
          ? `up to ${inWords(upTo)}`
          : `${inWords(above)} to ${inWords(upTo)}`
    const row = html`<tr><th scope="row">${range}</th>${numberCell(number(count), count)}${numberCell(percent(count, returned), count)}<td class="wide">${bar(count, most, above >= HOUR ? 's-early' : 's-retry')}</td></tr>
`
    above = upTo ?? above
    return row
  })
  return table(
    'First passes by their wait',
    [
      { title: 'Wait' },
      { title: 'Passes', isNumber: true },
      { title: 'Share', isNumber: true },
      { title: 'Bar' },
    ],
    rows,
  )
}

function byMx({ mxs }: Stats): Html {
  const more = mxs.length - MAX_MXS
  const columns = ['Recipients', 'First attempts deferred', 'Came back', 'Over an hour']
  return html`${table(
    'Figures of each MX',
    [{ title: 'MX' }, ...columns.map((title) => ({ title, isNumber: true }))],
    mxs.slice(0, MAX_MXS).map(
      ({ mx, attempts, deferred, returned, overAnHour }) =>
        html`<tr><th scope="row">${mx}</th>${[attempts, deferred, returned, overAnHour].map((each) => numberCell(number(each), each))}</tr>
`,
    ),
  )}
${more > 0 ? html`<p class="none">${number(more)} more: <code>greymx stats</code> has all.</p>` : ''}
`
}

function busiest({ busiest: names }: Figures): Html {
  const lists = [
    ['Client networks', names.networks],
    ['Client networks by deferrals', names.deferredNetworks],
    ['Sender domains', names.domains],
    ['Sender domains by deferrals', names.deferredDomains],
  ] as const
  return html`<section aria-labelledby="busiest"><h2 id="busiest">Busiest</h2><div class="beside">
${lists
  .filter(([, list]) => list.length > 0)
  .map(([title, list]) =>
    table(
      title,
      [{ title: 'Name' }, { title: 'Times', isNumber: true }],
      list.map(
        ({
          name,
          count,
        }) => html`<tr><th scope="row">${name || '<>'}</th>${numberCell(number(count), count)}</tr>
`,
      ),
    ),
  )}
</div></section>
`
}

function inOrder<T extends { readonly reason: string }>(verdicts: readonly T[]): T[] {
  const place = ({ reason }: T) => (ORDER.get(reason) ?? OTHER).index
  return verdicts.toSorted((one, other) => place(one) - place(other))
}

/** The counts of reasons with one colour together, in the order of a column. */
function byColour(verdicts: readonly { readonly reason: string; readonly count: number }[]): Part[] {
  const counts = new Map<string, number>()
  for (const { reason, count } of inOrder(verdicts))
    counts.set(colourOf(reason), (counts.get(colourOf(reason)) ?? 0) + count)
  return [...counts].map(([colour, count]) => ({ colour, count }))
}

function colourOf(reason: string): string {
  return (ORDER.get(reason) ?? OTHER).colour
}
