// Loaded into each process that runs a test file against a mutant: properties are tried with the same values each time,
// so that a run can be repeated, and a counterexample is not made smaller, as nobody reads it.

import { configureGlobal } from 'fast-check'

configureGlobal({ seed: 1, endOnFailure: true })
