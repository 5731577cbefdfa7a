/** Which OpenAPI documents there are, made when first asked for and again when the kinds change. */
import { createHash } from 'node:crypto'
import { apiVersionOf } from '../kinds/kind.ts'
import type { KindRegistry, ServedKind } from '../kinds/registry.ts'
import type { JsonObject } from '../object.ts'
import { openapiV3, type OpenApiKind } from '../openapi/document.ts'

/** The media type with a dot where kubectl asks with an at sign: Go's parser takes no other. */
export const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

interface Cache {
  revision: number
  readonly texts: Map<string, string>
}

const caches = new WeakMap<KindRegistry, Cache>()

function cacheOf(registry: KindRegistry): Map<string, string> {
  let cache = caches.get(registry)
  if (cache === undefined || cache.revision !== registry.revision) {
    cache = { revision: registry.revision, texts: new Map() }
    caches.set(registry, cache)
  }
  return cache.texts
}

/** `api/v1` or `apis/apps/v1`; undefined when not served. */
export function openapiText(registry: KindRegistry, path: string): string | undefined {
  const texts = cacheOf(registry)
  const known = texts.get(path)
  if (known !== undefined) return known
  const found = registry.groupVersions().find(({ group, version }) => pathOf(group, version) === path)
  if (found === undefined) return undefined
  const kinds = registry.inGroupVersion(found.group, found.version).map(documented)
  const text = JSON.stringify(openapiV3(apiVersionOf(found.group, found.version), kinds))
  texts.set(path, text)
  return text
}

/** The schema comes along for definitions only; built-in types are in the generator's own table. */
function documented({ kind, version }: ServedKind): OpenApiKind {
  const { group, plural, namespaced, verbs } = kind
  return { group, version: version.version, kind: kind.kind, plural, namespaced, verbs, schema: version.openapiSchema }
}

export function openapiPaths(registry: KindRegistry): JsonObject {
  const paths: [string, JsonObject][] = []
  for (const { group, version } of registry.groupVersions()) {
    const path = pathOf(group, version)
    const hash = hashOf(openapiText(registry, path) ?? '')
    paths.push([path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }])
  }
  return { paths: Object.fromEntries(paths) }
}

/** SHA-512 in capitals, as the real server writes it into ETags and URLs. */
export function hashOf(body: string): string {
  return createHash('sha512').update(body).digest('hex').toUpperCase()
}

function pathOf(group: string, version: string): string {
  return group === '' ? `api/${version}` : `apis/${apiVersionOf(group, version)}`
}
