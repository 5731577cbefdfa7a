/**
 * Patterns (RE2) of an object: each must compile, and all together must be cheap enough to compile where requests are
 * served. Compiling costs 0.2 ms and up to 1 ms for 80 characters (measured); the budget keeps an object under 50 ms.
 */
import { regexFault } from '../../../runtime/regex.ts'
import { isRecord, join } from '../fields.ts'
import { error, type Flaw } from '../finding.ts'

const UNITS_MAX = 3_500
const UNITS_EACH = 20
/** Repetitions are unrolled. */
const UNITS_REPETITION = 3

const faults = new Map<string, string | undefined>()
const FAULTS_MAX = 5_000

/** What RE2 does not know (look-around, back references) is refused by its place. */
export const patternFlaws = (value: unknown, path: string): Iterable<Flaw> =>
  judgePatterns([...patternsIn(value, path)], path)

export function* judgePatterns(patterns: readonly Pattern[], path: string): Iterable<Flaw> {
  const distinct = new Set(patterns.map(({ pattern }) => pattern))
  let units = 0
  for (const pattern of distinct) units += unitsOf(pattern)
  if (units > UNITS_MAX) {
    const message = `has ${distinct.size} patterns that together are too costly (${units} units of at most ${UNITS_MAX})`
    yield error({ code: 'OBJECT_TOO_LARGE', field: path, message })
    return
  }
  for (const { pattern, field } of patterns) {
    const fault = faultOf(pattern)
    if (fault !== undefined) yield error({ code: 'REGEX_INVALID', field, message: fault })
  }
}

export interface Pattern {
  readonly pattern: string
  readonly field: string
}

/** Fields named `regex`, and the pattern of a rewrite. */
function* patternsIn(value: unknown, path: string): Iterable<Pattern> {
  if (Array.isArray(value)) {
    for (const [index, inner] of value.entries()) yield* patternsIn(inner, join(path, index))
  } else if (isRecord(value)) {
    for (const [name, inner] of Object.entries(value)) {
      const isPattern = name === 'regex' || (name === 'match' && path.endsWith('.uriRegexRewrite'))
      if (isPattern && typeof inner === 'string') yield { pattern: inner, field: join(path, name) }
      else yield* patternsIn(inner, join(path, name))
    }
  }
}

function unitsOf(pattern: string): number {
  let units = UNITS_EACH + pattern.length
  for (const [, least = '', most = ''] of pattern.matchAll(/\{([0-9]{1,4})(?:,([0-9]{0,4}))?\}/g)) {
    units += UNITS_REPETITION * Math.max(Number(least), Number(most))
  }
  return units
}

function faultOf(pattern: string): string | undefined {
  if (faults.has(pattern)) return faults.get(pattern)
  const fault = regexFault(pattern)
  if (faults.size >= FAULTS_MAX) faults.clear()
  faults.set(pattern, fault)
  return fault
}
