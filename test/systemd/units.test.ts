// The units as they are installed: systemd finds no fault in them, and little that the service could do to the machine.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { scratch } from '../support/scratch.ts'

const run = promisify(execFile)

const UNITS = ['greymx.service', 'greymx.socket'] as const

/** The most that `systemd-analyze security` may say, of 10. */
const EXPOSURE = 2.0

function settings(unit: string, name: string): string[] {
  const lines = readFileSync(join('systemd', unit), 'utf8').split('\n')
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1))
}

test(`systemd-analyze security rates greymx.service ${EXPOSURE.toFixed(1)} or less`, async () => {
  const analyze = ['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE * 10}`]
  const { stdout } = await run('systemd-analyze', [...analyze, 'systemd/greymx.service'])
  const [, exposure] = /Overall exposure level for greymx\.service: (\d+\.\d)/.exec(stdout) ?? []
  assert.ok(Number(exposure) <= EXPOSURE, exposure)
})

test('systemd-analyze verify finds no fault in the units', async (t) => {
  // A copy of them whose commands are there, wherever this machine has its node.
  const dir = await scratch(t)
  await mkdir(join(dir, 'units'))
  for (const unit of UNITS) await copyFile(join('systemd', unit), join(dir, 'units', unit))
  const service = readFileSync('systemd/greymx.service', 'utf8').replace('/usr/bin/node', process.execPath)
  await writeFile(join(dir, 'units', 'greymx.service'), service)
  const paths = UNITS.map((unit) => join(dir, 'units', unit))
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...paths])
  const faults = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('greymx'))
  assert.deepEqual(faults, [])
})

test('the socket unit listens where README and the default of listen send the MTAs', () => {
  const [first, second] = settings('greymx.socket', 'ListenStream')
  const listen = /^listen: inet:(\d+)@(\S+)$/m.exec(readFileSync('milter.yaml', 'utf8'))
  assert.equal(first, `${listen?.[2]}:${listen?.[1]}`)
  assert.ok(readFileSync('README.md', 'utf8').includes(`S=unix:${second},`))
})

// systemd removes it, and the socket in it, whenever the service stops.
test('the service has no runtime directory', () => {
  assert.deepEqual(settings('greymx.service', 'RuntimeDirectory'), [])
})
