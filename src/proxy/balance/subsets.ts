/**
 * Which endpoints a request may use by their metadata: Envoy's subsets and their fallbacks. Decides on a set, as a
 * key and a rule of membership; the set's table is cluster.ts's to keep, the choice within it picker.ts's.
 */
import type { Endpoint, Metadata, MetadataValue, Subsets, SubsetSelector } from '../../model/config.ts'

export interface Subset {
  /** Tells subsets apart, and stays the same for the same criteria. */
  readonly key: string
  contains(endpoint: Endpoint): boolean
}

const ALL: Subset = { key: '*', contains: () => true }

/**
 * The subset for `criteria`; undefined: no endpoint may be used. `isEmpty` is asked before a subset is chosen, for one
 * without endpoints does not exist.
 */
export function chooseSubset(
  config: Subsets,
  criteria: Metadata | undefined,
  isEmpty: (subset: Subset) => boolean,
): Subset | undefined {
  const selector = criteria === undefined ? undefined : selectorOf(config, Object.keys(criteria))
  if (criteria === undefined || selector === undefined) return fallback(config, config.fallback)
  const subset = subsetOf(config, criteria)
  if (!isEmpty(subset)) return subset
  if (selector.fallback !== 'keys') return fallback(config, selector.fallback ?? config.fallback)
  // Fewer keys each time (the codec sees to that), so this ends.
  const fewer = Object.fromEntries((selector.fallbackKeys ?? []).flatMap((key) => entryOf(criteria, key)))
  return chooseSubset(config, fewer, isEmpty)
}

function selectorOf(config: Subsets, keys: readonly string[]): SubsetSelector | undefined {
  return config.selectors.find(
    (selector) => selector.keys.length === keys.length && selector.keys.every((key) => keys.includes(key)),
  )
}

function fallback(config: Subsets, policy: Subsets['fallback']): Subset | undefined {
  if (policy === 'none') return undefined
  return policy === 'any' ? ALL : subsetOf(config, config.defaultSubset ?? {})
}

function entryOf(criteria: Metadata, key: string): [string, MetadataValue][] {
  const value = criteria[key]
  return value === undefined ? [] : [[key, value]]
}

function subsetOf(config: Subsets, criteria: Metadata): Subset {
  const wanted = Object.entries(criteria).map(([key, value]) => ({ key, value: canonical(value) }))
  const key = canonical(criteria)
  const contains = (endpoint: Endpoint): boolean =>
    wanted.every(({ key, value }) => matches(endpoint.metadata?.[key], value, config.listAsAny === true))
  return { key, contains }
}

/** Every value of `wanted` is the endpoint's. */
export const hasMetadata = (endpoint: Endpoint, wanted: Metadata): boolean =>
  Object.entries(wanted).every(([key, value]) => matches(endpoint.metadata?.[key], canonical(value), false))

function matches(own: MetadataValue | undefined, wanted: string, listAsAny: boolean): boolean {
  if (own === undefined) return false
  if (listAsAny && Array.isArray(own)) return own.some((item: MetadataValue) => canonical(item) === wanted)
  return canonical(own) === wanted
}

/** Equal values have equal text, whatever the order of their keys. */
function canonical(value: MetadataValue): string {
  if (Array.isArray(value)) return `[${value.map((item: MetadataValue) => canonical(item)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
}
