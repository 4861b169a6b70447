// Names of people and made-up words, by number: the same number has the same name in every run.

const CONSONANTS = 'bdfgklmnprstv'
const VOWELS = 'aeiou'
const SYLLABLES = CONSONANTS.length * VOWELS.length
const SYLLABLES_OF_WORD = 4
const WORDS = SYLLABLES ** SYLLABLES_OF_WORD

/** Has no divisor in common with the number of words, so that neighbouring numbers have unlike words. */
const STEP = 7_368_787

/** A word of eight letters; other numbers below 17 million have other words. */
export function wordOf(number: number): string {
  let rest = ((number % WORDS) * STEP) % WORDS
  let word = ''
  for (let count = 0; count < SYLLABLES_OF_WORD; count += 1) {
    const syllable = rest % SYLLABLES
    word += CONSONANTS.charAt(Math.floor(syllable / VOWELS.length)) + VOWELS.charAt(syllable % VOWELS.length)
    rest = Math.floor(rest / SYLLABLES)
  }
  return word
}

const FIRST_NAMES =
  `ada alan ann anton ben carla clara daniel dora emil emma erik eva felix fritz greta hanna hugo ida
  ines ivan jan jim joe julia karl lea leo lisa lotte luis mara max mia nils nora olga oscar otto paul pia ralf rosa sam
  sara sven theo tim tina tom ulla uwe vera wanda yves zoe`.split(/\s+/)
const LAST_NAMES =
  `adams albers bach bauer becker berg blum brandt braun carter conrad cruz diaz dietz eder engel evans
  falk fink fischer fox frank gross haas hahn hill hoffman jansen jones kaiser keller klein koch kraus kuhn lang lehman
  lopez maier marsh martin meyer moore mueller neumann novak olsen peters quinn reed richter roth sauer schmidt schulz
  simon stein taylor vogel wagner weber wolf young ziegler`.split(/\s+/)

/** The local part of a person's address; other numbers below some thousands have other names. */
export function personOf(number: number): string {
  const first = FIRST_NAMES[number % FIRST_NAMES.length]
  const last = LAST_NAMES[Math.floor(number / FIRST_NAMES.length) % LAST_NAMES.length]
  const round = Math.floor(number / (FIRST_NAMES.length * LAST_NAMES.length))
  return round === 0 ? `${first}.${last}` : `${first}.${last}.${wordOf(round)}`
}
