// Makes the mutants of compiled files: copies with one small change each, as a programmer's slip would make it. They are
// made of the JavaScript, which is the TypeScript without its types, as that is what runs. run.ts finds out which of
// them the tests notice. The compiler calls its parser an unstable interface; package-lock.json pins the version.

import { readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { join } from 'node:path'
import {
  isArrayLiteralExpression,
  isAwaitExpression,
  isBinaryExpression,
  isCallExpression,
  isConditionalExpression,
  isExpressionStatement,
  isIfStatement,
  isNumericLiteral,
  isPrefixUnaryExpression,
  isPropertyAccessExpression,
  isReturnStatement,
  isTemplateExpression,
  isWhileStatement,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'

/** One change to one compiled file. */
export interface Mutant {
  /** Path of the compiled file, relative to the folder of the build: `src/greylist/decide.js`. */
  readonly file: string
  /** Offsets of the text that is replaced, in UTF-16 units. */
  readonly start: number
  readonly end: number
  readonly replacement: string
  /** Offset of code that runs whenever the changed code does. */
  readonly reachedAt: number
  /** Line in the TypeScript file, from 1. */
  readonly line: number
  /** The changed lines before and after the change, each run of white space a single space; short ones with the line before. */
  readonly before: string
  readonly after: string
}

/** Operators, each with the ones that replace it. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
  '||=': ['='],
  '??=': ['='],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '**': ['*'],
  '+=': ['-='],
  '-=': ['+='],
  '&': ['|'],
  '|': ['&'],
  '|=': ['&='],
}

/** Methods, each with the one that replaces it. */
const METHODS: Readonly<Record<string, string>> = {
  min: 'max',
  max: 'min',
  floor: 'ceil',
  ceil: 'floor',
  some: 'every',
  every: 'some',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  indexOf: 'lastIndexOf',
  lastIndexOf: 'indexOf',
}

/** Methods whose call is replaced by the value that they are called on. */
const REMOVED_METHODS = ['filter', 'reverse', 'slice', 'sort', 'toLowerCase', 'toReversed', 'trimEnd']

/** The mutants of compiled files, in the order of files and text. `build` is the folder to which `files` are relative. */
export function mutantsOf(build: string, files: readonly string[]): Mutant[] {
  const api = new API({ cwd: build })
  try {
    const project = api.updateSnapshot({ openProject: join(build, 'tsconfig.json') }).getProjects()[0]
    return files.flatMap((file) => {
      const source = project?.program.getSourceFile(join(build, file))
      if (!source) throw new Error(`Cannot read ${file} in ${build}: expected a compiled file`)
      return mutantsIn(source, file, readFileSync(join(build, `${file}.map`), 'utf8'))
    })
  } finally {
    api.close()
  }
}

/** The settings with which the compiler reads compiled files; they belong into `tsconfig.json` of the build's folder. */
export const PARSER_SETTINGS = JSON.stringify({
  compilerOptions: {
    allowJs: true,
    noLib: true,
    types: [],
    noEmit: true,
    noResolve: true,
    module: 'nodenext',
  },
  include: ['src'],
})

/** Length of a line from which on it is told by itself, in characters. */
const SHORT_LINE = 16

function mutantsIn(source: SourceFile, file: string, map: string): Mutant[] {
  const { text } = source
  const sourceMap = new SourceMap(JSON.parse(map))
  const mutants: Mutant[] = []
  const visit = (node: Node): void => {
    // V8 counts an operator like ?? with its right operand, which may not be evaluated; the whole begins with the left one.
    const nodeStart = node.getStart(source)
    for (const { start, end, replacement } of changesOf(node, source)) {
      const ownLine = text.lastIndexOf('\n', start - 1) + 1
      const newline = text.indexOf('\n', end)
      const lineEnd = newline === -1 ? text.length : newline
      // A line like `return;` says nothing without the one before it.
      const isShort = text.slice(ownLine, lineEnd).trim().length < SHORT_LINE
      const lineStart = isShort ? text.lastIndexOf('\n', ownLine - 2) + 1 : ownLine
      mutants.push({
        file,
        start,
        end,
        replacement,
        reachedAt: nodeStart,
        line: lineIn(sourceMap, text, start),
        before: inOneLine(text.slice(lineStart, lineEnd)),
        after: inOneLine(text.slice(lineStart, start) + replacement + text.slice(end, lineEnd)),
      })
    }
    node.forEachChild(visit)
  }
  source.forEachChild(visit)
  return mutants
}

function lineIn(map: SourceMap, text: string, offset: number): number {
  const before = text.slice(0, offset).split('\n')
  const entry = map.findEntry(before.length - 1, before.at(-1)?.length ?? 0)
  return 'originalLine' in entry ? entry.originalLine + 1 : 0
}

function inOneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

type Change = Pick<Mutant, 'start' | 'end' | 'replacement'>

/** The changes that begin with this node; those of the nodes in it are found by themselves. */
function changesOf(node: Node, source: SourceFile): Change[] {
  const replaced = (part: Node, ...replacements: readonly string[]): Change[] =>
    replacements.map((replacement) => ({ start: part.getStart(source), end: part.end, replacement }))
  const textOf = (part: Node): string => source.text.slice(part.getStart(source), part.end)
  const negated = (condition: Node): Change[] =>
    isCondition(condition) ? replaced(condition, `!(${textOf(condition)})`) : []

  if (isBinaryExpression(node)) {
    const { left, right, operatorToken } = node
    const operator = textOf(operatorToken)
    const joinsText = operator.startsWith('+') && [left, right].some(isText)
    const isLogical = operator === '&&' || operator === '||'
    return [
      ...(joinsText ? [] : replaced(operatorToken, ...(OPERATORS[operator] ?? []))),
      ...(isLogical ? negated(left) : []),
    ]
  }
  if (isIfStatement(node) || isWhileStatement(node)) return negated(node.expression)
  if (isConditionalExpression(node)) return negated(node.condition)
  if (isPrefixUnaryExpression(node)) {
    return textOf(node).startsWith('!') ? replaced(node, textOf(node.operand)) : []
  }
  if (isExpressionStatement(node)) {
    const { expression } = node
    const withoutAwait = isAwaitExpression(expression)
      ? replaced(node, `void ${textOf(expression.expression)};`)
      : []
    return [...replaced(node, ';'), ...withoutAwait]
  }
  if (isReturnStatement(node)) return node.expression ? [] : replaced(node, ';')
  if (isCallExpression(node) && isPropertyAccessExpression(node.expression)) {
    const { expression, name } = node.expression
    const method = textOf(name)
    const other = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined
    return [
      ...(other === undefined ? [] : replaced(name, other)),
      ...(REMOVED_METHODS.includes(method) ? replaced(node, textOf(expression)) : []),
    ]
  }
  if (isNumericLiteral(node)) {
    if (isName(node)) return []
    const number = Number(textOf(node).replaceAll('_', ''))
    return replaced(node, String(number + 1), number > 0 ? String(number - 1) : '(-1)')
  }
  if (isArrayLiteralExpression(node)) return node.elements.length > 0 ? replaced(node, '[]') : []
  if (isText(node)) return isName(node) ? [] : replaced(node, textOf(node).length > 2 ? "''" : "'mutant'")
  switch (node.kind) {
    case SyntaxKind.ContinueStatement:
    case SyntaxKind.BreakStatement:
    case SyntaxKind.ThrowStatement:
      return replaced(node, ';')
    case SyntaxKind.TrueKeyword:
      return replaced(node, 'false')
    case SyntaxKind.FalseKeyword:
      return replaced(node, 'true')
    case SyntaxKind.QuestionDotToken:
      // `?.` before an index or a call has no dot of its own.
      return replaced(node, /[[(]/.test(source.text.charAt(node.end)) ? '' : '.')
    default:
      return []
  }
}

/** Whether a condition has no operator that is replaced by itself. */
function isCondition(node: Node): boolean {
  return !isBinaryExpression(node) && !isPrefixUnaryExpression(node)
}

function isText(node: Node): boolean {
  const { kind } = node
  return (
    kind === SyntaxKind.StringLiteral ||
    kind === SyntaxKind.NoSubstitutionTemplateLiteral ||
    isTemplateExpression(node)
  )
}

/** Whether a literal names a module or a property, so that no expression can replace it. */
function isName(node: Node): boolean {
  const { parent } = node
  if (parent.kind === SyntaxKind.ImportDeclaration || parent.kind === SyntaxKind.ExportDeclaration)
    return true
  const names = parent as { readonly name?: Node; readonly propertyName?: Node }
  return names.name === node || names.propertyName === node
}
