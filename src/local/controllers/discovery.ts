/** What kinds the server has, by legacy discovery (every server speaks it): one Resource each, preferred version. */
import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'

interface ApiGroupList {
  readonly groups: readonly { readonly name: string; readonly preferredVersion: { readonly version: string } }[]
}

interface ApiResourceList {
  readonly resources: readonly {
    readonly name: string
    readonly kind: string
    readonly namespaced: boolean
    readonly verbs: readonly string[]
  }[]
}

/** Only kinds that can be listed, watched and deleted: questions like TokenReview are not objects. */
export async function discover(client: KubeClient): Promise<Resource<KubeObject>[]> {
  const { groups } = await client.raw<ApiGroupList>({ method: 'GET', path: '/apis' })
  const versions = [{ group: '', version: 'v1', path: '/api/v1' }]
  for (const { name, preferredVersion } of groups) {
    const { version } = preferredVersion
    versions.push({ group: name, version, path: `/apis/${name}/${version}` })
  }
  const found: Resource<KubeObject>[] = []
  for (const { group, version, path } of versions) {
    const { resources } = await client.raw<ApiResourceList>({ method: 'GET', path })
    for (const resource of resources) {
      const isObject = ['list', 'watch', 'delete'].every((verb) => resource.verbs.includes(verb))
      if (resource.name.includes('/') || !isObject) continue
      found.push({ group, version, plural: resource.name, kind: resource.kind, namespaced: resource.namespaced })
    }
  }
  return found
}
