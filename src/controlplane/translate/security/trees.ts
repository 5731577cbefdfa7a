/**
 * Building blocks of RBAC trees that fold what is known already: a chain knows its port, so a rule about another one is
 * gone before it is sent. Pure, and the same for permissions and principals.
 */
import type { Permission, Principal } from '../../../model/config.ts'

type Tree = Permission | Principal

export const ANY = { kind: 'any' } as const
/** Matches nothing; whole rules that fold to it are left out. */
export const NEVER = { kind: 'not', of: ANY } as const

export const isAny = (tree: Tree): boolean => tree.kind === 'any'
export const isNever = (tree: Tree): boolean => tree.kind === 'not' && tree.of.kind === 'any'

export function and<T extends Tree>(trees: readonly T[]): T | typeof ANY | typeof NEVER {
  if (trees.some(isNever)) return NEVER
  const [first, ...rest] = trees.filter((tree) => !isAny(tree))
  if (first === undefined) return ANY
  return rest.length === 0 ? first : ({ kind: 'and', of: [first, ...rest] } as unknown as T)
}

export function or<T extends Tree>(trees: readonly T[]): T | typeof ANY | typeof NEVER {
  if (trees.some(isAny)) return ANY
  const [first, ...rest] = trees.filter((tree) => !isNever(tree))
  if (first === undefined) return NEVER
  return rest.length === 0 ? first : ({ kind: 'or', of: [first, ...rest] } as unknown as T)
}

export function not<T extends Tree>(tree: T): T | typeof ANY | typeof NEVER {
  if (isAny(tree)) return NEVER
  if (isNever(tree)) return ANY
  return { kind: 'not', of: tree } as unknown as T
}

export const known = (is: boolean): typeof ANY | typeof NEVER => (is ? ANY : NEVER)
