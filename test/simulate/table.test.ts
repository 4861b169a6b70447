// How figures read: units, columns that do not fit, and names that are too long for a column.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runWorld } from '../../src/simulate/engine.ts'
import { figuresOf } from '../../src/simulate/figures.ts'
import { plot } from '../../src/simulate/plot.ts'
import {
  formatClasses,
  formatDelay,
  formatShare,
  formatTable,
  type Variant,
} from '../../src/simulate/table.ts'
import { makeWorld } from '../../src/simulate/world/world.ts'
import { sizeOf, worldData } from './world/support.ts'

const world = makeWorld(worldData(), sizeOf({ recipients: 5, days: 2 }))

/** The figures of a judge that lets every so many attempts pass. */
async function variant(name: string, every: number): Promise<Variant> {
  let asked = 0
  const result = await runWorld(world, {
    name,
    judgesAtData: () => false,
    async judge() {
      asked += 1
      return asked % every === 0 ? 'pass' : 'tempfail'
    },
  })
  return { name, figures: figuresOf(world, result, undefined) }
}

test('delays and shares are written in the unit that leaves the fewest digits', () => {
  const delays = [
    0,
    1499,
    59_000,
    90_000,
    5_999_999,
    6_000_000,
    172_799_999,
    172_800_000,
    Number.POSITIVE_INFINITY,
  ]
  assert.deepEqual(delays.map(formatDelay), [
    '0',
    '1 s',
    '59 s',
    '1.5 m',
    '100.0 m',
    '1.7 h',
    '48.0 h',
    '2.0 d',
    'never',
  ])
  assert.deepEqual([0, 0.00021, 0.0949, 0.0996, 0.5, 0.9994, 1].map(formatShare), [
    '0 %',
    '0.02 %',
    '9.49 %',
    '10.0 %',
    '50.0 %',
    '99.9 %',
    '100 %',
  ])
})

test('a table has a column for each variant, and a block for those that do not fit', async () => {
  const variants = [await variant('one', 1), await variant('two', 2), await variant('three', 3)]
  const wide = formatTable(variants, 120)
  assert.equal(wide.split('\n').filter((line) => /^ +one +two +three$/.test(line)).length, 1)
  const narrow = formatTable(variants, 60)
  assert.match(narrow, /^ +one +two\n/)
  assert.match(narrow, /\n\n +three\n/)
  for (const line of narrow.split('\n')) assert.ok(line.length <= 60, line)
  assert.match(wide, /\n {4}snowshoe-daily +100 %/)
  assert.match(wide, /\n {2}keys +– +– +–\n/)
})

test('a name that is too long for a column stands below the table, by its number', async () => {
  const name = 'delay=2m,auto_whitelist.after=1,auto_whitelist.spacing=1m'
  const text = formatTable([await variant('one', 1), await variant(name, 2)], 120)
  assert.match(text, /^ +one +\(2\)\n/)
  assert.ok(text.endsWith(`\n\n(2) ${name}\n`), text.slice(-200))
})

test('each class of senders has a line', async () => {
  const text = formatClasses(await variant('one', 1))
  assert.match(text, /^one\n +organisations +messages +first deferred/)
  assert.match(text, /\n {2}tenants-microsoft +\d+ +\d+ +0 % +0 +0 %/)
})

test('a picture has a marker, a line and a name for each variant, and no figure in it is broken', async () => {
  const variants = [await variant('a<b&c', 1), await variant('two', 2), await variant('x'.repeat(40), 3)]
  const svg = plot(variants, 'title "quoted"')
  assert.ok(!/NaN|undefined|Infinity/.test(svg))
  assert.match(svg, /^<svg [^>]*>\n<title>title &#34;quoted&#34;<\/title>/)
  assert.equal(svg.match(/>a&#60;b&#38;c</g)?.length, 2)
  assert.equal(svg.match(/>two</g)?.length, 2)
  assert.ok(svg.includes(`>(3) ${'x'.repeat(40)}<`))
  // Every tag is closed: by itself, or by its end.
  const tags = [...svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)]
  const open: string[] = []
  for (const [, end, name = '', closed] of tags) {
    if (end) assert.equal(open.pop(), name)
    else if (!closed) open.push(name)
  }
  assert.deepEqual(open, [])
})
