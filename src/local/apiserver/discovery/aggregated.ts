/** Aggregated discovery (apidiscovery.k8s.io): everything in two documents, which kubectl caches by ETag. */
import type { Kind, KindVersion } from '../kinds/kind.ts'
import type { KindRegistry } from '../kinds/registry.ts'
import type { JsonObject } from '../object.ts'
import { subresourcesOf } from './legacy.ts'

export function aggregatedDiscovery(
  registry: KindRegistry,
  groups: readonly string[],
  formVersion: string,
): JsonObject {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${formVersion}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: registry.versions(group).map((version) => ({
        version,
        resources: registry.inGroupVersion(group, version).map(({ kind, version: found }) => resource(kind, found)),
        freshness: 'Current',
      })),
    })),
  }
}

/** Subresources lie inside their resource here, unlike in legacy lists. */
function resource(kind: Kind, version: KindVersion): JsonObject {
  const subresources = subresourcesOf(kind, version).map((entry) => ({
    subresource: entry.name,
    responseKind: { group: entry.group ?? kind.group, version: entry.version ?? version.version, kind: entry.kind },
    verbs: entry.verbs,
  }))
  return {
    resource: kind.plural,
    responseKind: { group: kind.group, version: version.version, kind: kind.kind },
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: kind.verbs,
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  }
}
