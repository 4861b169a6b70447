// Writes the parts of a manual page. Source: man(7).

/** Returns `text` so that it is shown as it is, with dashes that can be copied. */
export function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&')
}

export function bold(text: string): string {
  return `\\fB${escaped(text)}\\fR`
}

/** Returns the beginning of a page. Its text is not hyphenated, so that names of settings stay whole. */
export function title(name: string, section: number, version: string): string {
  return `.TH ${name} ${section} "" "greymx ${version}" "greymx"\n.nh\n.ad l\n`
}

export function section(name: string, ...parts: readonly string[]): string {
  return `.SH ${name}\n${parts.join('')}`
}

export function subsection(name: string, ...parts: readonly string[]): string {
  return `.SS "${escaped(name)}"\n${parts.join('')}`
}

export function paragraph(text: string): string {
  return `.PP\n${escaped(text)}\n`
}

/** Returns an entry of a list: its tags, which are parts of lines already, and what it says. */
export function entry(tags: readonly string[], ...paragraphs: readonly string[]): string {
  const [first = '', ...others] = tags
  const body = paragraphs.map(escaped).join('\n.IP\n')
  return `.TP\n${first}\n${others.map((tag) => `.TQ\n${tag}\n`).join('')}${body === '' ? '' : `${body}\n`}`
}

/** Returns lines that are shown as they are. */
export function verbatim(lines: readonly string[]): string {
  return `.PP\n.RS 4\n.nf\n${lines.map((line) => `${escaped(line)}\n`).join('')}.fi\n.RE\n`
}
