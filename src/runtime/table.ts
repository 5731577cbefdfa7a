/**
 * A watchable table, not an event emitter: storing an equal value is silent, a subscriber first gets the current
 * state, bursts coalesce per key into one delivery, and each table has one writer.
 */
import { isDeepStrictEqual } from 'node:util'

export interface Change<K, V> {
  readonly key: K
  /** Absent: the key was removed. */
  readonly value: V | undefined
}

export type Subscriber<K, V> = (changes: readonly Change<K, V>[]) => void

export class Table<K, V> {
  readonly #rows = new Map<K, V>()
  readonly #pending = new Set<K>()
  readonly #subscribers = new Set<Subscriber<K, V>>()
  #scheduled = false

  get(key: K): V | undefined {
    return this.#rows.get(key)
  }

  entries(): ReadonlyMap<K, V> {
    return this.#rows
  }

  get size(): number {
    return this.#rows.size
  }

  set(key: K, value: V): void {
    if (this.#rows.has(key) && isDeepStrictEqual(this.#rows.get(key), value)) return
    this.#rows.set(key, value)
    this.#changed(key)
  }

  delete(key: K): void {
    if (this.#rows.delete(key)) this.#changed(key)
  }

  /** Delivers the present rows in the next microtask, then every change; returns the unsubscribe function. */
  subscribe(subscriber: Subscriber<K, V>): () => void {
    queueMicrotask(() => {
      subscriber([...this.#rows].map(([key, value]) => ({ key, value })))
      this.#subscribers.add(subscriber)
    })
    return () => this.#subscribers.delete(subscriber)
  }

  #changed(key: K): void {
    this.#pending.add(key)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#deliver())
  }

  #deliver(): void {
    this.#scheduled = false
    const changes = [...this.#pending].map((key) => ({ key, value: this.#rows.get(key) }))
    this.#pending.clear()
    for (const subscriber of this.#subscribers) subscriber(changes)
  }
}
