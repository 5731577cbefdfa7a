/**
 * What the product asks of a Kubernetes API server. `http-client.ts` implements it over HTTPS; the simulator brings
 * an in-memory one. Failures are `KubeError` (status code, reason and the server's Status message).
 */
import type { KubeList, KubeObject, Resource, WatchEvent } from './object.ts'

export interface ListOptions {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

export interface WriteOptions {
  readonly fieldManager?: string
  readonly subresource?: string
  readonly dryRun?: boolean
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'merge' | 'json' | 'strategic'
}

export interface RemoveOptions {
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
  readonly uid?: string
  readonly gracePeriodSeconds?: number
}

export interface RawRequest {
  readonly method: string
  /** Path and query, e.g. `/apis/apps/v1/namespaces/shop/deployments?limit=500`. */
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface KubeClient {
  /** undefined for 404. */
  get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string): Promise<T | undefined>
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<KubeList<T>>
  create<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T>
  /** PUT; a resourceVersion in the object is a precondition (409 KubeError, reason Conflict). */
  replace<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T>
  patch<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    patch: unknown,
    options: PatchOptions,
  ): Promise<T>
  /** false when it was gone already. */
  remove<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    options?: RemoveOptions,
  ): Promise<boolean>
  /** Resolves when the server ends the watch; rejects with KubeError (410: relist). */
  watch<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions & { resourceVersion: string; timeoutSeconds: number; signal: AbortSignal },
    onEvent: (event: WatchEvent<T>) => void,
  ): Promise<void>
  /** For what has no Resource: discovery, TokenRequest, TokenReview, logs. Body and answer are JSON. */
  raw<R>(request: RawRequest): Promise<R>
  close(): void
}

/** A Status failure of the API server, or a failure to reach it (`code` 0, reason `Unreachable`). */
export class KubeError extends Error {
  readonly code: number
  readonly reason: string
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: number,
    reason: string,
    message: string,
    options: { retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'KubeError'
    this.code = code
    this.reason = reason
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof KubeError && error.code === 404
export const isConflict = (error: unknown): boolean => error instanceof KubeError && error.code === 409
