/** Filters in a test's few words: at most one of each kind, under its usual name. Never imported by the product. */
import {
  DEFAULT_FILTERS,
  FILTER_NAMES,
  type ListedFilter,
  type RoutedConfigs,
  type RoutedFilter,
  type RoutedFilters,
} from '../../src/model/config.ts'

export type Filters = Partial<Pick<RoutedConfigs, keyof typeof FILTER_NAMES>>

/** As a route or virtual host says it. */
export function saying(filters: Filters): RoutedFilters {
  const entries = Object.entries(filters).map(([kind, config]) => {
    const filter = { kind, config } as RoutedFilter
    return [FILTER_NAMES[kind as keyof Filters], filter] as const
  })
  return Object.fromEntries(entries)
}

/** As a chain lists it, among all that may be configured. */
export function listing({ rbac, rateLimit, fault }: Omit<Filters, 'cors'>): readonly ListedFilter[] {
  return DEFAULT_FILTERS.map((filter): ListedFilter => {
    if (filter.kind === 'rbac' && rbac !== undefined) return { ...filter, config: rbac }
    if (filter.kind === 'fault' && fault !== undefined) return { ...filter, config: fault }
    if (filter.kind === 'rateLimit' && rateLimit !== undefined) return { ...filter, config: { policy: rateLimit } }
    return filter
  })
}
