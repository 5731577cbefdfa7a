/**
 * Objects of one kind as last seen, by `namespace/name`, with change callbacks that give old and new. One writer (its
 * reflector); readers must not modify what they get. Absence here means "the server said so", never "not heard of yet":
 * ask the reflector's `synced` for that.
 */
import type { KubeObject } from './object.ts'

export interface StoreChange<T> {
  readonly key: string
  /** Absent: the object is new. */
  readonly old: T | undefined
  /** Absent: the object is gone. */
  readonly new: T | undefined
}

export type StoreListener<T> = (change: StoreChange<T>) => void

export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #listeners = new Set<StoreListener<T>>()
  readonly #onListenerError: (error: unknown) => void

  constructor(onListenerError: (error: unknown) => void) {
    this.#onListenerError = onListenerError
  }

  get size(): number {
    return this.#objects.size
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(namespace === undefined ? name : `${namespace}/${name}`)
  }

  byKey(key: string): T | undefined {
    return this.#objects.get(key)
  }

  values(): IterableIterator<T> {
    return this.#objects.values()
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys()
  }

  /** Tells the listener every present object at once, then every change; returns the unsubscribe function. */
  subscribe(listener: StoreListener<T>): () => void {
    for (const [key, object] of this.#objects) this.#tell(listener, { key, old: undefined, new: object })
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** For the reflector. An object of the version already known is no change. */
  put(object: T): void {
    const key = keyOfObject(object)
    const old = this.#objects.get(key)
    if (old !== undefined && sameVersion(old, object)) return
    this.#objects.set(key, object)
    this.#publish({ key, old, new: object })
  }

  /** For the reflector. */
  drop(key: string): void {
    const old = this.#objects.get(key)
    if (this.#objects.delete(key)) this.#publish({ key, old, new: undefined })
  }

  /** For the reflector: the whole truth as of one list. */
  replaceAll(objects: readonly T[]): void {
    const present = new Set(objects.map((object) => keyOfObject(object)))
    for (const key of this.#objects.keys()) if (!present.has(key)) this.drop(key)
    for (const object of objects) this.put(object)
  }

  #publish(change: StoreChange<T>): void {
    for (const listener of this.#listeners) this.#tell(listener, change)
  }

  /** A listener's bug must not cost the other listeners their change, nor the watch its life. */
  #tell(listener: StoreListener<T>, change: StoreChange<T>): void {
    try {
      listener(change)
    } catch (error) {
      this.#onListenerError(error)
    }
  }
}

/** `namespace/name`, or `name` for what lies in no namespace. */
export function keyOfObject(object: KubeObject): string {
  const { namespace, name = '' } = object.metadata
  return namespace === undefined ? name : `${namespace}/${name}`
}

function sameVersion(old: KubeObject, object: KubeObject): boolean {
  const { resourceVersion, uid } = object.metadata
  return resourceVersion !== undefined && resourceVersion === old.metadata.resourceVersion && uid === old.metadata.uid
}
