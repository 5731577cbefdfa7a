/**
 * A `KubeClient` without a server: tests and the simulator run controllers against it. Semantics follow
 * reference k8s-wire, section 5 (resourceVersions, conflicts, watches with replay, bookmarks and 410); what it does not
 * simulate it refuses. Faults are injected through `hook`, `dropWatches` and `compact`.
 */
import { systemClock, type Clock } from '../../runtime/clock.ts'
import {
  KubeError,
  type KubeClient,
  type ListOptions,
  type PatchOptions,
  type RawRequest,
  type RemoveOptions,
  type WriteOptions,
} from '../client.ts'
import type { KubeList, KubeObject, Resource, WatchEvent } from '../object.ts'
import { apiVersionOf } from '../paths.ts'
import { collectionOf, MemoryStore, type StoredChange } from './memory-store.ts'
import { jsonPatch, mergePatch, strategicPatch } from './patches.ts'
import { matcherOf, type Matcher } from './selectors.ts'

export interface MemoryRequest {
  readonly verb: 'get' | 'list' | 'create' | 'replace' | 'patch' | 'remove' | 'watch' | 'raw'
  readonly plural: string
  readonly name?: string
  readonly namespace?: string
  readonly subresource?: string
}

export interface MemoryClientOptions {
  readonly clock?: Clock
  /** Runs before every request; throw a KubeError to fail it, return a promise to delay it. */
  readonly hook?: (request: MemoryRequest) => void | Promise<void>
  /** Answers `raw`; absent, every raw request is 404. */
  readonly raw?: (request: RawRequest) => unknown
}

interface Watcher {
  readonly end: (error?: KubeError) => void
  readonly bookmark: () => void
}

const PATCHES = { merge: mergePatch, json: jsonPatch, strategic: strategicPatch } as const
/** A patch is read, changed and written in one turn here, so it meets no conflict of its own. */
const PATCHED = { patched: true } as const

export class MemoryClient implements KubeClient {
  readonly #options: MemoryClientOptions
  readonly #clock: Clock
  readonly #store: MemoryStore
  readonly #watchers = new Set<Watcher>()
  /** Every request in order, for assertions. */
  readonly requests: MemoryRequest[] = []
  /** Replaceable at any time. */
  hook: ((request: MemoryRequest) => void | Promise<void>) | undefined

  constructor(options: MemoryClientOptions = {}) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#store = new MemoryStore(this.#clock)
    this.hook = options.hook
  }

  /** Current resourceVersion. */
  get version(): number {
    return this.#store.version
  }

  get watchers(): number {
    return this.#watchers.size
  }

  /** Tells every change as it is stored, whatever becomes of the watches; for who judges. */
  onChange(listener: (change: StoredChange) => void): () => void {
    return this.#store.onChange(listener)
  }

  /** All objects of a kind as they stand; not to be changed. */
  standing<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    return this.#store.all(resource) as readonly T[]
  }

  /** Forgets the history: watches from before get 410. */
  compact(): void {
    this.#store.compact()
  }

  /** Ends all watches, as a restarting server does, or breaks them. */
  dropWatches(error?: KubeError): void {
    for (const watcher of this.#watchers) watcher.end(error)
  }

  /** Sends every watch a bookmark at the current version. */
  bookmark(): void {
    for (const watcher of this.#watchers) watcher.bookmark()
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    await this.#enter('get', resource, { name, namespace })
    const found = this.#store.get(resource, { name, namespace })
    return found === undefined ? undefined : present(resource, found)
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    await this.#enter('list', resource, { namespace: options.namespace })
    const matches = this.#matcher(options)
    const items = this.#store
      .all(resource)
      .filter((object) => matches(object))
      .map((object) => present(resource, object))
    return { items, metadata: { resourceVersion: String(this.#store.version) } }
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    await this.#enter('create', resource, { ...object.metadata, subresource: options.subresource })
    return present(resource, this.#store.create(resource, object, options))
  }

  async replace<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    await this.#enter('replace', resource, { ...object.metadata, subresource: options.subresource })
    return present(resource, this.#store.update(resource, object, options))
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    await this.#enter('patch', resource, { ...target, subresource: options.subresource })
    const stored = this.#store.get(resource, target)
    if (stored === undefined) throw new KubeError(404, 'NotFound', `${resource.plural} "${target.name}" not found`)
    const isCustom = resource.group.includes('.') && !resource.group.endsWith('.k8s.io')
    if (options.type === 'strategic' && (isCustom || resource.group === 'multicluster.x-k8s.io')) {
      throw new KubeError(415, 'UnsupportedMediaType', 'custom resources take merge and JSON patches')
    }
    const patched = PATCHES[options.type](stored, patch) as T
    return present(resource, this.#store.update(resource, patched, { ...options, ...PATCHED }))
  }

  async remove<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    options: RemoveOptions = {},
  ): Promise<boolean> {
    await this.#enter('remove', resource, target)
    return this.#store.remove(resource, target, options)
  }

  async watch<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions & { resourceVersion: string; timeoutSeconds: number; signal: AbortSignal },
    onEvent: (event: WatchEvent<T>) => void,
  ): Promise<void> {
    await this.#enter('watch', resource, { namespace: options.namespace })
    const from = Number(options.resourceVersion === '' ? 0 : options.resourceVersion)
    if (from !== 0 && from < this.#store.oldestVersion) {
      throw new KubeError(410, 'Expired', `too old resource version: ${from} (${this.#store.oldestVersion})`)
    }
    const feed = new WatchFeed(resource, this.#matcher(options), onEvent)
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: unknown): void => {
        this.#watchers.delete(watcher)
        unsubscribe()
        cancel()
        options.signal.removeEventListener('abort', onAbort)
        if (error === undefined) resolve()
        else
          reject(error instanceof Error ? error : new Error('a watcher threw what is not an error', { cause: error }))
      }
      const guarded = (run: () => void): void => {
        try {
          run()
        } catch (error) {
          finish(error)
        }
      }
      const watcher: Watcher = {
        end: finish,
        bookmark: () => guarded(() => feed.bookmark(this.#store.version)),
      }
      const onAbort = (): void => finish(new KubeError(0, 'Aborted', `watch ${resource.plural}: aborted`))
      const unsubscribe = this.#store.onChange((change) => guarded(() => feed.change(change)))
      const cancel = this.#clock.after(options.timeoutSeconds * 1000, () => {
        watcher.bookmark()
        finish()
      })
      this.#watchers.add(watcher)
      if (options.signal.aborted) return onAbort()
      options.signal.addEventListener('abort', onAbort, { once: true })
      return guarded(() => {
        if (from === 0) feed.initial(this.#store.all(resource))
        else for (const change of this.#store.since(from)) feed.change(change)
      })
    })
  }

  async raw<R>(request: RawRequest): Promise<R> {
    await this.#enter('raw', { plural: request.path }, {})
    if (this.#options.raw === undefined) throw new KubeError(404, 'NotFound', `${request.path} is not simulated`)
    return (await this.#options.raw(request)) as R
  }

  close(): void {
    this.dropWatches()
  }

  async #enter(
    verb: MemoryRequest['verb'],
    resource: { plural: string },
    target: { name?: string | undefined; namespace?: string | undefined; subresource?: string | undefined },
  ): Promise<void> {
    const request: MemoryRequest = {
      verb,
      plural: resource.plural,
      ...(target.name === undefined ? {} : { name: target.name }),
      ...(target.namespace === undefined ? {} : { namespace: target.namespace }),
      ...(target.subresource === undefined ? {} : { subresource: target.subresource }),
    }
    this.requests.push(request)
    await this.hook?.(request)
  }

  #matcher(options: ListOptions): Matcher {
    const matches = matcherOf(options)
    const { namespace } = options
    return (object) => (namespace === undefined || object.metadata.namespace === namespace) && matches(object)
  }
}

/** Turns stored changes into the events of one watch, selector transitions included. */
class WatchFeed<T extends KubeObject> {
  readonly #resource: Resource<T>
  readonly #matches: Matcher
  readonly #onEvent: (event: WatchEvent<T>) => void

  constructor(resource: Resource<T>, matches: Matcher, onEvent: (event: WatchEvent<T>) => void) {
    this.#resource = resource
    this.#matches = matches
    this.#onEvent = onEvent
  }

  initial(objects: readonly KubeObject[]): void {
    for (const object of objects) if (this.#matches(object)) this.#emit('ADDED', object)
  }

  change({ collection, before, after, version }: StoredChange): void {
    if (collection !== collectionOf(this.#resource)) return
    const was = before !== undefined && this.#matches(before)
    const is = after !== undefined && this.#matches(after)
    if (is) this.#emit(was ? 'MODIFIED' : 'ADDED', after)
    else if (was) {
      const metadata = { ...before.metadata, resourceVersion: String(version) }
      this.#emit('DELETED', { ...before, metadata })
    }
  }

  bookmark(version: number): void {
    const { kind } = this.#resource
    const object = { apiVersion: apiVersionOf(this.#resource), kind, metadata: { resourceVersion: String(version) } }
    this.#emit('BOOKMARK', object)
  }

  #emit(type: WatchEvent<T>['type'], object: KubeObject): void {
    this.#onEvent({ type, object: present(this.#resource, object) })
  }
}

/** A copy in the version that was asked for (conversion None changes nothing but apiVersion). */
function present<T extends KubeObject>(resource: Resource<T>, object: KubeObject): T {
  return { ...structuredClone(object), apiVersion: apiVersionOf(resource), kind: resource.kind } as T
}
