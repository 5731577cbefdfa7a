/**
 * `limit` and `continue`: a list in pages, all of them as of the first one's resourceVersion. What has changed since is
 * undone from the events that watches are served from; when those are gone the next page is Expired, as after an etcd
 * compaction. The token is Kubernetes' own form.
 */
import { keyOf, isJsonObject, nameOf, type ApiObject } from '../object.ts'
import { badRequest, expired } from '../status.ts'
import type { Scope } from './scope.ts'

export interface Page {
  readonly items: readonly ApiObject[]
  readonly resourceVersion: number
  /** Absent: this is the last page. */
  readonly next?: string
  readonly remaining?: number
}

interface Place {
  readonly version: number
  /** The key of the last object that was shown. */
  readonly after: string
}

/** `shown` presents an object, or leaves it out where selectors do. */
export function pageOf(scope: Scope, shown: (object: ApiObject) => ApiObject | undefined): Page {
  const { context, kind, info, query } = scope
  const place = placeOf(query)
  const limit = limitOf(query)
  const resourceVersion = place?.version ?? context.store.resourceVersion
  const stored =
    place === undefined
      ? context.store.list(kind.storageKey, info.namespace)
      : context.store.listAt(kind.storageKey, info.namespace, resourceVersion)
  if (stored === undefined)
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    )
  const items: ApiObject[] = []
  for (const [index, object] of stored.entries()) {
    if (place !== undefined && keyOfStored(object) <= place.after) continue
    const item = shown(object)
    if (item === undefined) continue
    items.push(item)
    if (items.length < limit) continue
    const rest = stored.slice(index + 1)
    // Whether anything remains is only known by looking: a page that promises another and has none is a wasted request.
    if (!rest.some((other) => shown(other) !== undefined)) break
    const isSelected = query.has('labelSelector') || query.has('fieldSelector')
    return {
      items,
      resourceVersion,
      next: tokenOf({ version: resourceVersion, after: keyOfStored(object) }),
      ...(isSelected ? {} : { remaining: rest.length }),
    }
  }
  return { items, resourceVersion }
}

const keyOfStored = (object: ApiObject): string => keyOf(object.metadata.namespace, nameOf(object))

function limitOf(query: URLSearchParams): number {
  const text = query.get('limit') ?? ''
  if (text === '' || text === '0') return Number.POSITIVE_INFINITY
  if (!/^[0-9]{1,15}$/.test(text)) throw badRequest(`limit: Invalid value: "${text}"`)
  return Number(text)
}

const TOKEN_VERSION = 'meta.k8s.io/v1'
/** The first key behind one is itself and this. */
const END = '\u0000'

function tokenOf({ version, after }: Place): string {
  return Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv: version, start: after + END })).toString('base64url')
}

/** A token is the client's word: it says where to go on and nothing that it could not ask for anyway. */
function placeOf(query: URLSearchParams): Place | undefined {
  const token = query.get('continue') ?? ''
  if (token === '') return undefined
  const asked = query.get('resourceVersion') ?? ''
  if (asked !== '' && asked !== '0') throw badRequest('specifying resource version is not allowed when using continue')
  const { v, rv, start } = decoded(token)
  if (v !== TOKEN_VERSION || typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv < 1 || typeof start !== 'string')
    throw badRequest('continue key is not valid')
  return { version: rv, after: start.endsWith(END) ? start.slice(0, -1) : start }
}

function decoded(token: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
    return isJsonObject(value) ? value : {}
  } catch {
    return {}
  }
}
