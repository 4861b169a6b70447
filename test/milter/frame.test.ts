// Tests of FrameReader and encodeFrame: the byte stream of an MTA gives the same frames, however the network cuts it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame, FrameReader, type FrameResult, MAX_FRAME } from '../../src/milter/frame.ts'
import { cutAt } from './recording.ts'

const INCOMPLETE: FrameResult = { kind: 'incomplete' }

function length(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** All results of a reader that is read after each chunk. */
function readAll(chunks: readonly Buffer[]): FrameResult[] {
  const reader = new FrameReader()
  const results: FrameResult[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let result = reader.next(); result.kind !== 'incomplete'; result = reader.next()) {
      results.push(result)
      if (result.kind === 'bad-length') return results
    }
  }
  return results
}

const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 })

describe('FrameReader', () => {
  // Property: the same frames come out wherever the stream is cut.
  test('gives the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat()), (contents, places) => {
        const stream = Buffer.concat(contents.flatMap((bytes) => [length(bytes.length), Buffer.from(bytes)]))
        assert.deepEqual(
          readAll(cutAt(stream, places)),
          contents.map((bytes) => ({ kind: 'frame', bytes: Buffer.from(bytes) })),
        )
      }),
    )
  })

  // Property: this also holds when frames are taken more slowly than chunks arrive, as when an answer is awaited.
  test('gives the same frames however pushing and taking alternate', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat()), fc.infiniteStream(fc.boolean()), (contents, places, turns) => {
        const stream = Buffer.concat(contents.flatMap((bytes) => [length(bytes.length), Buffer.from(bytes)]))
        const chunks = cutAt(stream, places)
        const reader = new FrameReader()
        const taken: Buffer[] = []
        const take = () => {
          const result = reader.next()
          assert.notEqual(result.kind, 'bad-length')
          if (result.kind === 'frame') taken.push(result.bytes)
          return result.kind === 'frame'
        }
        for (const chunk of chunks) {
          reader.push(chunk)
          if (turns.next().value) take()
        }
        while (take());
        assert.deepEqual(
          taken,
          contents.map((bytes) => Buffer.from(bytes)),
        )
      }),
    )
  })

  test('waits for each byte of a frame', () => {
    const reader = new FrameReader()
    const stream = encodeFrame('H', Buffer.from('a.example\0'))
    for (const byte of stream.subarray(0, -1)) {
      reader.push(Buffer.of(byte))
      assert.deepEqual(reader.next(), INCOMPLETE)
    }
    reader.push(stream.subarray(-1))
    assert.deepEqual(reader.next(), { kind: 'frame', bytes: Buffer.from('Ha.example\0') })
    assert.deepEqual(reader.next(), INCOMPLETE)
  })

  test('is not misled by empty chunks', () => {
    const empty = Buffer.alloc(0)
    const stream = encodeFrame('A')
    const chunks = [empty, stream.subarray(0, 2), empty, stream.subarray(2), empty, stream]
    assert.equal(readAll(chunks).length, 2)
  })

  test('gives views into a chunk that holds the frame whole, not copies', () => {
    const chunk = Buffer.concat([encodeFrame('T'), encodeFrame('H', Buffer.from('x\0'))])
    for (const result of readAll([chunk])) {
      assert.ok(result.kind === 'frame' && result.bytes.buffer === chunk.buffer)
    }
  })

  for (const bad of [0, MAX_FRAME + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    test(`refuses a frame of ${bad} bytes at once, without waiting for them`, () => {
      assert.deepEqual(readAll([length(bad)]), [{ kind: 'bad-length', length: bad }])
      assert.deepEqual(readAll(cutAt(length(bad), [1, 2, 3])), [{ kind: 'bad-length', length: bad }])
    })
  }

  test('gives the frames that stand before a bad length', () => {
    const results = readAll([Buffer.concat([encodeFrame('A'), encodeFrame('Q'), length(0)])])
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ['frame', 'frame', 'bad-length'],
    )
  })

  test('reads a frame of MAX_FRAME bytes, and what follows it', () => {
    const payload = Buffer.alloc(MAX_FRAME - 1, 'x')
    const stream = Buffer.concat([encodeFrame('B', payload), encodeFrame('E')])
    const [body, end] = readAll(cutAt(stream, [3, 70_000, 140_000, MAX_FRAME + 3, MAX_FRAME + 6]))
    assert.ok(body?.kind === 'frame' && body.bytes.length === MAX_FRAME)
    assert.ok(body.bytes.subarray(1).equals(payload))
    assert.deepEqual(end, { kind: 'frame', bytes: Buffer.from('E') })
  })

  // Regression: each byte was kept as a chunk of its own, which took 180 MB for an incomplete frame of 1 MiB.
  test('holds a frame that comes byte by byte in no more than twice its size', () => {
    const stream = encodeFrame('B', Buffer.alloc(200_000, 'x'))
    const reader = new FrameReader()
    for (const byte of stream.subarray(0, -1)) {
      reader.push(Buffer.of(byte))
      assert.deepEqual(reader.next(), INCOMPLETE)
      assert.ok(reader.held <= 2 * stream.length)
    }
    reader.push(stream.subarray(-1))
    const whole = reader.next()
    assert.ok(whole.kind === 'frame' && whole.bytes.equals(stream.subarray(4)))
    assert.deepEqual([reader.next(), reader.held], [INCOMPLETE, 0])
  })

  test('holds what was not asked for yet, and no longer', () => {
    const reader = new FrameReader()
    reader.push(Buffer.concat([encodeFrame('A'), encodeFrame('A')]))
    assert.equal(reader.held, 10)
    while (reader.next().kind === 'frame');
    assert.equal(reader.held, 0)
  })

  test('takes frames up to the longest it was told', () => {
    const reader = new FrameReader(3)
    reader.push(Buffer.concat([encodeFrame('B', Buffer.from('xx')), encodeFrame('B', Buffer.from('xxx'))]))
    assert.deepEqual(reader.next(), { kind: 'frame', bytes: Buffer.from('Bxx') })
    assert.deepEqual(reader.next(), { kind: 'bad-length', length: 4 })
  })
})

describe('encodeFrame()', () => {
  test('writes length, character and payload', () => {
    assert.equal(encodeFrame('c').toString('hex'), '0000000163')
    assert.equal(encodeFrame('y', Buffer.from('451 x\0')).toString('hex'), '0000000779343531207800')
  })

  // Property: FrameReader undoes encodeFrame().
  test('is read back by FrameReader', () => {
    fc.assert(
      fc.property(fc.nat({ max: 255 }), fc.uint8Array(), (code, payload) => {
        const frame = encodeFrame(String.fromCharCode(code), Buffer.from(payload))
        assert.deepEqual(readAll([frame]), [{ kind: 'frame', bytes: Buffer.from([code, ...payload]) }])
      }),
    )
  })
})
