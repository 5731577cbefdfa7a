/** Rules of GRPCRoutes to the routes of a virtual host, in their order of precedence. A call that none takes is answered UNIMPLEMENTED. */
import type { GrpcRouteSpec } from '../../../kube/kinds/gateway-api.ts'
import type { DirectAction, PathMatch, Route } from '../../../model/config.ts'
import { regexFault } from '../../../runtime/regex.ts'
import type { GrpcRouteFacts } from '../../observe/facts-gateway-api.ts'
import { DEFAULT_RETRY } from '../istio/retries.ts'
import { clustersOf } from './backends.ts'
import { headersOf, mirrorsOf } from './filters.ts'
import { headerMatches, inOrder, type Ranked, type RulesInput } from './http-rules.ts'

type Rule = NonNullable<GrpcRouteSpec['rules']>[number]
type GrpcMatch = NonNullable<Rule['matches']>[number]
type Method = NonNullable<GrpcMatch['method']>

export function grpcRules(routes: readonly GrpcRouteFacts[], input: RulesInput): readonly Route[] {
  const ranked = routes.flatMap((route) =>
    (route.spec.rules ?? []).flatMap((rule, index) => ruleRoutes(route, { rule, index }, input)),
  )
  return inOrder(ranked)
}

interface Placed {
  readonly rule: Rule
  readonly index: number
}

function ruleRoutes(route: GrpcRouteFacts, { rule, index }: Placed, input: RulesInput): readonly Ranked[] {
  const { matches = [] } = rule
  const name = `${route.namespace}/${route.name}/${rule.name ?? String(index)}`
  const action = actionOf(rule, route, input)
  return (matches.length === 0 ? [{}] : matches)
    .filter(isSoundCall)
    .map((match: GrpcMatch) => ({ rank: rankOf(match), route: { name, match: toMatch(match), ...action } }))
}

/** The longer name of a service, of a method, then the number of headers. */
function rankOf({ method, headers = [] }: GrpcMatch): readonly number[] {
  const exact = method === undefined || method.type === 'Exact' ? 1 : 0
  return [exact, method?.service?.length ?? 0, method?.method?.length ?? 0, headers.length]
}

export function isSoundCall({ method, headers = [] }: GrpcMatch): boolean {
  const isPattern = method?.type === 'RegularExpression'
  const patterns = isPattern ? [method.service, method.method].filter((text) => text !== undefined) : []
  const ofHeaders = headers.filter(({ type }) => type === 'RegularExpression').map(({ value }) => value)
  return [...patterns, ...ofHeaders].every((pattern) => regexFault(pattern) === undefined)
}

function toMatch({ method, headers = [] }: GrpcMatch): Route['match'] {
  const wanted = headerMatches(headers)
  return { ...pathMatch(method), ...(wanted.length > 0 && { headers: wanted }) }
}

/** Calls are requests for `/<service>/<method>`. */
function pathMatch(named: Method | undefined): PathMatch {
  const { type, service, method } = named ?? {}
  if (service === undefined && method === undefined) return { kind: 'prefix', prefix: '/' }
  if (type === 'RegularExpression') {
    return { kind: 'regex', regex: `/(?:${service ?? '[^/]+'})/(?:${method ?? '[^/]+'})` }
  }
  if (method === undefined) return { kind: 'prefix', prefix: `/${service ?? ''}/` }
  return service === undefined
    ? { kind: 'regex', regex: `/[^/]+/${method.replaceAll('.', String.raw`\.`)}` }
    : { kind: 'path', path: `/${service}/${method}` }
}

const NOWHERE: DirectAction = { direct: { status: 500, body: '' } }
type Action<R = Route> = R extends unknown ? Omit<R, 'match' | 'name'> : never

function actionOf(
  { filters = [], backendRefs = [] }: Rule,
  { namespace }: GrpcRouteFacts,
  { find }: RulesInput,
): Action {
  const { mutations, host } = headersOf(filters)
  const common = { ...(mutations !== undefined && { headers: mutations }) }
  const clusters = clustersOf(backendRefs, (ref) => find(ref, namespace))
  if (clusters === undefined || filters.some(({ type }) => type === 'ExtensionRef')) return { ...common, ...NOWHERE }
  const mirrors = mirrorsOf(filters, (ref) => find(ref, namespace)?.cluster)
  return {
    ...common,
    ...clusters,
    // Streams live as long as their callers say.
    timeoutMs: 0,
    grpcTimeout: { maxMs: 0 },
    retry: DEFAULT_RETRY,
    ...(host !== undefined && { rewriteHost: { kind: 'literal', host } }),
    ...(mirrors.length > 0 && { mirrors }),
  }
}
