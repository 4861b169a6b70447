// Tests of chains: whatever is added and deleted, they have what an array would have.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Chain, type Member } from '../src/chain.ts'

interface Numbered extends Member<Numbered> {
  readonly number: number
}

const newMember = (number: number): Numbered => ({
  number,
  before: undefined,
  after: undefined,
  isInChain: false,
})

test('a chain has the members of an array, in their order, after any additions and deletions', () => {
  const steps = fc.array(fc.record({ number: fc.nat({ max: 7 }), isDeletion: fc.boolean() }), {
    maxLength: 60,
  })
  fc.assert(
    fc.property(steps, (all) => {
      const members = Array.from({ length: 8 }, (_, number) => newMember(number))
      const chain = new Chain<Numbered>()
      let expected: Numbered[] = []
      for (const { number, isDeletion } of all) {
        const member = members[number] ?? assert.fail()
        if (isDeletion) {
          assert.equal(chain.delete(member), expected.includes(member))
          expected = expected.filter((one) => one !== member)
        } else if (!member.isInChain) {
          chain.add(member)
          expected.push(member)
        }
        assert.deepEqual(
          chain.members().map((one) => one.number),
          expected.map((one) => one.number),
        )
        assert.equal(chain.size, expected.length)
        assert.equal(chain.first, expected[0])
      }
    }),
  )
})

// Regression: what a removed member refers to lived on for as long as that member.
test('a member refers to no other once it is out of the chain', () => {
  const [one, two, three] = [newMember(1), newMember(2), newMember(3)]
  const chain = new Chain<Numbered>()
  for (const member of [one, two, three]) chain.add(member)
  assert.equal(chain.delete(two), true)
  assert.deepEqual(two, newMember(2))
  assert.equal(one.after, three)
  assert.equal(three.before, one)
})
