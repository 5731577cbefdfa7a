/** URL paths and queries of API resources; names are escaped, never trusted to be path-safe. */
import type { KubeObject, Resource } from './object.ts'

export interface ResourceTarget {
  readonly name?: string | undefined
  readonly namespace?: string | undefined
  readonly subresource?: string | undefined
}

/** `/api/v1/namespaces/shop/pods/web-1/status`; without a name the collection, without a namespace all of them. */
export function resourcePath<T extends KubeObject>(resource: Resource<T>, target: ResourceTarget = {}): string {
  // An empty name would silently turn a GET or DELETE of one object into one of the whole collection.
  if (target.name === '') throw new RangeError(`a ${resource.kind} without a name cannot be addressed`)
  const parts = [resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`]
  if (resource.namespaced && target.namespace !== undefined) {
    parts.push('namespaces', encodeURIComponent(target.namespace))
  }
  parts.push(resource.plural)
  if (target.name !== undefined) parts.push(encodeURIComponent(target.name))
  if (target.subresource !== undefined) parts.push(target.subresource)
  return parts.join('/')
}

/** `?a=b&c=d`, or nothing when every value is absent. */
export function queryOf(values: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, value)
  const text = query.toString()
  return text === '' ? '' : `?${text}`
}

export const apiVersionOf = <T extends KubeObject>(resource: Resource<T>): string =>
  resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
