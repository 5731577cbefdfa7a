/** Filters in a test's few words: at most one of each kind, under its usual name. Never imported by the product. */
import {
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
  return [
    { name: FILTER_NAMES.cors, kind: 'cors', config: {} },
    { name: FILTER_NAMES.rbac, kind: 'rbac', config: rbac ?? {} },
    { name: FILTER_NAMES.rateLimit, kind: 'rateLimit', config: rateLimit === undefined ? {} : { policy: rateLimit } },
    { name: FILTER_NAMES.fault, kind: 'fault', config: fault ?? {} },
  ]
}
