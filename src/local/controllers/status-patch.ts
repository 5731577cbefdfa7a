/** Status writes of controllers: only when something differs, and never over an object that changed hands. */
import { isDeepStrictEqual } from 'node:util'
import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'

export async function patchStatus<T extends KubeObject & { status?: object }>(
  client: KubeClient,
  resource: Resource<T>,
  object: T,
  status: Readonly<Record<string, unknown>>,
): Promise<T> {
  const present = (object.status ?? {}) as Readonly<Record<string, unknown>>
  const changed = Object.entries(status).filter(([key, value]) => !isDeepStrictEqual(present[key], value))
  if (changed.length === 0) return object
  const { name = '', namespace, uid } = object.metadata
  const target = namespace === undefined ? { name } : { name, namespace }
  const patch = { metadata: { uid }, status: Object.fromEntries(changed) }
  return client.patch(resource, target, patch, { type: 'merge', subresource: 'status' })
}
