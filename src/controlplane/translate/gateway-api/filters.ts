/** Filters of a rule or a backend to what routes do: headers, redirects, rewrites, copies, CORS. Pure. */
import type { HttpRouteSpec } from '../../../kube/kinds/gateway-api.ts'
import {
  type CorsPolicy,
  FILTER_NAMES,
  type ForwardAction,
  type Fraction,
  type HeaderChange,
  type HeaderMutations,
  type MirrorPolicy,
  type PathRewrite,
  type RedirectAction,
  type RoutedFilters,
  type StringMatch,
} from '../../../model/config.ts'

export type HttpFilter = NonNullable<HttpRouteSpec['rules'][number]['filters']>[number]
export type Modifier = NonNullable<HttpFilter['requestHeaderModifier']>
type PathModifier = NonNullable<NonNullable<HttpFilter['urlRewrite']>['path']>

/** What GRPCRoutes have of them too. */
export type AnyFilter = Pick<
  HttpFilter,
  'requestHeaderModifier' | 'responseHeaderModifier' | 'requestMirror' | 'extensionRef'
> & {
  readonly type: string
}

const HOST_NAMES = new Set(['host', ':authority'])

/** `host`: what is said about the host, which is no header to change. */
export function headersOf(filters: readonly AnyFilter[]): { mutations?: HeaderMutations; host?: string } {
  const request = filters.find(({ requestHeaderModifier }) => requestHeaderModifier)?.requestHeaderModifier
  const response = filters.find(({ responseHeaderModifier }) => responseHeaderModifier)?.responseHeaderModifier
  const host = request?.set?.find(({ name }) => HOST_NAMES.has(name.toLowerCase()))?.value
  const mutations: HeaderMutations = {
    ...changesOf(request, 'addRequest', 'removeRequest'),
    ...changesOf(response, 'addResponse', 'removeResponse'),
  }
  return {
    ...(Object.keys(mutations).length > 0 && { mutations }),
    ...(host !== undefined && { host }),
  }
}

function changesOf(
  modifier: Modifier | undefined,
  added: 'addRequest' | 'addResponse',
  removed: 'removeRequest' | 'removeResponse',
): HeaderMutations {
  const { set = [], add = [], remove = [] } = modifier ?? {}
  const changes = [...changed(set, 'overwrite'), ...changed(add, 'append')]
  const names = [...new Set(remove.map((name) => name.toLowerCase()))].filter((name) => !HOST_NAMES.has(name))
  return { ...(changes.length > 0 && { [added]: changes }), ...(names.length > 0 && { [removed]: names }) }
}

/** Names differ by more than case; the first of two counts. A percent sign means nothing here, and a format to proxies. */
function changed(headers: NonNullable<Modifier['set']>, action: HeaderChange['action']): HeaderChange[] {
  const byName = new Map<string, string>()
  for (const { name, value } of headers) {
    const lower = name.toLowerCase()
    if (!HOST_NAMES.has(lower) && !byName.has(lower)) byName.set(lower, value.replaceAll('%', '%%'))
  }
  return Array.from(byName, ([name, value]) => ({ name, value, action }))
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 }

/** Where requests of a rule come in: their scheme, and the port that was called. */
export interface Entrance {
  readonly scheme: 'http' | 'https'
  readonly port: number
}

/** `prefix`: what the match takes off; absent where it is no prefix. */
export function redirectOf(
  spec: NonNullable<HttpFilter['requestRedirect']>,
  entrance: Entrance,
  prefix: string | undefined,
): RedirectAction {
  const { scheme, hostname, statusCode } = spec
  const port = redirectPort(spec, entrance)
  return {
    redirect: {
      status: statusCode as RedirectAction['redirect']['status'],
      ...(scheme !== undefined && { scheme }),
      ...(hostname !== undefined && { host: hostname }),
      ...(port !== undefined && { port }),
      ...(spec.path !== undefined && { path: redirectPath(spec.path, prefix) }),
    },
  }
}

/**
 * Undefined: none is written, for it is the scheme's own. The port is the one that is said, else the well-known one of a
 * scheme that is said, else the one that was called.
 */
function redirectPort(
  { scheme, hostname, port }: NonNullable<HttpFilter['requestRedirect']>,
  entrance: Entrance,
): number | undefined {
  const own = DEFAULT_PORTS[scheme ?? entrance.scheme]
  const wanted = port ?? (scheme === undefined ? entrance.port : own)
  if (wanted !== own) return wanted
  // The client wrote no port, unless the one it called is not its scheme's own: then that has to go.
  const isBare = hostname !== undefined || entrance.port === DEFAULT_PORTS[entrance.scheme]
  return isBare ? undefined : wanted
}

function redirectPath(path: PathModifier, prefix: string | undefined): NonNullable<RedirectAction['redirect']['path']> {
  if (path.type === 'ReplaceFullPath') return { kind: 'path', path: rooted(path.replaceFullPath ?? '') }
  return prefixRewrite(path.replacePrefixMatch ?? '', prefix)
}

const rooted = (path: string): string => (path.startsWith('/') ? path : `/${path}`)

export function rewriteOf(
  spec: NonNullable<HttpFilter['urlRewrite']> | undefined,
  prefix: string | undefined,
): Pick<ForwardAction, 'rewritePath' | 'rewriteHost'> {
  const { hostname, path } = spec ?? {}
  return {
    ...(hostname !== undefined && { rewriteHost: { kind: 'literal', host: hostname } }),
    ...(path !== undefined && { rewritePath: pathRewrite(path, prefix) }),
  }
}

function pathRewrite(path: PathModifier, prefix: string | undefined): PathRewrite {
  if (path.type === 'ReplacePrefixMatch') return prefixRewrite(path.replacePrefixMatch ?? '', prefix)
  return { kind: 'regex', regex: '^.*$', substitution: literal(rooted(path.replaceFullPath ?? '')) }
}

/** `prefix` as it is matched: without the slash at its end, empty for `/`. */
function prefixRewrite(replacement: string, prefix: string | undefined): PathRewrite {
  const to = rooted(replacement).replace(/\/+$/, '')
  // `/` takes the first slash of the path, which has to stay between the new prefix and the rest.
  if (prefix === '') return { kind: 'prefix', prefix: `${to}/` }
  if (to !== '') return { kind: 'prefix', prefix: to }
  return { kind: 'regex', regex: `^${escaped(prefix ?? '')}/?`, substitution: '/' }
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
const literal = (text: string): string => text.replaceAll('\\', String.raw`\\`)

type Mirror = NonNullable<HttpFilter['requestMirror']>
export type FindMirror = (ref: Mirror['backendRef']) => string | undefined

/** A copy for a backend that is not there is not made. */
export function mirrorsOf(filters: readonly AnyFilter[], find: FindMirror): readonly MirrorPolicy[] {
  return filters.flatMap(({ requestMirror }): MirrorPolicy[] => {
    if (requestMirror === undefined) return []
    const cluster = find(requestMirror.backendRef)
    const share = shareOf(requestMirror)
    return cluster === undefined || share.numerator === 0 ? [] : [{ cluster, share, keepHost: true }]
  })
}

const PER_MILLION = 1_000_000

function shareOf({ percent, fraction }: Mirror): Fraction {
  if (fraction === undefined) return { numerator: percent ?? 100, denominator: 100 }
  const { numerator, denominator } = fraction
  if (denominator === 100) return { numerator, denominator }
  return { numerator: Math.round((numerator / denominator) * PER_MILLION), denominator: PER_MILLION }
}

export function corsOf(filters: readonly HttpFilter[]): { readonly filters?: RoutedFilters } {
  const spec = filters.find(({ cors }) => cors)?.cors
  if (spec === undefined) return {}
  const list = (values: readonly string[] | undefined): string | undefined =>
    values === undefined || values.length === 0 ? undefined : values.join(',')
  const [methods, headers, expose] = [spec.allowMethods, spec.allowHeaders, spec.exposeHeaders].map(list)
  const config: CorsPolicy = {
    origins: (spec.allowOrigins ?? []).map(originOf),
    ...(methods !== undefined && { methods }),
    ...(headers !== undefined && { headers }),
    ...(expose !== undefined && { expose }),
    maxAge: String(spec.maxAge),
    ...(spec.allowCredentials === true && { credentials: true }),
  }
  return { filters: { [FILTER_NAMES.cors]: { kind: 'cors', config } } }
}

/** `https://*.example.org` stands for one label or more; `https://*` for any host. */
function originOf(origin: string): StringMatch {
  if (origin === '*' || !origin.includes('*')) return { kind: 'exact', value: origin }
  const [before = '', after = ''] = origin.split('*')
  return { kind: 'regex', value: `${escaped(before)}[A-Za-z0-9.-]+${escaped(after)}` }
}
