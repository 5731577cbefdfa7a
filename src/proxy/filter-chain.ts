/**
 * HTTP filters compiled: a chain's list once, what the levels of a route table say once, and the two put together when
 * the first request takes that way. Ways to which no level says anything share the chain's own steps.
 */
import {
  FILTER_NAMES,
  type FilterKindName,
  type ListedFilter,
  type ListedFilterOf,
  type PrincipalRule,
  type RoutedConfigs,
  type RoutedFilter,
  type RoutedFilterOf,
  type RoutedFilters,
} from '../model/config.ts'
import { allowed, FILTER_KINDS } from './filter-kinds.ts'
import type { FilterEnvironment, FilterKind, Listed, Routed } from './filters/kind.ts'
import { type Step, type Steps, stepsOf } from './filters/step.ts'

interface CompiledFilter {
  readonly name: string
  readonly disabled: boolean
  readonly listed: Listed
}

/** What one level says to one filter; without `config` only whether it runs. */
interface Said {
  readonly disabled: boolean
  readonly config: Routed | undefined
}

export type FilterLevel = ReadonlyMap<string, Said>

const NO_LEVELS: readonly FilterLevel[] = []

export class CompiledFilters {
  readonly #filters: readonly CompiledFilter[]
  /** Where the table says nothing. */
  readonly steps: Steps

  constructor(list: readonly ListedFilter[], environment: FilterEnvironment) {
    this.#filters = list.map((filter) => compileListed(filter, environment))
    this.steps = this.stepsFor(NO_LEVELS)
  }

  /** `levels`: the most specific first. */
  stepsFor(levels: readonly FilterLevel[]): Steps {
    const placed: [number, Step][] = []
    for (const [place, filter] of this.#filters.entries()) {
      const said = levels.flatMap((level) => level.get(filter.name) ?? [])
      // The most specific level that says anything decides whether it runs at all.
      if (said[0]?.disabled ?? filter.disabled) continue
      const step = filter.listed.step(said.flatMap(({ config }) => config ?? []))
      if (step !== undefined) placed.push([place, step])
    }
    return stepsOf(placed)
  }
}

/** What the levels of a table say on one way through it. */
export class FilterWay {
  readonly #levels: readonly FilterLevel[]
  readonly #known = new WeakMap<CompiledFilters, Steps>()
  // Nearly always there is one chain, asked for again and again.
  #filters: CompiledFilters | undefined = undefined
  #steps: Steps | undefined = undefined

  constructor(levels: readonly (FilterLevel | undefined)[]) {
    this.#levels = levels.filter((level) => level !== undefined && level.size > 0) as FilterLevel[]
  }

  get says(): boolean {
    return this.#levels.length > 0
  }

  stepsOf(filters: CompiledFilters): Steps {
    if (this.#filters === filters && this.#steps !== undefined) return this.#steps
    const steps = this.#known.get(filters) ?? filters.stepsFor(this.#levels)
    this.#known.set(filters, steps)
    this.#filters = filters
    this.#steps = steps
    return steps
  }
}

/** Undefined: the level says nothing. */
export function compileLevel(
  filters: RoutedFilters | undefined,
  environment: FilterEnvironment,
  allow?: PrincipalRule,
): FilterLevel | undefined {
  if (filters === undefined && allow === undefined) return undefined
  const level = new Map<string, Said>()
  for (const [name, filter] of Object.entries(filters ?? {})) level.set(name, compileSaid(filter, environment))
  if (allow !== undefined) level.set(FILTER_NAMES.rbac, { disabled: false, config: allowed(allow, environment) })
  return level
}

function compileSaid(filter: RoutedFilter, environment: FilterEnvironment): Said {
  if (filter.kind === 'off') return { disabled: true, config: undefined }
  return { disabled: false, config: compileRouted(filter, environment) }
}

/** The kind's row, known only to be of the same kind as the configuration beside it. */
type Rows = { readonly [Kind in keyof RoutedConfigs]: FilterKind<never, RoutedConfigs[Kind]> }

function compileRouted<Kind extends keyof RoutedConfigs>(
  { kind, config }: RoutedFilterOf<Kind>,
  environment: FilterEnvironment,
): Routed {
  const rows: Rows = FILTER_KINDS
  return rows[kind].routed(config, environment)
}

function compileListed<Kind extends FilterKindName>(
  { name, kind, config, disabled }: ListedFilterOf<Kind>,
  environment: FilterEnvironment,
): CompiledFilter {
  const listed = FILTER_KINDS[kind].listed(config, environment, name)
  return { name, disabled: disabled === true, listed }
}
