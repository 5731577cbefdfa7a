/**
 * How one kind of filter is compiled: its own configuration in a chain, and what the levels of a route table say to it.
 * The types of both stay inside the kind, so a chain can hold all kinds side by side.
 */
import type { ClusterState } from '../balance/cluster.ts'
import type { Step } from './step.ts'

/** What filters are compiled with. */
export interface FilterEnvironment {
  readonly clusterOf: (name: string) => ClusterState | undefined
  /** Of the chain, with its dot: `http.ingress.`. Empty where a table is compiled. */
  readonly statPrefix: string
  /** Numbers to count in, under their whole names: the same ones for the same scope, whatever is compiled anew. */
  /** The same object as long as `key`, which tells all it is made of, stays the same at this place. */
  readonly kept: <T extends object>(key: string, make: () => T) => T
  readonly counters: <N extends string>(scope: string, names: readonly N[]) => FilterCounters<N>
}

/** Of what is compiled outside any configuration. */
export const NO_ENVIRONMENT: FilterEnvironment = {
  clusterOf: () => undefined,
  statPrefix: '',
  kept: (_key, make) => make(),
  counters: (_scope, names) =>
    Object.fromEntries(names.map((name) => [name, 0])) as FilterCounters<(typeof names)[number]>,
}

export type FilterCounters<N extends string> = Record<N, number>

/** Of one level of a table; only its own kind can read it. */
export type Routed = object

export interface Listed {
  /** Undefined: nothing to do for this way. `levels`: those that say something, the most specific first. */
  step(levels: readonly Routed[]): Step | undefined
}

export interface FilterKind<ListedConfig, RoutedConfig> {
  /** `name`: the filter's own in its chain. */
  listed(config: ListedConfig, environment: FilterEnvironment, name: string): Listed
  routed(config: RoutedConfig, environment: FilterEnvironment): Routed
}

export interface KindParts<ListedConfig, RoutedConfig, Own, Level> {
  readonly listed: (config: ListedConfig, environment: FilterEnvironment, name: string) => Own
  readonly routed: (config: RoutedConfig, environment: FilterEnvironment) => Level
  readonly step: (own: Own, levels: readonly Level[]) => Step | undefined
}

export function filterKind<ListedConfig, RoutedConfig, Own, Level>(
  parts: KindParts<ListedConfig, RoutedConfig, Own, Level>,
): FilterKind<ListedConfig, RoutedConfig> {
  const levelOf = new WeakMap<Routed, { readonly level: Level }>()
  return {
    listed(config, environment, name) {
      const own = parts.listed(config, environment, name)
      return {
        step(levels) {
          const mine = levels.flatMap((routed) => {
            const found = levelOf.get(routed)
            return found === undefined ? [] : [found.level]
          })
          return parts.step(own, mine)
        },
      }
    },
    routed(config, environment) {
      const routed = {}
      levelOf.set(routed, { level: parts.routed(config, environment) })
      return routed
    },
  }
}
