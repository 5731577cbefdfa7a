/** Where a rule leads: backends by weight, the headers that each changes, and 500 for the share of those that are none. */
import type { ForwardAction, HashPolicy, WeightedCluster } from '../../../model/config.ts'
import { type AnyFilter, headersOf } from './filters.ts'

export interface BackendRef {
  readonly group: string
  readonly kind: string
  readonly namespace?: string
  readonly name: string
  readonly port?: number
}

export interface WeighedRef extends BackendRef {
  readonly weight: number
  readonly filters?: readonly AnyFilter[] | undefined
}

export interface Target {
  readonly cluster: string
  /** What requests to it are placed by. */
  readonly hash?: HashPolicy
}

/** Undefined: there is none, or not for who calls. `namespace`: of the route. */
export type FindBackend = (ref: BackendRef, namespace: string) => Target | undefined

/** A cluster that no proxy has: the route answers 500 for it. */
export const invalidCluster = ({ kind, namespace, name, port }: BackendRef): string =>
  ['invalid', String(port ?? ''), kind, [namespace, name].filter((part) => part !== undefined).join('/')].join('|')

const HEADER_FILTERS = new Set(['RequestHeaderModifier', 'ResponseHeaderModifier'])

/** Undefined: nothing of it can be reached, so the rule answers 500 by itself. */
export function clustersOf(
  refs: readonly WeighedRef[],
  find: (ref: BackendRef) => Target | undefined,
): Pick<ForwardAction, 'cluster' | 'hash' | 'unknownClusterStatus'> | undefined {
  const targets = refs
    .filter(({ weight }) => weight > 0)
    .map((ref) => {
      const { filters = [] } = ref
      // What else a backend's filters ask for is not done for one backend alone: nothing goes there without it.
      const isRun = filters.every(({ type }) => HEADER_FILTERS.has(type))
      const target = isRun ? find(ref) : undefined
      return { name: target?.cluster ?? invalidCluster(ref), weight: ref.weight, target, headers: headersOf(filters) }
    })
  if (!targets.some(({ target }) => target !== undefined)) return undefined
  const hash = distinct(targets.flatMap(({ target }) => target?.hash ?? []))
  return {
    cluster: only(targets) ?? targets.map(weightedOf),
    unknownClusterStatus: 500,
    ...(hash.length > 0 && { hash }),
  }
}

interface Weighed {
  readonly name: string
  readonly weight: number
  readonly headers: ReturnType<typeof headersOf>
}

function only(targets: readonly Weighed[]): string | undefined {
  const [first] = targets
  return targets.length === 1 && Object.keys(first?.headers ?? {}).length === 0 ? first?.name : undefined
}

const weightedOf = ({ name, weight, headers: { mutations, host } }: Weighed): WeightedCluster => ({
  name,
  weight,
  ...(host !== undefined && { rewriteHost: { kind: 'literal', host } }),
  ...(mutations !== undefined && { headers: mutations }),
})

function distinct(policies: readonly HashPolicy[]): readonly HashPolicy[] {
  return [...new Map(policies.map((policy) => [JSON.stringify(policy), policy])).values()]
}
