/**
 * The cluster's objects of one kind as its parts read them: shared by controllers, node agent, DNS and forwarder, so
 * that each kind is watched once. Fed by a reflector (caches.ts) or, in tests, by hand.
 */
import type { KubeObject } from '../../kube/object.ts'

export type CacheListener<T> = (key: string, object: T | undefined, before: T | undefined) => void

/** What readers may do. */
export interface ReadCache<T extends KubeObject> {
  /** The first list has been applied: absence means absence. */
  readonly synced: boolean
  get(namespace: string | undefined, name: string): T | undefined
  byKey(key: string): T | undefined
  all(): Iterable<T>
  /** Objects of one namespace. */
  in(namespace: string): T[]
  /** Calls for what is there, then for every change; `object` undefined means gone. */
  subscribe(listener: CacheListener<T>): () => void
}

export class ObjectCache<T extends KubeObject> implements ReadCache<T> {
  readonly #objects = new Map<string, T>()
  readonly #listeners = new Set<CacheListener<T>>()
  #synced = false

  get synced(): boolean {
    return this.#synced
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyFor(namespace, name))
  }

  byKey(key: string): T | undefined {
    return this.#objects.get(key)
  }

  all(): Iterable<T> {
    return this.#objects.values()
  }

  in(namespace: string): T[] {
    return [...this.#objects.values()].filter((object) => object.metadata.namespace === namespace)
  }

  subscribe(listener: CacheListener<T>): () => void {
    this.#listeners.add(listener)
    for (const [key, object] of this.#objects) listener(key, object, undefined)
    return () => this.#listeners.delete(listener)
  }

  set(object: T): void {
    const key = keyOf(object)
    const before = this.#objects.get(key)
    if (before?.metadata.resourceVersion !== undefined && isOlder(object, before)) return
    this.#objects.set(key, object)
    for (const listener of this.#listeners) listener(key, object, before)
  }

  delete(object: KubeObject): void {
    const key = keyOf(object)
    const before = this.#objects.get(key)
    // A deletion that is told late must not take the object that has the name since.
    if (before === undefined || (object.metadata.uid ?? before.metadata.uid) !== before.metadata.uid) return
    this.#objects.delete(key)
    for (const listener of this.#listeners) listener(key, undefined, before)
  }

  markSynced(): void {
    this.#synced = true
  }
}

export function keyFor(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`
}

export function keyOf(object: KubeObject): string {
  return keyFor(object.metadata.namespace, object.metadata.name ?? '')
}

/** Resource versions of one server are comparable integers (KEP-5504). */
function isOlder(object: KubeObject, than: KubeObject): boolean {
  if (object.metadata.uid !== than.metadata.uid) return false
  return Number(object.metadata.resourceVersion) < Number(than.metadata.resourceVersion)
}
