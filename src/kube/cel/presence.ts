/**
 * `has(e.f)` for any `e`: the evaluator's own macro takes chains of names only, and the Gateway API's definitions ask
 * `has(self[0].matches)`. Expressions are rewritten to this one before they are parsed.
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js'

export const PRESENCE = 'isthmusHas'

/** What the evaluator gives a macro; its types do not name them. */
interface Checker {
  check(node: ASTNode, context: unknown): unknown
  getType(name: 'bool'): unknown
  createError(code: string, message: string, node: ASTNode): Error
}
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown
}

export function presence(environment: Environment): void {
  environment.registerFunction(`${PRESENCE}(ast): bool`, ({ args: [node] }: { args: readonly ASTNode[] }) => ({
    args: [node],
    async: false,
    typeCheck: (checker: Checker, _macro: unknown, context: unknown) => {
      const [of] = selected(node) ?? []
      if (of === undefined || node === undefined) {
        throw checker.createError('invalid_macro_argument', 'has() invalid argument', node as ASTNode)
      }
      checker.check(of, context)
      return checker.getType('bool')
    },
    evaluate: (evaluator: Evaluator, _macro: unknown, context: unknown) => {
      const [of, name = ''] = selected(node) ?? []
      return of !== undefined && holds(evaluator.run(of, context), name)
    },
  }))
}

/** `e.f`: what is asked, and for which field. */
function selected(node: ASTNode | undefined): readonly [ASTNode, string] | undefined {
  return node?.op === '.' ? [node.args[0], node.args[1]] : undefined
}

function holds(value: unknown, name: string): boolean {
  if (value instanceof Map) return value.has(name)
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
}
