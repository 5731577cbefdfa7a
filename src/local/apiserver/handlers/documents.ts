/** Everything that is not a resource: version, health, discovery and OpenAPI documents, the token issuer's keys. */
import { aggregatedDiscovery } from '../discovery/aggregated.ts'
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from '../discovery/legacy.ts'
import { hashOf, openapiPaths, openapiText, OPENAPI_V2_TYPE } from '../discovery/openapi.ts'
import { parseAccept } from '../http/negotiation.ts'
import { sendBytes, sendJson, type HttpResponse } from '../http/response.ts'
import type { KindRegistry } from '../kinds/registry.ts'
import type { JsonObject } from '../object.ts'
import { openapiV2Empty } from '../openapi/document.ts'
import { methodNotAllowed, pathNotFound } from '../status.ts'
import type { Exchange } from './scope.ts'

/** `/readyz/ping` and the like are answered by their root: there are no checks of one's own behind them. */
export function handleDocument(exchange: Exchange): void {
  const { method, response } = exchange
  const path = exchange.info.path.replace(/(?<=.)\/+$/, '')
  if (method !== 'GET' && method !== 'HEAD') throw isKnown(path) ? methodNotAllowed() : pathNotFound()
  if (HEALTH.has(path.split('/')[1] ?? ''))
    return sendBytes(response, 'ok', { contentType: 'text/plain; charset=utf-8' })
  switch (path) {
    case '/':
      return sendJson(response, {
        paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v3', '/readyz', '/version'],
      })
    case '/version':
      return sendJson(response, versionInfo(exchange.context.version))
    case '/.well-known/openid-configuration':
      return sendJson(response, openidConfiguration())
    case '/openid/v1/jwks':
      return sendJson(response, exchange.context.tokens.jwks(), { contentType: 'application/jwk-set+json' })
    case '/openapi/v2':
      return sendBytes(response, Buffer.from(openapiV2Empty()), { contentType: OPENAPI_V2_TYPE })
    case '/openapi/v3':
      return sendTagged(exchange, JSON.stringify(openapiPaths(exchange.context.registry)), 'application/json')
    default:
      return path.startsWith('/openapi/v3/')
        ? sendOpenapi(exchange, path.slice('/openapi/v3/'.length))
        : sendDiscovery(exchange, path)
  }
}

const HEALTH = new Set(['healthz', 'livez', 'readyz'])

function isKnown(path: string): boolean {
  return path === '/version' || path.startsWith('/api') || path.startsWith('/openapi') || HEALTH.has(path.slice(1))
}

/** client-go decides by major and minor which fields it may send. */
function versionInfo(gitVersion: string): JsonObject {
  const [, major = '1', minor = '32'] = /^v(\d+)\.(\d+)/.exec(gitVersion) ?? []
  return {
    major,
    minor,
    gitVersion,
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: 'none',
    compiler: 'node',
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  }
}

export const TOKEN_ISSUER = 'https://kubernetes.default.svc.cluster.local'

/** Other systems verify this cluster's tokens by it (OIDC discovery 1.0, section 4). */
function openidConfiguration(): JsonObject {
  return {
    issuer: TOKEN_ISSUER,
    jwks_uri: `${TOKEN_ISSUER}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  }
}

/** Old and new discovery share the roots; Accept tells them apart. */
function sendDiscovery(exchange: Exchange, path: string): void {
  if (path === '/api' || path === '/apis') return sendDiscoveryRoot(exchange, path)
  const document = discoveryDocument(exchange.context.registry, path.split('/').slice(1))
  if (document === undefined) throw pathNotFound()
  return sendJson(exchange.response, document)
}

/** `api/<version>`, `apis/<group>` or `apis/<group>/<version>`. */
function discoveryDocument(registry: KindRegistry, segments: readonly string[]): JsonObject | undefined {
  const [root, first = '', second = ''] = segments
  if (root === 'api' && segments.length === 2) return apiResourceList(registry, '', first)
  if (root !== 'apis') return undefined
  if (segments.length === 2) return apiGroup(registry, first)
  return segments.length === 3 ? apiResourceList(registry, first, second) : undefined
}

function sendDiscoveryRoot(exchange: Exchange, path: '/api' | '/apis'): void {
  const { context, request, response } = exchange
  const { registry } = context
  const formVersion = aggregatedVersion(request.headers.accept)
  if (formVersion === undefined) {
    const document = path === '/api' ? apiVersions(request.headers.host ?? '') : apiGroupList(registry)
    return sendJson(response, document, { headers: { Vary: 'Accept' } })
  }
  const groups = registry.groups().filter((name) => (path === '/api') === (name === ''))
  const type = `application/json;g=apidiscovery.k8s.io;v=${formVersion};as=APIGroupDiscoveryList`
  return sendTagged(exchange, JSON.stringify(aggregatedDiscovery(registry, groups, formVersion)), type)
}

/** The client's first choice decides: kubectl lists v2, v2beta1 and plain JSON in that order. */
function aggregatedVersion(accept: string | undefined): string | undefined {
  const range = parseAccept(accept).find(
    ({ parameters }) => parameters['as'] === 'APIGroupDiscoveryList' || parameters['g'] === undefined,
  )
  if (range?.parameters['as'] !== 'APIGroupDiscoveryList') return undefined
  const { g, v } = range.parameters
  return g === 'apidiscovery.k8s.io' && (v === 'v2' || v === 'v2beta1') ? v : undefined
}

/** Large documents that clients cache: 304 while the content is the same. */
function sendTagged(exchange: Exchange, body: string, contentType: string): void {
  const { request, response } = exchange
  const etag = `"${hashOf(body)}"`
  const headers = { ETag: etag, Vary: 'Accept', 'Cache-Control': 'public' }
  if (request.headers['if-none-match'] === etag) return sendNotModified(response, headers)
  sendBytes(response, body, { contentType, headers })
}

function sendNotModified(response: HttpResponse, headers: Readonly<Record<string, string>>): void {
  response.statusCode = 304
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  response.end()
}

const IMMUTABLE_YEAR_MS = 365 * 24 * 3600 * 1000

/** With the right hash the document never changes; a wrong one is sent on to the right one. */
function sendOpenapi(exchange: Exchange, groupVersion: string): void {
  const { context, query, response } = exchange
  const text = openapiText(context.registry, groupVersion)
  if (text === undefined) throw pathNotFound()
  const hash = hashOf(text)
  const asked = query.get('hash')
  if (asked !== null && asked !== hash) {
    response.statusCode = 301
    response.setHeader('Location', `/openapi/v3/${groupVersion}?hash=${hash}`)
    response.end()
    return
  }
  if (asked === null) return sendTagged(exchange, text, 'application/json')
  const expires = new Date(context.clock.now() + IMMUTABLE_YEAR_MS).toUTCString()
  sendBytes(response, text, {
    contentType: 'application/json',
    headers: { ETag: `"${hash}"`, Vary: 'Accept', 'Cache-Control': 'public, immutable', Expires: expires },
  })
}
