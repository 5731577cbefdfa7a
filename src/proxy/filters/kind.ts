/**
 * How one kind of filter is compiled: its own configuration in a chain, and what the levels of a route table say to it.
 * The types of both stay inside the kind, so a chain can hold all kinds side by side.
 */
import type { HiddenSource } from '../../model/config.ts'
import type { ClusterState } from '../balance/cluster.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { Step } from './step.ts'

/** What filters share across configurations: caches, connections. */
export interface Kept {
  close(): void
}

export interface LastingEnvironment {
  /** Of whatever configuration is in force, for what outlives this one. */
  readonly liveClusterOf: (name: string) => ClusterState | undefined
  readonly timers: TimerWheel
  /** The part of that key from the configuration before, or a new one; closed when no configuration asks for it. */
  readonly keep: <Part extends Kept>(key: string, make: () => Part) => Part
}

/** What filters are compiled with. */
export interface FilterEnvironment extends LastingEnvironment {
  /** Of the configuration being compiled. */
  readonly clusterOf: (name: string) => ClusterState | undefined
  /** Passwords by the names that filters give them; undefined: not there, or of another kind. */
  readonly secretOf: (name: string) => HiddenSource | undefined
  /** Of the chain, with its dot: `http.ingress.`. Empty where a table is compiled. */
  readonly statPrefix: string
  /** The same object as long as `key`, which tells all it is made of, stays the same at this place. */
  readonly atPlace: <T extends object>(key: string, make: () => T) => T
  /** Numbers to count in, under their whole names: the same ones for the same scope, whatever is compiled anew. */
  readonly counters: <N extends string>(scope: string, names: readonly N[]) => FilterCounters<N>
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
