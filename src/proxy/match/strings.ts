/**
 * String matchers of routes and policies, compiled once per configuration into one predicate each. Regular
 * expressions match the whole text, as `safe_regex` does.
 */
import type { StringMatch } from '../../model/config.ts'
import { compileRegex } from '../../runtime/regex.ts'

export type StringTest = (text: string) => boolean

export function compileString(match: StringMatch): StringTest {
  if (match.kind === 'regex') {
    const regex = compileRegex(match.value)
    return (text) => regex.testExact(text)
  }
  if (match.ignoreCase !== true) return plainTest(match.kind, match.value)
  const test = plainTest(match.kind, match.value.toLowerCase())
  return (text) => test(text.toLowerCase())
}

function plainTest(kind: Exclude<StringMatch['kind'], 'regex'>, value: string): StringTest {
  switch (kind) {
    case 'exact':
      return (text) => text === value
    case 'prefix':
      return (text) => text.startsWith(value)
    case 'suffix':
      return (text) => text.endsWith(value)
    case 'contains':
      return (text) => text.includes(value)
    default:
      return kind satisfies never
  }
}
