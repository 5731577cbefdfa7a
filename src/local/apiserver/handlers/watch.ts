/**
 * Watch: a stream of events from a resourceVersion on, one JSON document per line. Nothing is buffered without limit:
 * a reader that lags is cut off and lists again. Ends cleanly at `timeoutSeconds` and when the server closes.
 */
import type { Cancel } from '../../../runtime/clock.ts'
import { present } from '../kinds/kind.ts'
import type { ApiObject, JsonObject } from '../object.ts'
import { endResponse, flushHead, writeChunk, writeHead } from '../http/response.ts'
import { isTrue } from '../http/request-info.ts'
import { expired, type Status } from '../status.ts'
import type { Predicate } from '../store/selectors.ts'
import type { StoreEvent } from '../store/event-ring.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import { forbiddenOption, requestedVersion, selection } from './read.ts'
import type { Scope } from './scope.ts'

const BACKLOG_BYTES_MAX = 16 * 1024 * 1024 // one relist of a large cluster; above it the reader is stuck
const BOOKMARK_INTERVAL_MS = 60_000
const BOOKMARK_BEFORE_END_MS = 2_000
const TIMEOUT_MS_MIN = 30 * 60_000 // default lifetime is 30 to 60 minutes, spread so that clients do not reconnect at once
const TIMEOUT_SECONDS_MAX = 2_147_483 // a longer Node timer fires at once

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'

/** How an object is shown in an event: plain, as a Table row or as metadata. */
export interface Rendering {
  readonly contentType: string
  /** Also the key of the shared cache of encoded events; '' turns the cache off. */
  readonly cacheKey: string
  readonly object: (object: ApiObject) => unknown
}

/** Encoded events, shared by all watchers that see the same form of them. */
const encoded = new WeakMap<StoreEvent, Map<string, Buffer>>()

export function watchObjects(scope: Scope, rendering: Rendering): void {
  checkWatchOptions(scope)
  const from = requestedVersion(scope)
  const matches = selection(scope)
  const stream = new WatchStream(scope, rendering)
  writeHead(scope.response, { contentType: rendering.contentType, warnings: scope.warnings })
  flushHead(scope.response)
  const { store } = scope.context
  const start = from === 0 ? store.resourceVersion : from
  const subscription = store.subscribe(scope.kind.storageKey, start, (event) => stream.deliver(event, matches, start))
  if (subscription.kind === 'expired') {
    stream.fail(expired(`too old resource version: ${start} (${subscription.oldest})`).body)
    return
  }
  stream.onEnd(subscription.cancel)
  if (from === 0) {
    for (const object of store.list(scope.kind.storageKey, scope.info.namespace)) {
      const shown = present(scope.kind, scope.version, object)
      if (matches(shown)) stream.send('ADDED', rendering.object(shown))
    }
  }
  for (const event of subscription.missed) stream.deliver(event, matches, start)
  stream.run()
}

/** Streaming lists are refused in the words that make client-go fall back to list and watch. */
function checkWatchOptions(scope: Scope): void {
  if (scope.query.get('sendInitialEvents') !== null)
    throw forbiddenOption(
      'sendInitialEvents',
      'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    )
  if ((scope.query.get('resourceVersionMatch') ?? '') !== '')
    throw forbiddenOption(
      'resourceVersionMatch',
      'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    )
}

class WatchStream {
  readonly #scope: Scope
  readonly #rendering: Rendering
  readonly #cleanups: Cancel[] = []
  #ended = false

  constructor(scope: Scope, rendering: Rendering) {
    this.#scope = scope
    this.#rendering = rendering
  }

  onEnd(cleanup: Cancel): void {
    if (this.#ended) cleanup()
    else this.#cleanups.push(cleanup)
  }

  /** Starts the clocks: bookmarks, the deadline, and the ends that come from outside. */
  run(): void {
    const { context, query, response } = this.#scope
    const { clock, closing } = context
    const lifetimeMs = this.#lifetimeMs()
    const end = (): void => this.#finish()
    this.onEnd(clock.after(lifetimeMs, end))
    response.on('close', () => this.#stop())
    response.on('error', () => this.#stop())
    closing.addEventListener('abort', end, { once: true })
    this.onEnd(() => closing.removeEventListener('abort', end))
    if (closing.aborted) end()
    this.onEnd(context.registry.onChange(() => this.#endIfUnserved()))
    if (!isTrue(query.get('allowWatchBookmarks'))) return
    this.onEnd(clock.every(BOOKMARK_INTERVAL_MS, () => this.#bookmark()))
    this.onEnd(clock.after(Math.max(0, lifetimeMs - BOOKMARK_BEFORE_END_MS), () => this.#bookmark()))
  }

  deliver(event: StoreEvent, matches: Predicate, after: number): void {
    if (this.#ended || event.rv <= after) return
    const { kind, version } = this.#scope
    const shown = present(kind, version, event.object)
    const before = event.previous === undefined ? undefined : present(kind, version, event.previous)
    const type = transition(event, matches(shown), before !== undefined && matches(before))
    if (type === undefined) return
    // An object that leaves the selection is shown as it last matched, at the version of the change.
    const object =
      type === 'DELETED' && event.type !== 'DELETED' && before !== undefined ? atVersion(before, shown) : shown
    this.#write(this.#encode(event, type, object))
  }

  send(type: EventType, object: unknown): void {
    this.#write(line(type, object))
  }

  fail(status: Status): void {
    this.send('ERROR', status)
    this.#finish()
  }

  /** A hundred watchers of a kind cost one JSON.stringify per event. */
  #encode(event: StoreEvent, type: EventType, object: ApiObject): Buffer {
    const { cacheKey } = this.#rendering
    if (cacheKey === '') return line(type, this.#rendering.object(object))
    const key = `${type} ${object.apiVersion} ${cacheKey}`
    let forms = encoded.get(event)
    if (forms === undefined) encoded.set(event, (forms = new Map()))
    let bytes = forms.get(key)
    if (bytes === undefined) forms.set(key, (bytes = line(type, this.#rendering.object(object))))
    return bytes
  }

  /** The kind's definition was deleted, or this version is served no more. */
  #endIfUnserved(): void {
    const { kind, version, context } = this.#scope
    if (context.registry.served(kind.group, version.version, kind.plural) === undefined) this.#finish()
  }

  #bookmark(): void {
    const { context, kind, version } = this.#scope
    const resourceVersion = String(context.store.resourceVersion)
    const object: ApiObject = {
      kind: kind.kind,
      apiVersion: apiVersionOf(kind.group, version.version),
      metadata: { resourceVersion },
    }
    const shown = this.#rendering.object(object) as JsonObject
    this.send('BOOKMARK', shown)
  }

  #write(bytes: Buffer): void {
    if (this.#ended) return
    const { response, context } = this.#scope
    writeChunk(response, bytes)
    if (response.writableLength <= BACKLOG_BYTES_MAX) return
    context.log.warn({ path: this.#scope.info.path }, 'watch: the reader lags, its connection is cut')
    this.#stop()
    response.destroy()
  }

  /** Exactly what was asked for; clients plan their reconnects by it. */
  #lifetimeMs(): number {
    const { context, query } = this.#scope
    const asked = Number(query.get('timeoutSeconds') ?? 0)
    if (Number.isFinite(asked) && asked > 0) return Math.min(asked, TIMEOUT_SECONDS_MAX) * 1000
    return TIMEOUT_MS_MIN * (1 + context.random.next())
  }

  #finish(): void {
    if (this.#ended) return
    this.#stop()
    endResponse(this.#scope.response)
  }

  #stop(): void {
    this.#ended = true
    for (const cleanup of this.#cleanups.splice(0)) cleanup()
  }
}

function line(type: EventType, object: unknown): Buffer {
  return Buffer.from(`${JSON.stringify({ type, object })}\n`)
}

/** What a change looks like to a watcher that sees only what its selectors match. */
function transition(event: StoreEvent, matches: boolean, matched: boolean): EventType | undefined {
  if (event.type === 'DELETED') return matches || matched ? 'DELETED' : undefined
  if (matches) return event.type === 'MODIFIED' && matched ? 'MODIFIED' : 'ADDED'
  return matched ? 'DELETED' : undefined
}

/** DELETED must carry the version of the change, or a resuming watcher would see it again. */
function atVersion(object: ApiObject, at: ApiObject): ApiObject {
  const { resourceVersion } = at.metadata
  if (resourceVersion === undefined) return object
  return { ...object, metadata: { ...object.metadata, resourceVersion } }
}
