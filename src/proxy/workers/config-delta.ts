/**
 * Configurations on their way to a worker: what changed, resource by resource. Unchanged resources stay the very same
 * objects over there, which is what the proxy goes by when it decides what to compile and which connections to keep.
 */
import { type ProxyConfig, reviveHidden } from '../../model/config.ts'

/** Tables whose resources may hold keys. */
const HIDING: ReadonlySet<string> = new Set<keyof ProxyConfig>(['listeners', 'clusters', 'secrets'])

type Table = ReadonlyMap<string, unknown>
type Tables = Readonly<Record<string, Table>>

export interface ConfigDelta {
  readonly set: Readonly<Record<string, readonly (readonly [string, unknown])[]>>
  readonly removed: Readonly<Record<string, readonly string[]>>
}

/** `before` absent: everything. */
export function deltaOf(before: ProxyConfig | undefined, next: ProxyConfig): ConfigDelta {
  const set: Record<string, [string, unknown][]> = {}
  const removed: Record<string, string[]> = {}
  const old = before as Tables | undefined
  for (const [kind, table] of Object.entries(next as unknown as Tables)) {
    const had = old?.[kind]
    if (had === table) continue
    set[kind] = [...table].filter(([name, value]) => had?.get(name) !== value)
    removed[kind] = had === undefined ? [] : [...had.keys()].filter((name) => !table.has(name))
  }
  return { set, removed }
}

/** Tables without a change stay the same objects too. */
export function applyDelta(config: ProxyConfig, { set, removed }: ConfigDelta): ProxyConfig {
  const tables: Record<string, Table> = { ...(config as unknown as Tables) }
  for (const [kind, entries] of Object.entries(set)) {
    const gone = removed[kind] ?? []
    if (entries.length === 0 && gone.length === 0) continue
    const table = new Map(tables[kind])
    for (const name of gone) table.delete(name)
    for (const [name, value] of entries) {
      if (HIDING.has(kind)) reviveHidden(value)
      table.set(name, value)
    }
    tables[kind] = table
  }
  return tables as unknown as ProxyConfig
}
