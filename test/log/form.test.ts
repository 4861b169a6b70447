// Tests how lines look in a journal, in a file, on a terminal and in a pipe.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { formOf } from '../../src/log/form.ts'
import { createLog } from '../../src/log/log.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startJournald } from '../support/journald.ts'
import { endWith, scratch, waitFor } from '../support/scratch.ts'

const run = promisify(execFile)

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`

const SETTINGS = 'listen: inet:0@127.0.0.1\nadmin: false\ndns_servers: [127.0.0.1:1]\nstore: memory\n'

test('a line has the priority of its level in the journal, its time in a file, and neither in a pipe', () => {
  const cases = [
    ['journal', 'text', '<4>level=warn msg=m\n', '<3>level=error msg=m\n'],
    ['plain', 'text', 'level=warn msg=m\n', 'level=error msg=m\n'],
    ['stamped', 'text', `${TIME} level=warn msg=m\n`, `${TIME} level=error msg=m\n`],
    ['journal', 'json', `<4>\\{"time":"${TIME}","level":"warn","msg":"m"\\}\n`, `<3>\\{.*`],
    ['stamped', 'json', `\\{"time":"${TIME}","level":"warn","msg":"m"\\}\n`, `\\{.*`],
  ] as const
  for (const [form, format, warning, error] of cases) {
    const lines: string[] = []
    const log = createLog({ form, write: (line) => void lines.push(line) }, () => ({ level: 'info', format }))
    log.event('warn', 'm')
    log.event('error', 'm')
    assert.match(lines[0] ?? '', new RegExp(`^${warning}$`))
    assert.match(lines[1] ?? '', new RegExp(`^${error}`))
  }
})

test('an output is the journal if its device and inode are those of JOURNAL_STREAM', async (t) => {
  const dir = await scratch(t)
  const file = await open(`${dir}/log`, 'w')
  const { dev, ino } = fstatSync(file.fd, { bigint: true })
  assert.equal(formOf(file.fd, { JOURNAL_STREAM: `${dev}:${ino}` }), 'journal')
  assert.equal(formOf(file.fd, { JOURNAL_STREAM: `${dev}:${ino + 1n}` }), 'stamped')
  assert.equal(formOf(file.fd, {}), 'stamped')
  await file.close()
})

test('in a file and on a terminal each line of the log has its time', async (t) => {
  const dir = await scratch(t)
  await writeFile(`${dir}/milter.yaml`, SETTINGS)
  // script(1) gives greymx a session of its own, so that it is ended by its pid.
  await writeFile(`${dir}/serve`, `echo $$ > ${dir}/$1.pid; exec ${process.execPath} ${PROGRAM} serve\n`)
  for (const [name, command] of [
    ['file', `sh ${dir}/serve file > ${dir}/file`],
    ['terminal', `script -qfec 'sh ${dir}/serve terminal' ${dir}/terminal`],
  ] as const) {
    const child = spawn('timeout', ['-s', 'TERM', '20', 'sh', '-c', `exec ${command}`], {
      cwd: dir,
      stdio: 'ignore',
    })
    endWith(dir, async () => {
      process.kill(Number(await readFile(`${dir}/${name}.pid`, 'utf8')), 'SIGKILL')
      if (child.exitCode === null) await once(child, 'exit')
    })
    const text = await waitFor('the log', async () => {
      const found = await readFile(`${dir}/${name}`, 'utf8').catch(() => '')
      return found.includes('smtpd_milters') ? found : undefined
    })
    assert.match(text, new RegExp(`^${TIME} level=info msg="store is up" store=memory:\\r?$`, 'm'))
  }
})

test('the journal keeps the priority of lines, and of a fault that ends the start', async (t) => {
  const dir = await scratch(t)
  const journal = await startJournald(dir)
  await writeFile(`${dir}/milter.yaml`, `${SETTINGS}header: maybe\n`)
  await journal.run('greymx-fault', [process.execPath, PROGRAM, 'check', '--config', `${dir}/milter.yaml`])
  await writeFile(`${dir}/milter.yaml`, SETTINGS.replace('store: memory', 'store: redis://127.0.0.1:1/0'))
  await journal.run('greymx-down', [
    'timeout',
    '-s',
    'TERM',
    '3',
    process.execPath,
    PROGRAM,
    'serve',
    '--config',
    `${dir}/milter.yaml`,
  ])
  const shown = async (identifier: string) => journal.journalctl('-o', 'cat', '-p', 'err', '-t', identifier)
  assert.match(await waitFor('the fault', () => shown('greymx-fault')), /^\S+: Cannot read header "maybe"/)
  assert.match(
    await waitFor('the outage', () => shown('greymx-down')),
    /^level=error msg="store is down" .*\n$/,
  )
})

// An output that is full or closed is an error of the system, and no fault of greymx.
test('a full output ends no command in a stack trace, nor does a closed one', async (t) => {
  const dir = await scratch(t)
  await writeFile(`${dir}/milter.yaml`, SETTINGS)
  const commands = [
    '--help',
    '--version',
    'help check',
    'check',
    'check --print',
    'check --json',
    'completion bash',
  ]
  for (const command of commands) {
    const greymx = `${process.execPath} ${PROGRAM} ${command}`
    const full = await run('sh', ['-c', `${greymx} > /dev/full`], { cwd: dir }).catch((error) => error)
    assert.equal(full.code, 69, command)
    assert.match(full.stderr, /^Cannot write the output: ENOSPC: [^\n]*\n$/, command)
    const closed = await run('bash', ['-c', `${greymx} 2>&1 >&3 3>&- | cat; exit "\${PIPESTATUS[0]}"`], {
      cwd: dir,
    }).catch((error) => error)
    assert.doesNotMatch(String(closed.stdout), /\n\s+at /, command)
  }
})
