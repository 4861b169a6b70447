import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('npm run bench judges rightly, with its load in C or in Node.js', async (t) => {
  for (const [load, environment] of [
    ['(?:C|Node.js)', {}],
    ['Node.js', { CC: '/nonexistent/cc' }],
  ] as const) {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        'build/test/bench/main.js',
        '--store',
        'memory',
        '--socket',
        'unix',
        '--messages',
        '3',
        '--known',
        '100',
        '--rounds',
        '1',
        '--turn',
        '0.2',
      ],
      { env: { ...process.env, ...environment } },
    )
    t.diagnostic(stdout)
    assert.match(stdout, new RegExp(`load in ${load}`))
    const rows = stdout.split('\n').filter((line) => line.startsWith('memory'))
    assert.equal(rows.length, 3)
    for (const row of rows) assert.match(row, / 0$/)
  }
})

test('npm run bench -- --door policy judges rightly, beside Postgrey, with its load in C or in Node.js', async (t) => {
  const options = [
    '--store',
    'memory',
    '--kind',
    'mix',
    '--connections',
    '4',
    '--known',
    '50',
    '--rounds',
    '1',
    '--turn',
    '0.1',
  ]
  const bench = async (load: string, environment: NodeJS.ProcessEnv) => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['build/test/bench/main.js', '--door', 'policy', ...options],
      { env: { ...process.env, ...environment } },
    )
    t.diagnostic(stdout)
    assert.match(stdout, new RegExp(`load in ${load}`))
    const rows = stdout.split('\n').filter((line) => /^(?:greymx|Postgrey)/.test(line))
    assert.equal(rows.length, 2)
    for (const row of rows) assert.match(row, / 0$/)
  }
  await Promise.all([bench('(?:C|Node.js)', {}), bench('Node.js', { CC: '/nonexistent/cc' })])
})
