/**
 * Mirrors one kind of one API server into a Store: list, then watch with bookmarks, for as long as it is told to. No
 * error ends it (client-node's informer dies on any non-410 error: reference k8s-wire, D5); what it last knew stays when
 * the server is away. A relist that shrinks by more than half is confirmed by a second list before anyone is told.
 */
import { Backoff } from '../runtime/backoff.ts'
import { delay, systemClock, type Clock } from '../runtime/clock.ts'
import { systemRandom, type Random } from '../runtime/random.ts'
import { KubeError, type KubeClient, type ListOptions } from './client.ts'
import { CUSTOM_RESOURCE_DEFINITIONS } from './kinds/apiextensions.ts'
import type { KubeList, KubeObject, Resource, WatchEvent } from './object.ts'
import { keyOfObject, Store } from './store.ts'

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient
  readonly resource: Resource<T>
  /** Namespace and selectors. */
  readonly scope?: ListOptions
  readonly clock?: Clock
  readonly random?: Random
  /** A cluster may lack the kind: where it has no such definition, that counts as none of its objects. */
  readonly mayBeAbsent?: boolean
  /** For the log and metrics; the reflector goes on by itself after `retryMs`. */
  readonly onError?: (error: unknown, retryMs: number) => void
}

/** As client-go's at first; `Backoff` jitters between half and the whole. */
const BACKOFF_INITIAL_MS = 800
/** client-go's 30 s would keep a controller blind for as long after its API server is back; peers converge in 10. */
const BACKOFF_MAX_MS = 5_000
/** A watch that lived this long clears what earlier failures added to the back-off. */
const HEALTHY_AFTER_MS = 60_000
/** Servers send a bookmark about every minute: longer silence is a connection that died without closing. */
const IDLE_MAX_MS = 90_000
/** As client-go: spreads the reconnects of many watches. */
const WATCH_SECONDS_MIN = 300
/** Time for an API server that lost its caches to find them again before the second list. */
const CONFIRM_AFTER_MS = 1_000

export class Reflector<T extends KubeObject> {
  readonly store: Store<T>
  /** Resolves once the first list is in the store. */
  readonly synced: Promise<void>
  readonly #options: ReflectorOptions<T>
  readonly #clock: Clock
  readonly #random: Random
  readonly #backoff: Backoff
  readonly #stop = new AbortController()
  #announceSynced: () => void = () => {}
  #hasSynced = false
  /** Empty: a list is due. */
  #version = ''
  /** Who waits for the next list to begin, and end. */
  #awaiting: (() => void)[] = []
  /** Ends a watch, or the wait for the next attempt, because a list is wanted now. */
  #again = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: ReflectorOptions<T>) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#backoff = new Backoff({ initialMs: BACKOFF_INITIAL_MS, maxMs: BACKOFF_MAX_MS, random: this.#random })
    this.store = new Store((error) => options.onError?.(error, 0))
    this.synced = new Promise((resolve) => {
      this.#announceSynced = resolve
    })
  }

  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** Idempotent. */
  start(): this {
    this.#running ??= this.#run()
    return this
  }

  /**
   * Resolves when the store is at least as new as this call: a list that began after it is in. A watch may be behind for
   * as long as its connection takes to break, and whoever takes over from another process must not begin with that.
   */
  renewed(): Promise<void> {
    const renewed = new Promise<void>((resolve) => {
      this.#awaiting.push(resolve)
    })
    this.#version = ''
    this.#again.abort()
    return renewed
  }

  /** Stop is not remove: the store keeps what it knows. Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonic()
      if (this.#again.signal.aborted) this.#again = new AbortController()
      let failure: unknown
      try {
        while (this.#version === '' && !signal.aborted) await this.#list()
        const ended = await this.#watch()
        // A server that ends each watch at once (restart, overload) must not be asked in a tight loop.
        if (ended === 'too-early') failure = new KubeError(0, 'WatchEnded', 'the server ended a watch at once')
      } catch (error) {
        failure = error
      }
      if (signal.aborted) return
      if (this.#clock.monotonic() - startedMs >= HEALTHY_AFTER_MS) this.#backoff.reset()
      if (failure === undefined) continue
      const retryMs = this.#backoff.next()
      if (isExpired(failure)) this.#version = ''
      if (!(await this.#takesAbsence(failure))) this.#options.onError?.(failure, retryMs)
      await delay(this.#clock, retryMs, AbortSignal.any([signal, this.#again.signal]))
    }
  }

  async #list(): Promise<void> {
    const awaiting = this.#awaiting
    this.#awaiting = []
    try {
      await this.#listAndConfirm()
    } catch (error) {
      this.#awaiting.unshift(...awaiting)
      throw error
    }
    for (const renewed of awaiting) renewed()
  }

  async #listAndConfirm(): Promise<void> {
    let list = await this.#listOnce()
    if (this.#shrinksByMoreThanHalf(list)) {
      // An API server that lost its data answers with an empty list and status 200: unknown is not empty.
      await delay(this.#clock, CONFIRM_AFTER_MS, this.#stop.signal)
      list = await this.#listOnce()
    }
    if (this.#stop.signal.aborted) return
    this.store.replaceAll(list.items)
    // Asked for another list meanwhile: this one may be older than the asking.
    if (this.#awaiting.length === 0) this.#version = list.metadata.resourceVersion
    this.#synced()
  }

  #synced(): void {
    if (this.#hasSynced) return
    this.#hasSynced = true
    this.#announceSynced()
  }

  /**
   * What is in the store stays: a definition that was removed by mistake must not empty the mesh. An API server that has
   * just started answers 404 for kinds that it will serve in a moment: only its definitions tell that from absence, and
   * as long as nobody knows, nothing is synced.
   */
  async #takesAbsence(failure: unknown): Promise<boolean> {
    if (this.#options.mayBeAbsent !== true || !(failure instanceof KubeError) || failure.code !== 404) return false
    if (this.#hasSynced) return this.#takeNone()
    const { client, resource } = this.#options
    try {
      const definition = await client.get(CUSTOM_RESOURCE_DEFINITIONS, `${resource.plural}.${resource.group}`)
      const versions = definition?.spec.versions ?? []
      if (versions.some(({ name, served }) => name === resource.version && served)) return false
    } catch {
      return false
    }
    this.#synced()
    return this.#takeNone()
  }

  /** There is nothing to list: whoever waits for a list has all there is. */
  #takeNone(): true {
    for (const renewed of this.#awaiting.splice(0)) renewed()
    return true
  }

  #listOnce(): Promise<KubeList<T>> {
    return this.#options.client.list(this.#options.resource, this.#options.scope)
  }

  #shrinksByMoreThanHalf(list: KubeList<T>): boolean {
    const present = new Set(list.items.map((object) => keyOfObject(object)))
    let kept = 0
    for (const key of this.store.keys()) if (present.has(key)) kept++
    return kept * 2 < this.store.size
  }

  async #watch(): Promise<'ended' | 'too-early'> {
    // Stopped while the list was under way: a signal that is aborted already tells nobody.
    if (this.#stop.signal.aborted) return 'ended'
    const { client, resource, scope } = this.#options
    const abort = new AbortController()
    const onStop = (): void => abort.abort()
    const again = this.#again.signal
    if (again.aborted) return 'ended'
    this.#stop.signal.addEventListener('abort', onStop, { once: true })
    again.addEventListener('abort', onStop, { once: true })
    let idle = false
    const armIdle = (): (() => void) =>
      this.#clock.after(IDLE_MAX_MS, () => {
        idle = true
        abort.abort()
      })
    let cancelIdle = armIdle()
    const startedMs = this.#clock.monotonic()
    let events = 0
    try {
      const timeoutSeconds = Math.round(WATCH_SECONDS_MIN * (1 + this.#random.next()))
      const watch = { ...scope, resourceVersion: this.#version, timeoutSeconds, signal: abort.signal }
      await client.watch(resource, watch, (event) => {
        cancelIdle()
        cancelIdle = armIdle()
        events++
        this.#apply(event)
      })
    } catch (error) {
      // Silence is answered with a new watch from the same version: nothing is lost and nothing is relisted.
      if (!idle && !again.aborted) throw error
    } finally {
      cancelIdle()
      this.#stop.signal.removeEventListener('abort', onStop)
      again.removeEventListener('abort', onStop)
    }
    return events === 0 && !idle && !again.aborted && this.#clock.monotonic() - startedMs < 1_000
      ? 'too-early'
      : 'ended'
  }

  #apply(event: WatchEvent<T>): void {
    if (this.#stop.signal.aborted || this.#again.signal.aborted) return
    const { resourceVersion } = event.object.metadata
    switch (event.type) {
      case 'ADDED':
      case 'MODIFIED':
        this.store.put(event.object)
        break
      case 'DELETED':
        this.store.drop(keyOfObject(event.object))
        break
      case 'BOOKMARK':
        break
    }
    if (resourceVersion !== undefined && resourceVersion !== '') this.#version = resourceVersion
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof KubeError && (error.code === 410 || error.reason === 'Expired')
}
