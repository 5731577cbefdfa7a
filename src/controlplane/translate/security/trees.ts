/**
 * Building blocks of RBAC trees that fold what is known already: a chain knows its port, so a rule about another one is
 * gone before it is sent. Pure, and the same for permissions and principals.
 */
import type { DestinationLeaf, PeerLeaf, RuleTree } from '../../../model/config.ts'

type Leaf = DestinationLeaf | PeerLeaf

export const ANY = { kind: 'any' } as const
/** Matches nothing; whole rules that fold to it are left out. */
export const NEVER = { kind: 'not', of: ANY } as const

const isAny = (tree: RuleTree<Leaf>): boolean => tree.kind === 'any'
export const isNever = (tree: RuleTree<Leaf>): boolean => tree.kind === 'not' && tree.of.kind === 'any'

export function and<L extends Leaf>(trees: readonly RuleTree<L>[]): RuleTree<L> {
  if (trees.some(isNever)) return NEVER
  const [first, ...rest] = trees.filter((tree) => !isAny(tree))
  if (first === undefined) return ANY
  return rest.length === 0 ? first : { kind: 'and', of: [first, ...rest] }
}

export function or<L extends Leaf>(trees: readonly RuleTree<L>[]): RuleTree<L> {
  if (trees.some(isAny)) return ANY
  const [first, ...rest] = trees.filter((tree) => !isNever(tree))
  if (first === undefined) return NEVER
  return rest.length === 0 ? first : { kind: 'or', of: [first, ...rest] }
}

export function not<L extends Leaf>(tree: RuleTree<L>): RuleTree<L> {
  if (isAny(tree)) return NEVER
  return isNever(tree) ? ANY : { kind: 'not', of: tree }
}

export const known = (is: boolean): typeof ANY | typeof NEVER => (is ? ANY : NEVER)
