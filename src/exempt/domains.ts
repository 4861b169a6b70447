// Compiles a list of domains, each of which stands for itself and all below it, into a matcher.

/** The configured domain that `name`, in normal form, is or lies below; `undefined` if there is none. */
export type DomainMatcher = (name: string) => string | undefined

/** The matcher for a list of domains in normal form; it makes one look-up for each label of the name. */
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

/** A label; its marks (M) are the vowel signs and accents of scripts such as Devanagari. */
const LABEL = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_-]*[\p{L}\p{M}\p{N}_])?$/u

/** Whether `text` can be a domain or host name of one label or more. */
export function isDomain(text: string): boolean {
  return text.split('.').every((label) => LABEL.test(label))
}
