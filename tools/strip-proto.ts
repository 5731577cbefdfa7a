/**
 * Removes from a .proto file what the generated code has no use for: comments, CRLF and every custom option
 * (`validate`, `udpa.annotations`, `envoy.annotations`, `xds.annotations`). The bundled validate.proto is older than the
 * protos that use it, so they do not compile with those options; without the rest each proxy loads a third less
 * descriptor. It is no proto parser: it knows strings, comments and brackets, which is all that options need.
 */

/** One token: comment, string, white space, a word, or a single character. */
const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\s+|[A-Za-z0-9_.]+|./g
/** Files that define nothing but options. */
const OPTION_IMPORTS = /^import "(?:validate|udpa\/annotations|xds\/annotations|envoy\/annotations)\/[^"]*";\n/gm

const OPENERS = '[{('
const CLOSERS = ']})'

export function stripProto(source: string): string {
  const tokens = source.replaceAll('\r\n', '\n').match(TOKEN) ?? []
  const kept: string[] = []
  let index = 0
  while (index < tokens.length) {
    const token = tokens[index] ?? ''
    if (token.startsWith('//') || token.startsWith('/*')) {
      index += 1
    } else if (token === '[') {
      const end = closingOf(tokens, index)
      kept.push(plainOptions(tokens.slice(index + 1, end)))
      index = end + 1
    } else if (token === 'option' && nextWord(tokens, index) === '(') {
      index = endOfStatement(tokens, index)
    } else {
      kept.push(token)
      index += 1
    }
  }
  return kept
    .join('')
    .replaceAll(OPTION_IMPORTS, '')
    .replaceAll(/\n\s*\n+/g, '\n')
}

/** `[…]` without its custom options; nothing when only those were there. */
function plainOptions(tokens: readonly string[]): string {
  const options: string[] = []
  let depth = 0
  let current = ''
  for (const token of tokens) {
    if (token.startsWith('//') || token.startsWith('/*')) continue
    if (OPENERS.includes(token)) depth += 1
    if (CLOSERS.includes(token)) depth -= 1
    if (token === ',' && depth === 0) {
      options.push(current.trim())
      current = ''
    } else current += token
  }
  options.push(current.trim())
  const plain = options.filter((option) => option !== '' && !option.startsWith('('))
  return plain.length === 0 ? '' : `[${plain.join(', ')}]`
}

function closingOf(tokens: readonly string[], open: number): number {
  let depth = 0
  for (let index = open; index < tokens.length; index += 1) {
    const token = tokens[index] ?? ''
    if (OPENERS.includes(token)) depth += 1
    else if (CLOSERS.includes(token)) depth -= 1
    if (depth === 0) return index
  }
  throw new Error('a bracket is never closed')
}

function nextWord(tokens: readonly string[], index: number): string | undefined {
  return tokens.slice(index + 1).find((token) => token.trim() !== '')
}

/** Index after the `;` that ends the statement; `{…}` values may hold semicolons of their own. */
function endOfStatement(tokens: readonly string[], start: number): number {
  let depth = 0
  for (let index = start; index < tokens.length; index += 1) {
    const token = tokens[index] ?? ''
    if (OPENERS.includes(token)) depth += 1
    else if (CLOSERS.includes(token)) depth -= 1
    else if (token === ';' && depth === 0) return index + 1
  }
  throw new Error('an option is never ended')
}
