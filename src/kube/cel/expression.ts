/**
 * One CEL expression of a CRD or a webhook's matchConditions, compiled once. The evaluator has no budget of its own, so
 * what an evaluation can cost at most is computed before it runs and refused beyond the limit: nested comprehensions
 * over a long list would otherwise hold the event loop for minutes.
 */
import type { ASTNode } from '@marcbachmann/cel-js'
import { kubernetesEnvironment } from './environment.ts'
import { PRESENCE } from './presence.ts'

/** Steps of the evaluator; 100 ns each, measured. Kubernetes' own limit per call is a million of its units. */
export const COST_MAX = 500_000
const SOURCE_CHARS_MAX = 65_536

export class CelError extends Error {
  override readonly name = 'CelError'
}

export interface Expression {
  /** Throws CelError: no such key, wrong types, too expensive. */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown
  /** Whether it names the variable. */
  uses(variable: string): boolean
}

/** Throws CelError with the reason in one line. */
export function compileExpression(source: string, variables: readonly string[]): Expression {
  if (source.length > SOURCE_CHARS_MAX) throw new CelError(`the expression is longer than ${SOURCE_CHARS_MAX}`)
  const program = celErrors(() => {
    const parsed = kubernetesEnvironment(variables).parse(withOwnFunctions(source))
    const { valid, error } = parsed.check()
    if (!valid) throw error ?? new Error('it does not type-check')
    return parsed
  })
  const { nodesByDepth, names } = shapeOf(program.ast)
  return {
    evaluate: (values) => {
      const longest = longestIn(Object.values(values))
      const cost = nodesByDepth.reduce((sum, nodes, depth) => sum + nodes * longest ** depth, 0)
      if (cost > COST_MAX) {
        throw new CelError(`it may take ${cost} steps on lists of ${longest}, more than ${COST_MAX}`)
      }
      return celErrors((): unknown => program({ ...values }))
    },
    uses: (variable) => names.has(variable),
  }
}

function celErrors<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new CelError(message.split('\n')[0] ?? message)
  }
}

const COMPREHENSIONS = new Set(['all', 'exists', 'exists_one', 'existsOne', 'map', 'filter'])

interface Shape {
  /** How many nodes run once, once per element, once per pair of elements … */
  readonly nodesByDepth: readonly number[]
  readonly names: ReadonlySet<string>
}

function shapeOf(root: ASTNode): Shape {
  const nodesByDepth: number[] = []
  const names = new Set<string>()
  const pending: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 0 }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, depth } = next
    if (Array.isArray(value)) {
      for (const one of value) pending.push({ value: one, depth })
    } else if (isNode(value)) {
      nodesByDepth[depth] = (nodesByDepth[depth] ?? 0) + 1
      if (value.op === 'id') names.add(value.args)
      if (value.op === 'rcall' && COMPREHENSIONS.has(value.args[0]) && value.args[2].length > 1) {
        pending.push({ value: value.args[1], depth }, { value: value.args[2], depth: depth + 1 })
      } else pending.push({ value: value.args, depth })
    }
  }
  // Depths without a node of their own stay holes otherwise.
  return { nodesByDepth: Array.from(nodesByDepth, (nodes) => nodes ?? 0), names }
}

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value

function longestIn(values: readonly unknown[]): number {
  let longest = 1
  const pending = [...values]
  for (let value = pending.pop(); pending.length > 0 || value !== undefined; value = pending.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const inner = Array.isArray(value) ? value : Object.values(value)
    longest = Math.max(longest, inner.length)
    for (const one of inner) if (typeof one === 'object' && one !== null) pending.push(one)
  }
  return longest
}

/**
 * `.matches(` becomes `.re2(`, our method on RE2: the evaluator's own uses a backtracking engine, and patterns and texts
 * are both given by tenants. `has(` becomes ours too (presence.ts). Strings are passed over as CEL writes them.
 */
function withOwnFunctions(source: string): string {
  return source.replaceAll(STRING_OR_CALL, (found) => {
    if (found.startsWith('.')) return '.re2('
    return found.startsWith('has') ? `${PRESENCE}(` : found
  })
}

const STRING_OR_CALL = new RegExp(
  [
    String.raw`[rR](?:"""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')`,
    String.raw`"""(?:\\[\s\S]|[^\\])*?"""|'''(?:\\[\s\S]|[^\\])*?'''`,
    String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`,
    String.raw`\.\s*matches\s*\(`,
    String.raw`(?<![\w.])has\s*\(`,
  ].join('|'),
  'g',
)
