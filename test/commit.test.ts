// Tests of what the build writes for `greymx --version`: the commit, or nothing where it is not known.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { scratch } from './support/scratch.ts'

const run = promisify(execFile)

async function commitIn(dir: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout, stderr } = await run('sh', ['src/commit.sh'], { cwd: dir, env: { ...process.env, ...env } })
  assert.equal(stderr, '')
  return stdout
}

/** Makes a folder with sources in it. */
async function sourcesIn(dir: string): Promise<void> {
  await mkdir(join(dir, 'src'), { recursive: true })
  await copyFile('src/commit.sh', join(dir, 'src/commit.sh'))
  await writeFile(join(dir, 'package.json'), '{}\n')
}

test('commit.sh prints the commit of a clone, and whether files were changed', async (t) => {
  const dir = await scratch(t)
  await sourcesIn(dir)
  const git = (...args: readonly string[]) =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: dir })
  await git('init', '--quiet')
  await git('add', '.')
  await git('commit', '--quiet', '--no-verify', '--message', 'first')
  const { stdout: commit } = await git('rev-parse', '--short=12', 'HEAD')
  assert.equal(await commitIn(dir), commit)
  await writeFile(join(dir, 'package.json'), '{ "changed": true }\n')
  assert.equal(await commitIn(dir), `${commit.trim()}-dirty\n`)

  // This repository does not know the sources within it.
  await sourcesIn(join(dir, 'unpacked'))
  assert.equal(await commitIn(join(dir, 'unpacked')), '')
})

test('commit.sh prints nothing without a repository or without git, or what it is told', async (t) => {
  const dir = await scratch(t)
  await sourcesIn(dir)
  assert.equal(await commitIn(dir), '')
  assert.equal(await commitIn(dir, { SOURCE_COMMIT: '1ec4843' }), '1ec4843\n')
  await mkdir(join(dir, 'bin'))
  await run('ln', ['-s', '/bin/sh', join(dir, 'bin/sh')])
  assert.equal(await commitIn(dir, { PATH: join(dir, 'bin') }), '')
})
