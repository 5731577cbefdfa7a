/**
 * All objects of the cluster in memory, each write journalled before it is visible, one resourceVersion for the whole
 * server. Writes are synchronous: a handler reads, decides and writes without anyone in between, so there are no
 * retries inside the server. Knows nothing of kinds, HTTP or validation.
 */
import type { ApiObject } from '../object.ts'
import { EventRing, type StoreEvent } from './event-ring.ts'
import { Journal, type JournalOptions, type JournalRecord } from './journal.ts'

export type Listener = (event: StoreEvent) => void

/** What a watch starts from: the events it missed, or that they are gone. */
export type Subscription =
  | { readonly kind: 'live'; readonly missed: readonly StoreEvent[]; readonly cancel: () => void }
  | { readonly kind: 'expired'; readonly oldest: number }

/** Refused before anything changed; the cause is the disk's own words. */
export class StoreFullError extends Error {}

interface Collection {
  readonly objects: Map<string, ApiObject>
  readonly ring: EventRing
  readonly listeners: Set<Listener>
}

export class Store {
  readonly #collections = new Map<string, Collection>()
  #journal: Journal | undefined
  #resourceVersion = 0
  /** Events before this one are known to no ring: the journal starts here. */
  #floor = 0

  static open(options: JournalOptions): Store {
    const store = new Store()
    store.#journal = Journal.open(options, (record, bytes) => store.#replay(record, bytes))
    // The first write of a new cluster is 2: "0" and "1" have special or suspicious meanings to clients.
    store.#resourceVersion = Math.max(store.#resourceVersion, 1)
    return store
  }

  get resourceVersion(): number {
    return this.#resourceVersion
  }

  get(type: string, key: string): ApiObject | undefined {
    return this.#collections.get(type)?.objects.get(key)
  }

  /** In key order, as etcd lists. */
  list(type: string, namespace = ''): ApiObject[] {
    const collection = this.#collections.get(type)
    if (collection === undefined) return []
    const prefix = namespace === '' ? '' : `${namespace}/`
    const keys = [...collection.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
    return keys.flatMap((key) => collection.objects.get(key) ?? [])
  }

  /** As it was at an earlier version; undefined where the events since are no longer known, or the version never was. */
  listAt(type: string, namespace: string, rv: number): ApiObject[] | undefined {
    const collection = this.#collections.get(type)
    const since = collection?.ring.after(rv)
    if (collection === undefined || since === undefined || rv > this.#resourceVersion) return undefined
    const objects = new Map(collection.objects)
    for (const { type: change, object, previous } of since.toReversed()) {
      const { name = '', namespace: own = '' } = object.metadata
      const key = own === '' ? name : `${own}/${name}`
      if (change === 'ADDED' || previous === undefined) objects.delete(key)
      else objects.set(key, previous)
    }
    const prefix = namespace === '' ? '' : `${namespace}/`
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort()
    return keys.flatMap((key) => objects.get(key) ?? [])
  }

  count(type: string): number {
    return this.#collections.get(type)?.objects.size ?? 0
  }

  /** Stores and announces; returns the stored object with its new resourceVersion. */
  put(type: string, key: string, object: ApiObject): ApiObject {
    const rv = this.#resourceVersion + 1
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(rv) } }
    const bytes = this.#append({ rv, t: type, k: key, o: stored })
    this.#applyPut(type, key, stored, bytes)
    this.#compactIfDue()
    return stored
  }

  /** `last` is the state that watchers see in DELETED; its resourceVersion becomes the deletion's. */
  remove(type: string, key: string, last: ApiObject): ApiObject {
    const rv = this.#resourceVersion + 1
    const removed = { ...last, metadata: { ...last.metadata, resourceVersion: String(rv) } }
    const bytes = this.#append({ rv, t: type, k: key, l: removed })
    this.#applyRemove(type, key, removed, bytes)
    this.#compactIfDue()
    return removed
  }

  /** Events after `from` in order, then live. The listener is called synchronously from the write. */
  subscribe(type: string, from: number, listener: Listener): Subscription {
    const collection = this.#collection(type)
    const missed = collection.ring.after(from)
    if (missed === undefined) return { kind: 'expired', oldest: collection.ring.floor }
    collection.listeners.add(listener)
    return { kind: 'live', missed, cancel: () => collection.listeners.delete(listener) }
  }

  /** Drops the history of a kind that no longer exists, so that a namesake starts afresh. */
  forget(type: string): void {
    if (this.count(type) > 0) return
    const ring = new EventRing(this.#resourceVersion)
    this.#collections.set(type, { objects: new Map(), ring, listeners: new Set() })
  }

  close(): void {
    this.#journal?.close()
  }

  #append(record: JournalRecord): number {
    try {
      return this.#journal?.append(record) ?? 0
    } catch (error) {
      throw new StoreFullError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }

  #replay(record: JournalRecord, bytes: number): void {
    if (record.t === '') {
      this.#resourceVersion = record.rv
      this.#floor = record.rv
    } else if (record.rv <= this.#floor) {
      this.#collection(record.t).objects.set(record.k, record.o as ApiObject)
    } else if (record.o === undefined) {
      this.#applyRemove(record.t, record.k, record.l as ApiObject, bytes)
    } else {
      this.#applyPut(record.t, record.k, record.o as ApiObject, bytes)
    }
  }

  // oxlint-disable-next-line max-params -- what one record says, and its size
  #applyPut(type: string, key: string, object: ApiObject, bytes: number): void {
    const collection = this.#collection(type)
    const previous = collection.objects.get(key)
    collection.objects.set(key, object)
    const rv = versionOf(object)
    this.#resourceVersion = rv
    announce(collection, { rv, type: previous === undefined ? 'ADDED' : 'MODIFIED', object, previous }, bytes)
  }

  // oxlint-disable-next-line max-params -- what one record says, and its size
  #applyRemove(type: string, key: string, removed: ApiObject, bytes: number): void {
    const collection = this.#collection(type)
    const previous = collection.objects.get(key) ?? removed
    collection.objects.delete(key)
    const rv = versionOf(removed)
    this.#resourceVersion = rv
    announce(collection, { rv, type: 'DELETED', object: removed, previous }, bytes)
  }

  #collection(type: string): Collection {
    let collection = this.#collections.get(type)
    if (collection === undefined) {
      collection = { objects: new Map(), ring: new EventRing(this.#floor), listeners: new Set() }
      this.#collections.set(type, collection)
    }
    return collection
  }

  #compactIfDue(): void {
    if (this.#journal?.wantsCompaction === true) this.#journal.compact(this.#resourceVersion, this.#live())
  }

  *#live(): Generator<JournalRecord> {
    for (const [t, collection] of this.#collections)
      for (const [k, o] of collection.objects) yield { rv: versionOf(o), t, k, o }
  }
}

function versionOf(object: ApiObject): number {
  return Number(object.metadata.resourceVersion)
}

function announce(collection: Collection, event: StoreEvent, bytes: number): void {
  collection.ring.push(event, bytes)
  for (const listener of collection.listeners) listener(event)
}
