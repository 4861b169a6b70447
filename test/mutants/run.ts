// Runs the unit tests against mutants: each mutant against the test files that reach its place, its module's own file
// first. A mutant is killed if a test fails or does not end, and survives otherwise.

import { mulberry32 } from '../bench/random.ts'
import { describes, type Equivalent, sourceOf } from './equivalent.ts'
import { type Mutant, mutantsOf } from './operators.ts'
import { describeTrial, hasSurvived } from './report.ts'
import { type Baseline, type Range, Sandbox } from './sandbox.ts'
import { type UnitTest, unitTests } from './tests.ts'

export interface RunOptions {
  /** The folder of the repository, with the build in `build/`. */
  readonly root: string
  /** Which files of src get mutants, by their path like `src/greylist/decide.ts`. */
  readonly files: (file: string) => boolean
  /** Which test files run, by their path like `test/greylist/decide.test.ts`. */
  readonly tests: (file: string) => boolean
  /** Number of mutants, drawn from all by `seed`; absent for all. */
  readonly sample?: number | undefined
  readonly seed: number
  /** Number of mutants that are tried at once. */
  readonly jobs: number
  readonly equivalents: readonly Equivalent[]
  readonly say: (line: string) => void
}

export interface Trial {
  readonly mutant: Mutant
  readonly isKilled: boolean
  /** Whether any test gets to the mutant's place. */
  readonly isReached: boolean
  /** Whether it is listed as one that no test can notice. */
  readonly isEquivalent: boolean
}

export interface Report {
  readonly trials: readonly Trial[]
  /** Listed mutants of the files that were not made. */
  readonly unmade: readonly Equivalent[]
}

/** Time limit of a test file with a mutant: this multiple of its time without, plus a number of milliseconds. */
const TIMEOUT_FACTOR = 4
const TIMEOUT_EXTRA = 5000

/** Number of mutants between two lines about progress. */
const PROGRESS_INTERVAL = 50

/** Tries the mutants, and reports what became of each. Rejects if a test fails without any mutant. */
export async function runMutants(options: RunOptions): Promise<Report> {
  const { root, equivalents, say, jobs } = options
  const sandboxes = await Promise.all(Array.from({ length: jobs }, () => Sandbox.create(root)))
  try {
    const [first] = sandboxes
    if (!first) throw new Error(`Cannot run ${jobs} jobs: expected 1 or more`)
    const tests = unitTests(first.dir).filter(({ file }) => options.tests(sourceOf(file)))
    const files = [...new Set(tests.flatMap(({ all }) => [...all]))]
      .filter((file) => file.startsWith('src/') && options.files(sourceOf(file)))
      .sort()
    if (files.length === 0)
      throw new Error('Cannot make mutants: no file of src that a test imports was chosen')
    const all = mutantsOf(first.dir, files)
    const chosen = options.sample === undefined ? all : sampleOf(all, options.sample, options.seed)
    say(`${chosen.length} of ${all.length} mutants of ${files.length} files`)
    const reaching = await measureAll(first, tests, files, say)
    const trials: Trial[] = []
    const waiting = chosen.values()
    await Promise.all(
      sandboxes.map(async (sandbox) => {
        for (const mutant of waiting) {
          const runs = runsFor(mutant, reaching)
          const isKilled = runs.length > 0 && (await sandbox.kills(mutant, runs))
          const isEquivalent = equivalents.some((entry) => describes(entry, mutant))
          const trial = { mutant, isKilled, isReached: runs.length > 0, isEquivalent }
          trials.push(trial)
          if (hasSurvived(trial)) say(describeTrial(trial))
          if (trials.length % PROGRESS_INTERVAL === 0) say(`${trials.length} tried`)
        }
      }),
    )
    const unmade = equivalents.filter(
      (entry) =>
        files.some((file) => sourceOf(file) === entry.file) &&
        !all.some((mutant) => describes(entry, mutant)),
    )
    return { trials: trials.toSorted((a, b) => compare(a.mutant, b.mutant)), unmade }
  } finally {
    for (const sandbox of sandboxes) sandbox.remove()
  }
}

function compare(one: Mutant, other: Mutant): number {
  return one.file < other.file ? -1 : one.file > other.file ? 1 : one.start - other.start
}

/** As many of the mutants as wanted, each as likely as any other. */
function sampleOf(mutants: readonly Mutant[], size: number, seed: number): Mutant[] {
  const random = mulberry32(seed)
  const drawn = mutants.map((mutant) => ({ mutant, key: random() })).sort((a, b) => a.key - b.key)
  return drawn.slice(0, size).map(({ mutant }) => mutant)
}

interface MeasuredTest {
  readonly test: UnitTest
  readonly baseline: Baseline
}

async function measureAll(
  sandbox: Sandbox,
  tests: readonly UnitTest[],
  files: readonly string[],
  say: (line: string) => void,
): Promise<MeasuredTest[]> {
  const measured: MeasuredTest[] = []
  for (const test of tests.filter(({ all }) => files.some((file) => all.has(file)))) {
    const baseline = await sandbox.measure(test.file)
    say(`${test.file} takes ${(baseline.time / 1000).toFixed(1)} s`)
    if (baseline.result === 'failed')
      throw new Error(`Cannot judge mutants by ${test.file}: it fails without any`)
    measured.push({ test, baseline })
  }
  return measured
}

/** The runs of test files that reach the mutant's place: the module's own tests first, then quick ones before slow. */
function runsFor(
  mutant: Mutant,
  measured: readonly MeasuredTest[],
): Array<{ file: string; timeout: number }> {
  const own = mutant.file.replace(/^src/, 'test').replace(/\.js$/, '.test.js')
  const distance = ({ file, direct }: UnitTest) => (file === own ? 0 : direct.has(mutant.file) ? 1 : 2)
  return measured
    .filter(({ baseline }) => isReached(baseline.ranges.get(mutant.file) ?? [], mutant.reachedAt))
    .sort((a, b) => distance(a.test) - distance(b.test) || a.baseline.time - b.baseline.time)
    .map(({ test, baseline }) => ({
      file: test.file,
      timeout: TIMEOUT_FACTOR * baseline.time + TIMEOUT_EXTRA,
    }))
}

/** Whether code at an offset was run: the innermost range around it says so. */
function isReached(ranges: readonly Range[], offset: number): boolean {
  let innermost = Number.POSITIVE_INFINITY
  let count = 0
  for (const range of ranges) {
    if (offset < range.startOffset || offset >= range.endOffset) continue
    const size = range.endOffset - range.startOffset
    if (size < innermost) count = range.count
    else if (size === innermost) count += range.count
    innermost = Math.min(innermost, size)
  }
  return count > 0
}
