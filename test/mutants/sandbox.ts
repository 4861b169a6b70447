// A copy of the build in which one mutant at a time is put, and processes that run test files in it.

import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Mutant, PARSER_SETTINGS } from './operators.ts'

/** What a test file did: `failed` also for one that did not end in time. */
export type TestResult = 'passed' | 'failed'

/** The calls of a compiled file that a test file made: V8's counts for ranges of its text. */
export interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

/** A run of a test file without any mutant. */
export interface Baseline {
  readonly result: TestResult
  /** Milliseconds that the run took. */
  readonly time: number
  /** By compiled file. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>
}

/** Keeps a mutant that allocates without end from taking the machine's memory. */
const MAX_HEAP_MEGABYTES = 768

/** Time limit of a run without a mutant, in milliseconds. */
const BASELINE_TIMEOUT = 180_000

export class Sandbox {
  /** The folder of the copy. */
  readonly dir: string
  readonly #root: string
  readonly #removeFolder = () => rmSync(this.dir, { recursive: true, force: true })

  private constructor(root: string, dir: string) {
    this.#root = root
    this.dir = dir
    process.once('exit', this.#removeFolder)
  }

  /** A copy of `root/build`, in which packages are found as in the build itself. */
  static async create(root: string): Promise<Sandbox> {
    const sandbox = new Sandbox(root, await mkdtemp(join(root, 'build', 'mutants-')))
    const { dir } = sandbox
    for (const part of ['src', 'test'])
      await cp(join(root, 'build', part), join(dir, part), { recursive: true })
    writeFileSync(join(dir, 'tsconfig.json'), PARSER_SETTINGS)
    return sandbox
  }

  /** Removes the copy. One that is left is removed when the process exits. */
  remove(): void {
    process.off('exit', this.#removeFolder)
    this.#removeFolder()
  }

  /** Runs a test file without a mutant, and notes which code it reaches. */
  async measure(test: string): Promise<Baseline> {
    const dir = join(this.dir, 'coverage')
    await mkdir(dir, { recursive: true })
    const startedAt = performance.now()
    const result = await this.run(test, BASELINE_TIMEOUT, { NODE_V8_COVERAGE: dir })
    const time = performance.now() - startedAt
    const ranges = new Map<string, readonly Range[]>()
    for (const name of await readdir(dir)) {
      const { result: scripts } = JSON.parse(await readFile(join(dir, name), 'utf8'))
      for (const { url, functions } of scripts) {
        if (!url.startsWith(pathToFileURL(this.dir).href)) continue
        const file = relative(this.dir, new URL(url).pathname)
        const found = functions.flatMap(({ ranges }: { ranges: Range[] }) => ranges)
        ranges.set(file, [...(ranges.get(file) ?? []), ...found])
      }
    }
    rmSync(dir, { recursive: true })
    return { result, time, ranges }
  }

  /** Runs test files with the mutant, one after the other, until one fails; returns whether one did. */
  async kills(mutant: Mutant, tests: ReadonlyArray<{ file: string; timeout: number }>): Promise<boolean> {
    const path = join(this.dir, mutant.file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.slice(0, mutant.start) + mutant.replacement + text.slice(mutant.end))
    try {
      for (const { file, timeout } of tests) if ((await this.run(file, timeout)) === 'failed') return true
      return false
    } finally {
      writeFileSync(path, text)
    }
  }

  /** Runs a test file, and ends it at its first failure or when `timeout`, in milliseconds, has passed. */
  run(test: string, timeout: number, environment: NodeJS.ProcessEnv = {}): Promise<TestResult> {
    const preload = pathToFileURL(join(this.dir, 'test/mutants/preload.js')).href
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${MAX_HEAP_MEGABYTES}`,
        ...['--import', preload, '--test-reporter=tap', join(this.dir, test)],
      ],
      {
        cwd: this.#root,
        env: { ...withoutTestRunner(process.env), ...environment },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    // A DNS server that a test has started ends with the process.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout)
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk
      if (FAILURE.test(printed)) child.kill('SIGKILL')
    })
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status) => {
        clearTimeout(timer)
        resolve(status === 0 ? 'passed' : 'failed')
      })
    })
  }
}

/** A line of TAP for a failed test. */
const FAILURE = /^\s*not ok/m

/** The environment without the mark by which a test runner knows its own children. */
function withoutTestRunner({ NODE_TEST_CONTEXT: _, ...environment }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return environment
}
