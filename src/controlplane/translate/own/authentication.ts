/**
 * AuthenticationPolicies to Envoy's filters for keys and passwords. Both are in the chain; which of them judges a request
 * is its route's to say, by the credentials that it brings: so either of two ways in is enough, paths can be left out, and
 * credentials can be optional, in Envoy as in our proxy. Without anybody to know, everybody is refused.
 */
import type {
  ApiKeySource,
  HeaderMatch,
  HttpFilterChain,
  ListedFilter,
  MatchConditions,
  PathMatch,
  Route,
  RoutedFilters,
  RouteMatch,
} from '../../../model/config.ts'
import { HiddenText } from '../../../model/config.ts'
import type { AuthenticationPolicyFacts } from '../../observe/facts-own.ts'
import { quoted } from '../security/patterns.ts'
import type { Consumers } from './consumers.ts'

const STRIP = 'isthmus.authn.strip'
const KEYS = 'isthmus.authn.keys'
const BASIC = 'isthmus.authn.basic'
/** Takes the password away once it was judged: Envoy's filter leaves it there. */
const FORGET = 'isthmus.authn.forget'
const AUTHORIZATION = 'authorization'

export interface Authentication {
  readonly filters: readonly ListedFilter[]
  /** The chain's own routes, each once for every way in. */
  readonly over: (filter: HttpFilterChain) => HttpFilterChain
}

export function authenticationOf(policy: AuthenticationPolicyFacts, consumers: Consumers): Authentication {
  const strips = policy.problem === undefined ? [strip(policy)] : []
  const filters = [...strips, ...keyFilter(policy, consumers), ...basicFilters(policy, consumers)]
  const names = filters.map(({ name }) => name).filter((name) => name !== STRIP)
  const ways = waysOf(policy, new Set(names))
  return { filters, over: (filter) => withWays(filter, ways, names) }
}

/** Nobody's word for who they are counts, also where nobody is asked. */
const strip = ({ identityHeader }: AuthenticationPolicyFacts): ListedFilter => ({
  name: STRIP,
  kind: 'headerMutation',
  config: { changes: [{ removeRequest: [identityHeader] }] },
})

const refuseAll = (name: string): ListedFilter => ({
  name,
  kind: 'rbac',
  config: { rules: { action: 'allow', policies: {} } },
})

function keyFilter(policy: AuthenticationPolicyFacts, { keys }: Consumers): readonly ListedFilter[] {
  const { apiKeys, identityHeader, forwardsCredentials, problem } = policy
  // Of a flawed policy nobody knows what was meant but that it was to stand here.
  if (problem !== undefined) return [refuseAll(KEYS)]
  if (apiKeys === undefined) return []
  if (keys.length === 0) return [refuseAll(KEYS)]
  const forward = { clientHeader: identityHeader, ...(!forwardsCredentials && { hidesKey: true as const }) }
  return [{ name: KEYS, kind: 'apiKey', config: { keys, sources: apiKeys.from.map(sourceOf), forward } }]
}

const sourceOf = ({ type, name }: { readonly type: string; readonly name: string }): ApiKeySource => {
  if (type === 'Header') return { kind: 'header', name: name.toLowerCase() }
  return { kind: type === 'Query' ? 'query' : 'cookie', name }
}

function basicFilters(policy: AuthenticationPolicyFacts, { users }: Consumers): readonly ListedFilter[] {
  const { basic, identityHeader: userHeader, forwardsCredentials, problem } = policy
  if (basic === undefined || problem !== undefined) return []
  if (users.length === 0) return [refuseAll(BASIC)]
  const lines = users.map(({ name, hash }) => `${name}:{SHA}${hash.reveal()}\n`)
  const judge: ListedFilter = {
    name: BASIC,
    kind: 'basicAuth',
    config: { users: { hidden: new HiddenText(lines.join('')) }, userHeader },
  }
  if (forwardsCredentials) return [judge]
  return [judge, { name: FORGET, kind: 'headerMutation', config: { changes: [{ removeRequest: [AUTHORIZATION] }] } }]
}

/** Requests that match go past what is not among `asked`. */
interface Way {
  readonly path?: PathMatch
  readonly headers?: readonly HeaderMatch[]
  readonly query?: MatchConditions['query']
  readonly asked: readonly string[]
}

/** In the order that they are tried; the last takes every request. */
function waysOf(policy: AuthenticationPolicyFacts, names: ReadonlySet<string>): readonly Way[] {
  const { apiKeys, exclude, isOptional, problem } = policy
  // A browser asks without credentials whether it may ask with them (Fetch, CORS preflight).
  const preflight = [exactly(':method', 'OPTIONS'), present('origin'), present('access-control-request-method')]
  const free = [{ headers: preflight, asked: [] }, ...exclude.map((path) => ({ path: pathOf(path), asked: [] }))]
  if (problem !== undefined) return [...free.slice(0, 1), { asked: [KEYS] }]
  const basic = [BASIC, FORGET]
  const hasBoth = names.has(KEYS) && names.has(BASIC)
  const byBasic = { headers: [basicHeader], asked: basic }
  const byKey = (apiKeys?.from ?? []).map((source) => bringing(sourceOf(source)))
  const first = names.has(KEYS) ? [KEYS] : basic
  if (isOptional) return [...free, ...(names.has(BASIC) ? [byBasic] : []), ...byKey, { asked: [] }]
  return [...free, ...(hasBoth ? [byBasic] : []), { asked: first }]
}

const exactly = (name: string, value: string): HeaderMatch => ({ name, is: { kind: 'exact', value } })
const present = (name: string): HeaderMatch => ({ name, is: { kind: 'present', present: true } })
const basicHeader: HeaderMatch = { name: AUTHORIZATION, is: { kind: 'prefix', value: 'Basic ' } }

function bringing({ kind, name }: ApiKeySource): Way {
  const asked = [KEYS]
  if (kind === 'header') return { headers: [present(name)], asked }
  if (kind === 'query') return { query: [{ name, is: { kind: 'present', present: true } }], asked }
  return { headers: [{ name: 'cookie', is: { kind: 'regex', value: `(.*;\\s*)?${quoted(name)}=.*` } }], asked }
}

function pathOf(path: string): PathMatch {
  return path.endsWith('*') ? { kind: 'prefix', prefix: path.slice(0, -1) } : { kind: 'path', path }
}

function withWays(filter: HttpFilterChain, ways: readonly Way[], names: readonly string[]): HttpFilterChain {
  const { routes } = filter
  if ('rds' in routes) return filter
  const hosts = routes.hosts.map((host) => ({
    ...host,
    routes: host.routes.flatMap((route) => ways.map((way) => along(route, way, names))),
  }))
  return { ...filter, routes: { ...routes, hosts } }
}

function along(route: Route, { path, headers, query, asked }: Way, names: readonly string[]): Route {
  const off = names.filter((name) => !asked.includes(name)).map((name) => [name, { kind: 'off' }] as const)
  const match: RouteMatch = {
    ...(path ?? route.match),
    ...(headers !== undefined && { headers }),
    ...(query !== undefined && { query }),
  }
  const filters: RoutedFilters = Object.fromEntries(off)
  return { ...route, match, ...(off.length > 0 && { filters: { ...route.filters, ...filters } }) }
}
