/** `/clusters` of several workers as one: loads and counts add up, an endpoint is usable if any worker can use it. */
type Json = Readonly<Record<string, unknown>>

export function mergeClusters(bodies: readonly string[]): string {
  const clusters = bodies.map((body) => (JSON.parse(body) as { clusters?: readonly Json[] }).clusters ?? [])
  return `${JSON.stringify({ clusters: mergeLists(clusters, (cluster) => String(cluster['name'])) }, null, 2)}\n`
}

/** By what makes two items the same one, in the order of the first list. */
function mergeLists(lists: readonly (readonly Json[])[], keyOf: (item: Json) => string): Json[] {
  const found = new Map<string, Json>()
  for (const item of lists.flat()) {
    const key = keyOf(item)
    const known = found.get(key)
    found.set(key, known === undefined ? item : mergeItems(known, item))
  }
  return [...found.values()]
}

/** Numbers that say what is configured, the same in all workers. */
const CONFIGURED: ReadonlySet<string> = new Set(['priority', 'weight', 'port'])
/** True only where every worker says so. */
const UNANIMOUS: ReadonlySet<string> = new Set(['ejected', 'failsCheck'])

function mergeItems(one: Json, other: Json): Json {
  const merged: Record<string, unknown> = { ...one }
  for (const [name, value] of Object.entries(other)) merged[name] = mergeValues(name, one[name], value)
  return merged
}

function mergeValues(name: string, one: unknown, other: unknown): unknown {
  if (one === undefined) return other
  if (typeof one === 'number' && typeof other === 'number') return CONFIGURED.has(name) ? one : one + other
  if (typeof one === 'boolean' && typeof other === 'boolean') return UNANIMOUS.has(name) ? one && other : one || other
  if (Array.isArray(one) && Array.isArray(other)) return mergeLists([one as Json[], other as Json[]], endpointKey)
  if (isObject(one) && isObject(other)) return mergeItems(one, other)
  return one === '' ? other : one
}

const endpointKey = (endpoint: Json): string =>
  [endpoint['address'], endpoint['transport'], endpoint['locality'], endpoint['priority']].join('|')

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null
