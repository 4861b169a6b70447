// The script of the page: instants in the reader's time zone, tables that sort, and figures that stay fresh. Every view
// can be read and used without it.

/** Time between two looks for fresh figures, in milliseconds. */
const REFRESH_INTERVAL = 10_000

const instants = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'short' })

/** The column by which each table is sorted, by the table's caption, so that fresh rows are sorted alike. */
const sortedBy = new Map()

function showLocalTimes(root) {
  for (const time of root.querySelectorAll('time')) {
    time.title = time.dateTime
    time.textContent = instants.format(new Date(time.dateTime))
  }
}

function makeSortable(root) {
  for (const table of root.querySelectorAll('table.sortable')) {
    for (const [index, th] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement('button')
      button.type = 'button'
      button.append(...th.childNodes)
      button.addEventListener('click', () => {
        const isDescending = th.ariaSort !== 'descending'
        sortedBy.set(table.caption.textContent, { index, isDescending })
        sort(table, index, isDescending)
      })
      th.append(button)
    }
    const order = sortedBy.get(table.caption.textContent)
    if (order) sort(table, order.index, order.isDescending)
  }
}

function sort(table, index, isDescending) {
  const sign = isDescending ? -1 : 1
  const [body] = table.tBodies
  const rows = [...body.rows].sort(
    (one, other) => sign * compare(sortValue(one.cells[index]), sortValue(other.cells[index])),
  )
  body.append(...rows)
  for (const th of table.tHead.rows[0].cells) th.removeAttribute('aria-sort')
  table.tHead.rows[0].cells[index].setAttribute('aria-sort', isDescending ? 'descending' : 'ascending')
}

function compare(one, other) {
  return typeof one === 'number' && typeof other === 'number'
    ? one - other
    : String(one).localeCompare(String(other))
}

function sortValue(cell) {
  if (!cell) return ''
  const given = cell.dataset.value ?? ''
  if (given !== '') return Number(given)
  return cell.querySelector('time')?.dateTime ?? cell.textContent.trim()
}

/** Replaces the parts of the view that have figures, unless the reader is at work in them. */
async function refresh() {
  const parts = [...document.querySelectorAll('[data-live]')]
  if (document.hidden || parts.length === 0 || parts.some((part) => part.contains(document.activeElement)))
    return
  const response = await fetch(location.href, { headers: { accept: 'text/html', 'greymx-refresh': '1' } })
  if (!response.ok) return
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html')
  for (const part of parts) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`)
    if (!next) continue
    for (const details of part.querySelectorAll('details[open][id]'))
      next.querySelector(`#${details.id}`)?.setAttribute('open', '')
    showLocalTimes(next)
    makeSortable(next)
    part.replaceWith(document.adoptNode(next))
  }
}

showLocalTimes(document)
makeSortable(document)
// The script never repeats a search, as that is a form which the reader has sent.
if (document.querySelector('[data-live]'))
  setInterval(() => void refresh().catch(() => undefined), REFRESH_INTERVAL)
