// A list of domains, each standing for itself and all below it → a matcher. One look-up per label of the name.

/** The configured domain that `name` is or lies below. `name` is in normal form. */
export type DomainMatcher = (name: string) => string | undefined

export function compileDomains(domains: Iterable<string>): DomainMatcher {
  const known = new Set(domains)
  if (known.size === 0) return () => undefined
  return (name) => {
    for (let rest = name; rest !== ''; ) {
      if (known.has(rest)) return rest
      const dot = rest.indexOf('.')
      rest = dot === -1 ? '' : rest.slice(dot + 1)
    }
    return undefined
  }
}

/** Marks are the vowel signs and accents of scripts such as Devanagari. */
const LABEL = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_-]*[\p{L}\p{M}\p{N}_])?$/u

/** Whether `text` can be a domain or host name of one label or more. */
export function isDomain(text: string): boolean {
  return text.split('.').every((label) => LABEL.test(label))
}
