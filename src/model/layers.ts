/**
 * Several tables read as one, first layer first. What all proxies share stays one Map, however many proxies there are;
 * only what is a proxy's own is built for it. The layers' names are disjoint by construction.
 */
export class Layers<V> implements ReadonlyMap<string, V> {
  readonly layers: readonly ReadonlyMap<string, V>[]

  constructor(layers: readonly ReadonlyMap<string, V>[]) {
    this.layers = layers
  }

  get size(): number {
    return this.layers.reduce((sum, { size }) => sum + size, 0)
  }

  get(name: string): V | undefined {
    for (const layer of this.layers) {
      const found = layer.get(name)
      if (found !== undefined) return found
    }
    return undefined
  }

  has(name: string): boolean {
    return this.layers.some((layer) => layer.has(name))
  }

  forEach(visit: (value: V, name: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [name, value] of this) visit(value, name, this)
  }

  *entries(): MapIterator<[string, V]> {
    for (const layer of this.layers) yield* layer.entries()
  }

  *keys(): MapIterator<string> {
    for (const layer of this.layers) yield* layer.keys()
  }

  *values(): MapIterator<V> {
    for (const layer of this.layers) yield* layer.values()
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }
}

/** The tables that a client's state is kept by. */
export function layersOf<V>(table: ReadonlyMap<string, V>): readonly ReadonlyMap<string, V>[] {
  return table instanceof Layers ? (table as Layers<V>).layers : [table]
}
