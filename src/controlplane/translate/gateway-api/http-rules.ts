/**
 * Rules of HTTPRoutes to the routes of a virtual host, in the order of precedence that the specification fixes: it goes
 * by what the matches ask for, over all routes together, and only then by age and place. Pure.
 */
import { parseDuration } from '../../../kube/durations.ts'
import type { HttpRouteSpec } from '../../../kube/kinds/gateway-api.ts'
import type { DirectAction, ForwardAction, HeaderMatch, PathMatch, RetryPolicy, Route } from '../../../model/config.ts'
import { regexFault } from '../../../runtime/regex.ts'
import type { HttpRouteFacts } from '../../observe/facts-gateway-api.ts'
import { DEFAULT_RETRY } from '../istio/retries.ts'
import { clustersOf, type FindBackend } from './backends.ts'
import { corsOf, type Entrance, headersOf, mirrorsOf, redirectOf, rewriteOf } from './filters.ts'

type Rule = HttpRouteSpec['rules'][number]
export type HttpMatch = Rule['matches'][number]

export interface RulesInput {
  readonly entrance: Entrance
  readonly find: FindBackend
  /** For rules that say nothing of time. */
  readonly timeoutMs: number
}

export interface Ranked {
  readonly rank: readonly number[]
  readonly route: Route
}

export function httpRules(routes: readonly HttpRouteFacts[], input: RulesInput): readonly Route[] {
  const ranked = routes.flatMap((route) =>
    route.spec.rules.flatMap((rule, index) => ruleRoutes(route, { rule, index }, input)),
  )
  return inOrder(ranked)
}

/** Routes come the oldest first and their rules in order, which is what equals are ordered by: sorting is stable. */
export function inOrder(ranked: readonly Ranked[]): readonly Route[] {
  return ranked.toSorted((one, other) => compare(one.rank, other.rank)).map(({ route }) => route)
}

/** What is greater at the first place that differs comes first. */
function compare(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((value, index) => value !== other[index])
  return at < 0 ? 0 : (other[at] ?? 0) - (one[at] ?? 0)
}

interface Placed {
  readonly rule: Rule
  readonly index: number
}

function ruleRoutes(route: HttpRouteFacts, { rule, index }: Placed, input: RulesInput): readonly Ranked[] {
  const name = `${route.namespace}/${route.name}/${rule.name ?? String(index)}`
  return rule.matches.filter(isSound).map((match) => {
    const prefix = match.path.type === 'PathPrefix' ? match.path.value.replace(/\/+$/, '') : undefined
    return {
      rank: rankOf(match),
      route: { name, match: toMatch(match), ...actionOf(rule, route, { ...input, prefix }) },
    }
  })
}

/** Exact before a pattern before the longest prefix, then method, headers, parameters. */
function rankOf({ path, method, headers = [], queryParams = [] }: HttpMatch): readonly number[] {
  const kind = path.type === 'Exact' ? 2 : path.type === 'RegularExpression' ? 1 : 0
  return [kind, path.value.length, method === undefined ? 0 : 1, headers.length, queryParams.length]
}

/** A pattern that no proxy can run matches nothing; the route's status says so. */
export function isSound({ path, headers = [], queryParams = [] }: HttpMatch): boolean {
  return [path, ...headers, ...queryParams].every(
    ({ type, value }) => type !== 'RegularExpression' || regexFault(value) === undefined,
  )
}

export function toMatch({ path, method, headers = [], queryParams = [] }: HttpMatch): Route['match'] {
  const wanted: HeaderMatch[] = [
    ...(method === undefined ? [] : [{ name: ':method', is: { kind: 'exact' as const, value: method } }]),
    ...headerMatches(headers),
  ]
  const query = firstOfEach(queryParams, ({ name }) => name).map(({ name, type, value }) => ({
    name,
    is: { kind: type === 'Exact' ? ('exact' as const) : ('regex' as const), value },
  }))
  return {
    ...pathMatch(path),
    ...(wanted.length > 0 && { headers: wanted }),
    ...(query.length > 0 && { query }),
  }
}

export function headerMatches(headers: NonNullable<HttpMatch['headers']>): HeaderMatch[] {
  return firstOfEach(headers, ({ name }) => name.toLowerCase()).map(({ name, type, value }) => ({
    name: name.toLowerCase() === 'host' ? ':authority' : name.toLowerCase(),
    is: { kind: type === 'Exact' ? 'exact' : 'regex', value },
  }))
}

/** Of conditions on one name the first counts. */
function firstOfEach<T>(conditions: readonly T[], nameOf: (condition: T) => string): readonly T[] {
  const byName = new Map<string, T>()
  for (const condition of conditions) if (!byName.has(nameOf(condition))) byName.set(nameOf(condition), condition)
  return [...byName.values()]
}

/** A prefix ends where a part of the path does; with or without a slash at its end it is the same. */
function pathMatch({ type, value }: HttpMatch['path']): PathMatch {
  if (type === 'Exact') return { kind: 'path', path: value }
  if (type === 'RegularExpression') return { kind: 'regex', regex: value }
  const prefix = value.replace(/\/+$/, '')
  return prefix === '' ? { kind: 'prefix', prefix: '/' } : { kind: 'separated-prefix', prefix }
}

const NOWHERE: DirectAction = { direct: { status: 500, body: '' } }

/** Filters that this mesh does not run: requests must not pass without them. */
const NOT_RUN = new Set(['ExtensionRef', 'ExternalAuth'])

type Action<R = Route> = R extends unknown ? Omit<R, 'match' | 'name'> : never
interface ActionInput extends RulesInput {
  readonly prefix: string | undefined
}

function actionOf(rule: Rule, { namespace }: HttpRouteFacts, input: ActionInput): Action {
  const { filters = [], backendRefs = [] } = rule
  const { mutations, host } = headersOf(filters)
  const common = { ...(mutations !== undefined && { headers: mutations }), ...corsOf(filters) }
  if (filters.some(({ type }) => NOT_RUN.has(type))) return { ...common, ...NOWHERE }
  const redirect = filters.find(({ requestRedirect }) => requestRedirect)?.requestRedirect
  if (redirect !== undefined) return { ...common, ...redirectOf(redirect, input.entrance, input.prefix) }
  const clusters = clustersOf(backendRefs, (ref) => input.find(ref, namespace))
  if (clusters === undefined) return { ...common, ...NOWHERE }
  const rewrite = rewriteOf(filters.find(({ urlRewrite }) => urlRewrite)?.urlRewrite, input.prefix)
  const mirrors = mirrorsOf(filters, (ref) => input.find(ref, namespace)?.cluster)
  return {
    ...common,
    ...clusters,
    ...timesOf(rule, input.timeoutMs),
    ...(host !== undefined && { rewriteHost: { kind: 'literal', host } }),
    ...rewrite,
    ...(mirrors.length > 0 && { mirrors }),
  }
}

const milliseconds = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : parseDuration(text)

/** 0 is no limit, for both. A rule that limits its attempts only lets all of them together take as long as they take. */
export function timesOf(
  { timeouts, retry }: Pick<Rule, 'timeouts' | 'retry'>,
  timeoutMs: number,
): Pick<ForwardAction, 'timeoutMs' | 'retry'> {
  const request = milliseconds(timeouts?.request)
  const each = milliseconds(timeouts?.backendRequest)
  const policy = retryOf(retry, each !== undefined && each > 0 ? each : undefined)
  return { timeoutMs: request ?? (each === undefined ? timeoutMs : 0), ...(policy !== undefined && { retry: policy }) }
}

/** Envoy's, where only the base is said. */
const BACK_OFF_FACTOR = 10
const GATEWAY_TIMEOUT = 504

function retryOf(spec: Rule['retry'], perTryTimeoutMs: number | undefined): RetryPolicy | undefined {
  const perTry = perTryTimeoutMs === undefined ? {} : { perTryTimeoutMs }
  if (spec === undefined) return { ...DEFAULT_RETRY, ...perTry }
  const { codes = [], attempts = 1, backoff } = spec
  const baseMs = milliseconds(backoff)
  return {
    on: [
      ...DEFAULT_RETRY.on,
      ...(codes.length > 0 ? (['retriable-status-codes'] as const) : []),
      // An attempt that took too long has no code of its own, but for who lists the one it is answered with.
      ...(codes.includes(GATEWAY_TIMEOUT) && perTryTimeoutMs !== undefined ? (['reset'] as const) : []),
    ],
    retriesMax: attempts,
    ...(codes.length > 0 && { statusCodes: codes }),
    ...perTry,
    ...(baseMs !== undefined && baseMs > 0 && { backOff: { baseMs, maxMs: BACK_OFF_FACTOR * baseMs } }),
  }
}
