/** Regex rewrites: every match replaced, with RE2's `\1` for groups; compiled once. */
import { compileRegex } from '../../runtime/regex.ts'

/** Literal text, or the number of a group. */
type Part = string | number

export function compileSubstitution(source: string, substitution: string): (text: string) => string {
  const regex = compileRegex(source)
  const parts = partsOf(substitution)
  return (text) => {
    const matcher = regex.matcher(text)
    let result = ''
    let from = 0
    while (matcher.find()) {
      result += text.slice(from, matcher.start())
      for (const part of parts) result += typeof part === 'string' ? part : (matcher.group(part) ?? '')
      from = matcher.end()
    }
    return from === 0 && result === '' ? text : result + text.slice(from)
  }
}

function partsOf(substitution: string): Part[] {
  return substitution
    .split(/(\\[0-9\\])/)
    .map((piece) => {
      if (piece === '\\\\') return '\\'
      return piece.startsWith('\\') ? Number(piece.slice(1)) : piece
    })
    .filter((part) => part !== '')
}
