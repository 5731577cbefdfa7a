/** Discovery as clients before 1.26, and client-node to this day, read it: one document per group version. */
import { apiVersionOf, type Kind, type KindVersion } from '../kinds/kind.ts'
import type { KindRegistry } from '../kinds/registry.ts'
import type { JsonObject } from '../object.ts'

export function apiVersions(address: string): JsonObject {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  }
}

export function apiGroupList(registry: KindRegistry): JsonObject {
  const groups = registry.groups().filter((group) => group !== '')
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map((group) => groupEntry(registry, group)) }
}

export function apiGroup(registry: KindRegistry, group: string): JsonObject | undefined {
  if (group === '' || !registry.groups().includes(group)) return undefined
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(registry, group) }
}

/** The first version is the one kubectl uses for an unversioned name. */
function groupEntry(registry: KindRegistry, group: string): JsonObject {
  const versions = registry.versions(group).map((version) => ({ groupVersion: apiVersionOf(group, version), version }))
  return { name: group, versions, preferredVersion: versions[0] }
}

export function apiResourceList(registry: KindRegistry, group: string, version: string): JsonObject | undefined {
  const served = registry.inGroupVersion(group, version)
  if (served.length === 0) return undefined
  // A subresource comes right after its resource: client-node takes the first entry of a kind.
  const resources = served.flatMap(({ kind, version: found }) =>
    [mainEntry(kind)].concat(subresourceEntries(kind, found)),
  )
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf(group, version), resources }
}

function mainEntry(kind: Kind): JsonObject {
  return {
    name: kind.plural,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: kind.verbs,
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
  }
}

function subresourceEntries(kind: Kind, version: KindVersion): JsonObject[] {
  return subresourcesOf(kind, version).map((entry) => {
    const resource: JsonObject = {
      name: `${kind.plural}/${entry.name}`,
      singularName: '',
      namespaced: kind.namespaced,
      kind: entry.kind,
      verbs: entry.verbs,
    }
    if (entry.group !== undefined) Object.assign(resource, { group: entry.group, version: entry.version })
    return resource
  })
}

/** All subresources of a kind's version, the common ones included. */
export function subresourcesOf(kind: Kind, version: KindVersion): Kind['subresources'][number][] {
  const verbs = ['get', 'patch', 'update']
  return [
    ...kind.subresources,
    ...(version.scale === undefined
      ? []
      : [{ name: 'scale', verbs, group: 'autoscaling', version: 'v1', kind: 'Scale' }]),
    ...(version.status ? [{ name: 'status', verbs, kind: kind.kind }] : []),
  ]
}
