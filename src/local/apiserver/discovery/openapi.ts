/** Which OpenAPI documents there are, made when first asked for and again when the kinds change. */
import { createHash } from 'node:crypto'
import { apiVersionOf } from '../kinds/kind.ts'
import type { KindRegistry } from '../kinds/registry.ts'
import type { JsonObject } from '../object.ts'

/** An empty swagger 2.0 document: kubectl then reports unknown kinds by their names instead of a failed validation. */
export const OPENAPI_V2 = Buffer.from('0a03322e3012080a01781203312e304200', 'hex')
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
export async function openapiText(registry: KindRegistry, path: string): Promise<string | undefined> {
  const texts = cacheOf(registry)
  const known = texts.get(path)
  if (known !== undefined) return known
  const found = registry.groupVersions().find(({ group, version }) => pathOf(group, version) === path)
  if (found === undefined) return undefined
  const { openapiV3 } = await import('../openapi/document.ts')
  const text = JSON.stringify(openapiV3(found, registry.inGroupVersion(found.group, found.version)))
  texts.set(path, text)
  return text
}

export async function openapiPaths(registry: KindRegistry): Promise<JsonObject> {
  const paths: [string, JsonObject][] = []
  for (const { group, version } of registry.groupVersions()) {
    const path = pathOf(group, version)
    const hash = hashOf((await openapiText(registry, path)) ?? '')
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
