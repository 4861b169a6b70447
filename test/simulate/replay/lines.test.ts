// Lines of files: however the bytes arrive, whatever they are, and whatever the file is.

import assert from 'node:assert/strict'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  type FileLine,
  LineSplitter,
  MAX_LINE,
  openLogFile,
  readLines,
} from '../../../src/simulate/replay/lines.ts'
import { logFile, logFolder } from './files.ts'

async function linesOf(path: string): Promise<{ lines: FileLine[]; problems: string[] }> {
  const lines: FileLine[] = []
  const problems: string[] = []
  const watch = { onRead: () => undefined, onDamage: (problem: string) => problems.push(problem) }
  for await (const batch of readLines(await openLogFile(path), watch)) lines.push(...batch)
  return { lines, problems }
}

function split(pieces: readonly Buffer[]): FileLine[] {
  const splitter = new LineSplitter()
  return [...pieces.flatMap((piece) => splitter.split(piece)), ...splitter.end()]
}

// Bytes may be cut anywhere, in the middle of a character too, without another result.
test('any bytes give the same lines however they are cut', () => {
  const bytes = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.constant(Buffer.from('\n')),
        fc.constant(Buffer.from('ю\r\n')),
      ),
    )
    .map((parts) => Buffer.concat(parts))
  fc.assert(
    fc.property(bytes, fc.array(fc.nat({ max: 200 })), (all, cuts) => {
      const ends = [...new Set([0, ...cuts.filter((cut) => cut < all.length), all.length])].sort(
        (a, b) => a - b,
      )
      const pieces = ends.slice(1).map((end, index) => all.subarray(ends[index], end))
      assert.deepEqual(split(pieces), split([all]))
      assert.deepEqual(
        split([all]).map(({ number }) => number),
        split([all]).map((_, index) => index + 1),
      )
    }),
  )
})

test('lines are text, and those with NUL bytes or without an end in sight are left out', () => {
  const long = Buffer.alloc(MAX_LINE + 1, 'x')
  const fits = Buffer.alloc(MAX_LINE, 'y')
  const lines = [
    Buffer.from('a\r'),
    Buffer.from('ю'),
    long,
    Buffer.from('\0\0b'),
    fits,
    Buffer.from([0x41, 0xe9]),
  ]
  const all = Buffer.concat(
    lines.flatMap((line, index) => (index === 0 ? [line] : [Buffer.from('\n'), line])),
  )
  const expected = [
    { number: 1, text: 'a' },
    { number: 2, text: 'ю' },
    { number: 3, fault: 'too-long' },
    { number: 4, fault: 'nul' },
    { number: 5, text: 'y'.repeat(MAX_LINE) },
    { number: 6, text: 'A\udce9' },
  ]
  assert.deepEqual(split([all]), expected)
  assert.deepEqual(split([all.subarray(0, 100), all.subarray(100, 70_000), all.subarray(70_000)]), expected)
})

test('gzip is found by what the file contains, also in several members, and a damaged one is read up to there', async (t) => {
  const dir = await logFolder(t)
  const text = Array.from({ length: 20_000 }, (_, index) => `line ${index} ${index * 7919}\n`).join('')
  const plain = await linesOf(await logFile(dir, text))
  const zipped = await logFile(
    dir,
    Buffer.concat([gzipSync(text.slice(0, 5000)), gzipSync(text.slice(5000))]),
  )
  assert.deepEqual(await linesOf(zipped), plain)
  const cut = await logFile(dir, gzipSync(text))
  await truncate(cut, 20_000)
  const { lines, problems } = await linesOf(cut)
  assert.deepEqual(problems, ['unexpected end of file'])
  assert.ok(lines.length > 1000 && lines.length < plain.lines.length)
  assert.deepEqual(lines.slice(0, -1), plain.lines.slice(0, lines.length - 1))
})

test('what is no log is refused with the reason', async (t) => {
  const dir = await logFolder(t)
  await mkdir(join(dir, 'folder'))
  const cases: Array<[name: string, content: string | undefined, message: RegExp]> = [
    ['folder', undefined, /folder: expected a regular file, since a log is read twice$/],
    ['missing', undefined, /^Error: Cannot read the log .*missing: ENOENT/],
    ['log.xz', '\xfd7zXZ\0\0', /found a file of xz: decompress it first, as with xz -dk$/],
    ['log.zst', '(\xb5/\xfd...', /found a file of zstd/],
    ['log.bz2', 'BZh91AY&SY', /found a file of bzip2/],
    ['log.zip', 'PK\x03\x04...', /found a ZIP archive/],
    ['system.journal', 'LPKSHHRH', /found a journal of systemd: expected what journalctl -o json/],
  ]
  for (const [name, content, message] of cases) {
    if (content !== undefined) await writeFile(join(dir, name), content, 'latin1')
    await assert.rejects(openLogFile(join(dir, name)), message, name)
  }
})
