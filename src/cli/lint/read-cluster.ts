/** All objects that rules look at, from one cluster: the judged kinds and what they refer to. */
import { isNotFound, type KubeClient } from '../../kube/client.ts'
import {
  ENDPOINT_SLICES,
  NAMESPACES,
  PODS,
  SERVICE_ACCOUNTS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
} from '../../kube/kinds.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { KINDS } from '../../kube/schemas/index.ts'

const REFERRED_TO: readonly Resource<KubeObject>[] = [
  NAMESPACES,
  SERVICES,
  ENDPOINT_SLICES,
  PODS,
  SERVICE_ACCOUNTS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
]

/** A kind that the cluster does not serve has no objects. */
export async function readCluster(client: KubeClient): Promise<readonly KubeObject[]> {
  const resources = [...REFERRED_TO, ...KINDS.map(({ resource }) => resource)]
  const lists = await Promise.all(resources.map((resource) => listed(client, resource)))
  return lists.flat()
}

async function listed(client: KubeClient, resource: Resource<KubeObject>): Promise<readonly KubeObject[]> {
  const { group, version, kind } = resource
  const apiVersion = group === '' ? version : `${group}/${version}`
  try {
    const { items } = await client.list(resource)
    // Items of built-in lists carry neither.
    return items.map((item) => Object.assign({ apiVersion, kind }, item))
  } catch (error) {
    if (isNotFound(error)) return []
    throw error
  }
}
