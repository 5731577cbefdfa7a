/** Waits for an object to be in a state, by list and watch: no polling, and the current state counts. */
import type { Clock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { KubeError, type KubeClient } from './client.ts'
import type { KubeObject, Resource } from './object.ts'

export interface WaitOptions<T extends KubeObject> {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** Sees every matching object each time one changes. */
  readonly until: (objects: readonly T[]) => boolean
  /** Completes "waited for …" in the error. */
  readonly what: string
  readonly timeoutMs: number
  readonly clock: Clock
  /** Someone waits no longer. */
  readonly signal?: AbortSignal
}

const WATCH_SECONDS = 30

/** Resolves to the matching objects; rejects with WAIT_TIMEOUT or WAIT_ENDED. A watch that breaks starts over with a list. */
export async function waitFor<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  options: WaitOptions<T>,
): Promise<readonly T[]> {
  const { clock, what, timeoutMs } = options
  const timeout = new AbortController()
  const cancel = clock.after(timeoutMs, () => timeout.abort())
  const signal = options.signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, options.signal])
  try {
    while (!signal.aborted) {
      const found = await attempt(client, resource, { ...options, signal })
      if (found !== undefined) return found
    }
  } finally {
    cancel()
  }
  if (options.signal?.aborted === true) throw new MeshError('WAIT_ENDED', `no longer waited for ${what}`)
  throw new MeshError('WAIT_TIMEOUT', `waited ${timeoutMs / 1_000} s for ${what}`)
}

async function attempt<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  options: WaitOptions<T> & { readonly signal: AbortSignal },
): Promise<readonly T[] | undefined> {
  const scope = scopeOf(options)
  const list = await client.list(resource, scope)
  const objects = new Map(list.items.map((item) => [keyOf(item), item]))
  if (options.until([...objects.values()])) return [...objects.values()]
  const done = new AbortController()
  const signal = AbortSignal.any([options.signal, done.signal])
  let isDone = false
  try {
    await client.watch(
      resource,
      { ...scope, resourceVersion: list.metadata.resourceVersion, timeoutSeconds: WATCH_SECONDS, signal },
      ({ type, object }) => {
        if (type === 'BOOKMARK' || isDone) return
        if (type === 'DELETED') objects.delete(keyOf(object))
        else objects.set(keyOf(object), object)
        if (!options.until([...objects.values()])) return
        isDone = true
        done.abort()
      },
    )
  } catch (error) {
    // Ending our own watch, or an expired version: the loop lists again.
    if (!signal.aborted && !(error instanceof KubeError)) throw error
  }
  return isDone ? [...objects.values()] : undefined
}

function scopeOf({
  namespace,
  labelSelector,
  fieldSelector,
}: Pick<WaitOptions<KubeObject>, 'namespace' | 'labelSelector' | 'fieldSelector'>): {
  namespace?: string
  labelSelector?: string
  fieldSelector?: string
} {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  }
}

const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`
