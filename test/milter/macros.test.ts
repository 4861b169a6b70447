// Tests of Macros: which value of a macro is in effect at which stage.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CommandName } from '../../src/milter/codes.ts'
import { decodeCommand } from '../../src/milter/command.ts'
import { Macros } from '../../src/milter/macros.ts'

describe('Macros', () => {
  test('knows nothing before the MTA has sent anything', () => {
    assert.equal(new Macros().get('i'), undefined)
  })

  test('gives an empty value as such, not as missing', () => {
    const macros = new Macros()
    macros.set('MAIL', [['mail_addr', '']])
    assert.equal(macros.get('mail_addr'), '')
  })

  test('is asked without braces, however the MTA wrote the name', () => {
    const macros = new Macros()
    for (const frame of ['DC{j}\0mx.example\0_\0client\0', 'DMi\0ID\0{mail_addr}\0a@b\0']) {
      const command = decodeCommand(Buffer.from(frame))
      assert.ok(command.kind === 'MACRO')
      macros.set(command.stage, command.macros)
    }
    assert.deepEqual(
      ['j', '_', 'i', 'mail_addr', '{mail_addr}'].map((name) => macros.get(name)),
      ['mx.example', 'client', 'ID', 'a@b', undefined],
    )
  })

  // For each stage, whether its values end with the transaction or with the connection.
  const scopes: ReadonlyArray<readonly [CommandName, 'connection' | 'transaction']> = [
    ['CONNECT', 'connection'],
    ['HELO', 'connection'],
    ['MAIL', 'transaction'],
    ['RCPT', 'transaction'],
    ['DATA', 'transaction'],
    ['HEADER', 'transaction'],
    ['EOH', 'transaction'],
    ['BODYEOB', 'transaction'],
  ]
  for (const [stage, scope] of scopes) {
    test(`keeps the values of ${stage} as long as the ${scope}`, () => {
      const macros = new Macros()
      macros.set(stage, [['x', '1']])
      assert.equal(macros.get('x'), '1')
      macros.endTransaction()
      assert.equal(macros.get('x'), scope === 'connection' ? '1' : undefined)
      macros.set(stage, [['x', '2']])
      macros.endConnection()
      assert.equal(macros.get('x'), undefined)
    })
  }

  test('replaces all values of a stage when it comes again, as Postfix sends RCPT anew for each recipient', () => {
    const macros = new Macros()
    macros.set('RCPT', [
      ['i', 'ID'],
      ['rcpt_addr', 'a@b'],
    ])
    macros.set('RCPT', [['rcpt_addr', 'c@d']])
    assert.equal(macros.get('rcpt_addr'), 'c@d')
    assert.equal(macros.get('i'), undefined)
  })

  test('asks later stages first', () => {
    const macros = new Macros()
    const stages: readonly CommandName[] = ['CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'EOH', 'BODYEOB']
    for (const stage of stages) {
      macros.set(stage, [['i', stage]])
      assert.equal(macros.get('i'), stage)
    }
    macros.set('CONNECT', [['i', 'again']])
    assert.equal(macros.get('i'), 'BODYEOB')
  })

  test('forgets the last transaction when MAIL comes without an ABORT, as Sendmail sends it', () => {
    const macros = new Macros()
    macros.set('CONNECT', [['j', 'mx']])
    macros.set('RCPT', [['i', 'OLD']])
    macros.set('BODYEOB', [['msg_id', '<x@y>']])
    macros.set('MAIL', [['mail_addr', 'a@b']])
    assert.deepEqual(
      ['i', 'msg_id', 'mail_addr', 'j'].map((name) => macros.get(name)),
      [undefined, undefined, 'a@b', 'mx'],
    )
  })

  test('reads a macro that is named like a property of every object as any other', () => {
    const macros = new Macros()
    assert.equal(macros.get('constructor'), undefined)
    macros.set('MAIL', [['__proto__', 'x']])
    assert.equal(macros.get('__proto__'), 'x')
  })
})
