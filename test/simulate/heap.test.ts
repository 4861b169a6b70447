// The order in which a heap returns what was put into it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Heap } from '../../src/simulate/heap.ts'

test('a heap returns the first item, whatever was put in and taken out before', () => {
  // A number is put in; `undefined` takes one out.
  const steps = fc.array(fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }), { maxLength: 200 })
  fc.assert(
    fc.property(steps, (all) => {
      const heap = new Heap<number>((one, other) => one < other)
      const model: number[] = []
      for (const step of all) {
        assert.equal(heap.peek(), model[0])
        if (step === undefined) assert.equal(heap.pop(), model.shift())
        else {
          heap.push(step)
          model.push(step)
          model.sort((a, b) => a - b)
        }
        assert.equal(heap.size, model.length)
      }
    }),
  )
})
