/**
 * `KubeClient` over HTTPS: raw JSON in and out, nothing dropped or renamed (client-node's typed API loses unknown
 * fields: reference k8s-wire, D9 and D10). Lists are paged, watches ask for bookmarks, a 429 is waited out a bounded
 * number of times. Caching and relisting are the reflector's.
 */
import { delay, systemClock, type Clock } from '../runtime/clock.ts'
import {
  KubeError,
  type KubeClient,
  type ListOptions,
  type PatchOptions,
  type RawRequest,
  type RemoveOptions,
  type WriteOptions,
} from './client.ts'
import type { KubeConnection } from './connection.ts'
import {
  DEFAULT_LIMITS,
  HttpTransport,
  StaleConnectionError,
  type HttpAnswer,
  type HttpExchange,
  type TransportLimits,
} from './http-transport.ts'
import type { KubeList, KubeObject, Resource, WatchEvent } from './object.ts'
import { apiVersionOf, queryOf, resourcePath } from './paths.ts'

export interface KubeClientOptions {
  readonly clock?: Clock
  readonly limits?: Partial<TransportLimits>
  /** The part before `/` becomes the field manager of writes that name none. */
  readonly userAgent?: string
}

/** client-go's page size. */
const PAGE_ITEMS = 500
const THROTTLE_RETRIES_MAX = 5
const RETRY_AFTER_MAX_S = 30
/** A page token that expired under way starts the list over; more often means a broken server. */
const LIST_RESTARTS_MAX = 3
/** The server ends a watch by itself first; this is for one that does not. */
const WATCH_GRACE_MS = 10_000

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const

export function createKubeClient(connection: KubeConnection, options: KubeClientOptions = {}): KubeClient {
  return new HttpKubeClient(connection, options)
}

class HttpKubeClient implements KubeClient {
  readonly #transport: HttpTransport
  readonly #clock: Clock
  readonly #userAgent: string

  constructor(connection: KubeConnection, options: KubeClientOptions) {
    this.#clock = options.clock ?? systemClock
    this.#transport = new HttpTransport(connection, this.#clock, { ...DEFAULT_LIMITS, ...options.limits })
    this.#userAgent = options.userAgent ?? 'isthmus/v1'
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    const answer = await this.#exchange({ method: 'GET', path: resourcePath(resource, { name, namespace }) })
    return answer.status === 404 ? undefined : (objectOf(answer) as T)
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    for (let restart = 0; ; restart++) {
      try {
        return await this.#listPages(resource, options)
      } catch (error) {
        const expired = error instanceof KubeError && error.code === 410
        if (!expired || restart >= LIST_RESTARTS_MAX) throw error
      }
    }
  }

  async #listPages<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<KubeList<T>> {
    const items: T[] = []
    const path = resourcePath(resource, { namespace: options.namespace })
    let token: string | undefined
    for (;;) {
      const query = queryOf({ ...selectors(options), limit: String(PAGE_ITEMS), continue: token })
      const page = objectOf(await this.#exchange({ method: 'GET', path: path + query })) as KubeList<T>
      for (const item of page.items ?? []) items.push(withKind(resource, item))
      token = page.metadata.continue
      if (token === undefined || token === '') {
        return { items, metadata: { resourceVersion: page.metadata.resourceVersion } }
      }
    }
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata
    const target = options.subresource === undefined ? { namespace } : { namespace, name }
    return this.#write('POST', { resource, target, options }, object)
  }

  async replace<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name = '' } = object.metadata
    return this.#write('PUT', { resource, target: { namespace, name }, options }, object)
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    return this.#write('PATCH', { resource, target, options, contentType: PATCH_TYPES[options.type] }, patch)
  }

  async remove<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    options: RemoveOptions = {},
  ): Promise<boolean> {
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: options.propagation ?? 'Background',
      ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
      ...(options.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: options.gracePeriodSeconds }),
    })
    const path = resourcePath(resource, target)
    const answer = await this.#exchange({ method: 'DELETE', path, body })
    if (answer.status === 404) return false
    throwFailure(answer)
    return true
  }

  async watch<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions & { resourceVersion: string; timeoutSeconds: number; signal: AbortSignal },
    onEvent: (event: WatchEvent<T>) => void,
  ): Promise<void> {
    const query = queryOf({
      ...selectors(options),
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds),
    })
    const exchange: HttpExchange = {
      method: 'GET',
      path: resourcePath(resource, { namespace: options.namespace }) + query,
      headers: this.#headers(),
      signal: options.signal,
    }
    const totalMs = options.timeoutSeconds * 1000 + WATCH_GRACE_MS
    const answer = await this.#transport.stream(exchange, totalMs, (line) => onEvent(parseEvent<T>(line)))
    throwFailure(answer)
  }

  async raw<R>(request: RawRequest): Promise<R> {
    const answer = await this.#exchange({
      method: request.method,
      path: request.path,
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      ...(request.headers === undefined ? {} : { headers: request.headers }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    throwFailure(answer)
    // Logs and /healthz answer text; an empty body is undefined.
    if (!answer.contentType.includes('json')) return answer.body as R
    return (answer.body === '' ? undefined : parseJson(answer.body)) as R
  }

  close(): void {
    this.#transport.close()
  }

  async #write<T extends KubeObject>(
    method: string,
    write: {
      resource: Resource<T>
      target: { name?: string | undefined; namespace?: string | undefined }
      options: WriteOptions
      contentType?: string
    },
    body: unknown,
  ): Promise<T> {
    const { resource, target, options } = write
    const path = resourcePath(resource, { ...target, subresource: options.subresource })
    const query = queryOf({
      fieldManager: options.fieldManager,
      dryRun: options.dryRun === true ? 'All' : undefined,
    })
    const headers = write.contentType === undefined ? {} : { 'content-type': write.contentType }
    const answer = await this.#exchange({ method, path: path + query, body: JSON.stringify(body), headers })
    return objectOf(answer) as T
  }

  async #exchange(exchange: HttpExchange): Promise<HttpAnswer> {
    const full = { ...exchange, headers: { ...this.#headers(), ...exchange.headers } }
    const idempotent = exchange.method !== 'POST' && exchange.method !== 'PATCH'
    let stale = 0
    for (let throttled = 0; ;) {
      try {
        const answer = await this.#transport.exchange(full)
        // Only 429 says for certain that nothing was done; a read may also be repeated when the server asks for it.
        const again = answer.status === 429 || (answer.status >= 500 && exchange.method === 'GET')
        if (!again || answer.retryAfterSeconds === undefined || throttled >= THROTTLE_RETRIES_MAX) return answer
        throttled++
        await delay(this.#clock, Math.min(answer.retryAfterSeconds, RETRY_AFTER_MAX_S) * 1000, exchange.signal)
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw error
        if (!idempotent || stale++ > 0) throw new KubeError(0, 'Unreachable', error.message, { cause: error })
      }
    }
  }

  #headers(): Record<string, string> {
    return { accept: 'application/json', 'content-type': 'application/json', 'user-agent': this.#userAgent }
  }
}

function selectors(options: ListOptions): Record<string, string | undefined> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector }
}

/** Items of built-in lists carry neither apiVersion nor kind. */
function withKind<T extends KubeObject>(resource: Resource<T>, item: T): T {
  if (item.apiVersion !== undefined && item.kind !== undefined) return item
  return { ...item, apiVersion: apiVersionOf(resource), kind: resource.kind }
}

function parseEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  const event = parseJson(line) as { type: string; object: T }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return { type: event.type, object: event.object }
    case 'ERROR':
      throw errorOfStatus(event.object, 0)
    default:
      throw new KubeError(0, 'MalformedResponse', `a watch event of unknown type ${JSON.stringify(event.type)}`)
  }
}

function objectOf(answer: HttpAnswer): unknown {
  throwFailure(answer)
  return parseJson(answer.body)
}

function throwFailure(answer: HttpAnswer): void {
  if (answer.status >= 200 && answer.status < 300) return
  let status: unknown
  try {
    status = JSON.parse(answer.body)
  } catch {
    const text = answer.body.slice(0, 200)
    throw new KubeError(answer.status, 'Unknown', `the API server answered ${answer.status}: ${text}`)
  }
  throw errorOfStatus(status, answer.status, answer.retryAfterSeconds)
}

function errorOfStatus(status: unknown, code: number, retryAfterSeconds?: number): KubeError {
  const { message, reason, details, code: stated } = (status ?? {}) as StatusBody
  const retryAfter = retryAfterSeconds ?? details?.retryAfterSeconds
  return new KubeError(
    code === 0 ? (stated ?? 0) : code,
    reason ?? 'Unknown',
    message ?? `the API server answered ${code}`,
    retryAfter === undefined ? {} : { retryAfterSeconds: retryAfter },
  )
}

interface StatusBody {
  readonly message?: string
  readonly reason?: string
  readonly code?: number
  readonly details?: { readonly retryAfterSeconds?: number }
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch (error) {
    throw new KubeError(0, 'MalformedResponse', 'the API server answered with malformed JSON', { cause: error })
  }
  throw new KubeError(0, 'MalformedResponse', 'the API server answered with JSON that is not an object')
}
