/** `/clusters` of several workers as one: loads and counts add up, an endpoint is usable if any worker can use it. */
type Json = Readonly<Record<string, unknown>>

/** Either JSON form: a document with one list of clusters. */
export function mergeClusters(bodies: readonly string[]): string {
  const documents = bodies.map((body) => JSON.parse(body) as Json)
  const [first = {}, ...rest] = documents
  return `${JSON.stringify(rest.reduce(mergeItems, first), null, 1)}\n`
}

/** Envoy's text: `cluster::host::name::value`. */
export function mergeClusterLines(bodies: readonly string[]): string {
  const merged = new Map<string, string>()
  for (const line of bodies.join('').split('\n')) {
    if (line === '') continue
    const at = line.lastIndexOf('::') + 2
    const [key, value] = [line.slice(0, at), line.slice(at)]
    const before = merged.get(key)
    merged.set(key, before === undefined ? value : mergeText(key, before, value))
  }
  return [...merged].map(([key, value]) => `${key}${value}\n`).join('')
}

/** What workers hold apart: loads, counts, and their parts of the limits. */
const ADDS = /::(cx|rq|max)_\w+::$/

function mergeText(key: string, one: string, other: string): string {
  if (ADDS.test(key)) return String(Number(one) + Number(other))
  return key.endsWith('::health_flags::') && other === 'healthy' ? other : one
}

/** Numbers that say what is configured, the same in all workers. */
const CONFIGURED: ReadonlySet<string> = new Set(['priority', 'weight', 'port', 'port_value'])
/** True only where every worker says so. */
const UNANIMOUS: ReadonlySet<string> = new Set([
  'ejected',
  'failsCheck',
  'failed_active_health_check',
  'failed_outlier_check',
])

/** By what makes two items the same one, in the order of the first list. */
function mergeLists(one: readonly Json[], other: readonly Json[]): Json[] {
  const found = new Map<string, Json>()
  for (const item of [...one, ...other]) {
    const key = keyOf(item)
    const known = found.get(key)
    found.set(key, known === undefined ? item : mergeItems(known, item))
  }
  return [...found.values()]
}

const keyOf = (item: Json): string =>
  JSON.stringify(['name', 'address', 'transport', 'locality', 'priority'].map((field) => item[field] ?? null))

function mergeItems(one: Json, other: Json): Json {
  const merged: Record<string, unknown> = { ...one }
  for (const [name, value] of Object.entries(other)) merged[name] = mergeValues(name, one[name], value)
  for (const name of UNANIMOUS) if (name in merged && !(name in one && name in other)) delete merged[name]
  return merged
}

function mergeValues(name: string, one: unknown, other: unknown): unknown {
  if (one === undefined) return other
  const configured = CONFIGURED.has(name)
  const unanimous = UNANIMOUS.has(name)
  if (typeof one === 'number' && typeof other === 'number') return configured ? one : one + other
  if (typeof one === 'boolean' && typeof other === 'boolean') return unanimous ? one && other : one || other
  return mergeOthers(name, one, other)
}

function mergeOthers(name: string, one: unknown, other: unknown): unknown {
  if (Array.isArray(one) && Array.isArray(other)) return mergeLists(one as Json[], other as Json[])
  if (isObject(one) && isObject(other)) return mergeItems(one, other)
  // proto3 JSON writes 64-bit counts as text.
  if (name === 'value' && typeof one === 'string') return String(Number(one) + Number(other))
  return one === '' ? other : one
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null
