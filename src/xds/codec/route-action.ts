/**
 * What a route does <-> RouteAction, RedirectAction, DirectResponseAction. Rewrites are shared by the first two.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { BoolValueSchema } from '@bufbuild/protobuf/wkt'
import {
  RedirectAction_RedirectResponseCode as RedirectCode,
  type RedirectAction as RedirectMessage,
  type Route as RouteMessage,
  type RouteAction as RouteActionMessage,
  RouteSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { type RegexMatchAndSubstitute, RegexMatchAndSubstituteSchema } from '#gen/envoy/type/matcher/v3/regex_pb.js'
import type {
  DirectAction,
  ForwardAction,
  HostRewrite,
  PathRewrite,
  RedirectAction,
  RegexRewrite,
  Route,
  RouteMatch,
} from '../../model/config.ts'
import { compileRegex } from '../../runtime/regex.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { RoutingPriority } from '#gen/envoy/config/core/v3/base_pb.js'
import { decodeName } from './header-mutations.ts'
import { CLUSTER_SPECIFIER_SHAPE, decodeTargeting, encodeTargeting, hostText } from './route-cluster.ts'
import { decodeDescriptors, encodeDescriptors } from './descriptors.ts'
import { decodeRegex, encodeRegex, REGEX_SHAPE } from './matchers.ts'
import { decodeRetry, encodeRetry, RETRY_SHAPE } from './retry.ts'
import { decodeHashes, decodeMirrors, encodeHash, encodeMirror, TRAFFIC_SHAPE } from './route-traffic.ts'
import { refuse, require, type Shape, within } from './shape.ts'
import { CONNECT, decodeRouteUpgrades, encodeUpgrades, ROUTE_UPGRADES_SHAPE } from './upgrades.ts'

/** Envoy's, for a route that says nothing. */
const DEFAULT_TIMEOUT_MS = 15_000
const BODY_BYTES_MAX = 4_096 // Envoy's max_direct_response_body_size_bytes
const SUBSTITUTE_SHAPE: Shape = { pattern: REGEX_SHAPE, substitution: true }

export const ACTION_SHAPES: Shape = {
  route: {
    ...CLUSTER_SPECIFIER_SHAPE,
    priority: true,
    timeout: true,
    retry_policy: RETRY_SHAPE,
    upgrade_configs: ROUTE_UPGRADES_SHAPE,
    prefix_rewrite: true,
    regex_rewrite: SUBSTITUTE_SHAPE,
    host_rewrite_literal: true,
    auto_host_rewrite: true,
    host_rewrite_header: true,
    host_rewrite_path_regex: SUBSTITUTE_SHAPE,
    append_x_forwarded_host: true,
    ...TRAFFIC_SHAPE,
    idle_timeout: true,
    max_stream_duration: {
      max_stream_duration: true,
      grpc_timeout_header_max: true,
      grpc_timeout_header_offset: true,
    },
  },
  redirect: {
    https_redirect: true,
    scheme_redirect: true,
    host_redirect: true,
    port_redirect: true,
    path_redirect: true,
    prefix_rewrite: true,
    regex_rewrite: SUBSTITUTE_SHAPE,
    response_code: true,
    strip_query: true,
  },
  direct_response: { status: true, body: { inline_string: true } },
}

type Action = RouteMessage['action']
type ActionInit = NonNullable<MessageInitShape<typeof RouteSchema>['action']>

export function encodeAction(route: Route): Action {
  return create(RouteSchema, { action: actionOf(route) }).action
}

function actionOf(route: Route): ActionInit {
  if ('redirect' in route) return { case: 'redirect', value: redirectOf(route.redirect) }
  if ('direct' in route) {
    const { status, body } = route.direct
    const specifier = { case: 'inlineString' as const, value: body }
    return { case: 'directResponse', value: { status, ...(body !== '' && { body: { specifier } }) } }
  }
  return { case: 'route', value: forwardOf(route) }
}

type ForwardInit = Exclude<Extract<ActionInit, { case: 'route' }>['value'], RouteActionMessage>

function forwardOf(route: Route & ForwardAction): ForwardInit {
  const { rewritePath: path } = route
  return {
    ...encodeTargeting(route),
    ...(route.priority !== undefined && { priority: RoutingPriority.HIGH }),
    timeout: encodeDuration(route.timeoutMs),
    ...(route.retry !== undefined && { retryPolicy: encodeRetry(route.retry) }),
    // Without it Envoy would forward the CONNECT instead of ending it and splicing.
    upgradeConfigs:
      route.match.kind === 'connect'
        ? [{ upgradeType: CONNECT, connectConfig: {} }]
        : encodeUpgrades(route.upgrades ?? []),
    ...(path?.kind === 'prefix' && { prefixRewrite: path.prefix }),
    ...(path?.kind === 'regex' && { regexRewrite: encodeSubstitute(path) }),
    ...(route.rewriteHost !== undefined && { hostRewriteSpecifier: hostRewriteOf(route.rewriteHost) }),
    appendXForwardedHost: route.forwardedHost === true,
    requestMirrorPolicies: (route.mirrors ?? []).map(encodeMirror),
    hashPolicy: (route.hash ?? []).map(encodeHash),
    rateLimits: encodeDescriptors(route.descriptors),
    ...(route.hostDescriptors === true && { includeVhRateLimits: true }),
    ...(route.idleTimeoutMs !== undefined && { idleTimeout: encodeDuration(route.idleTimeoutMs) }),
    ...durationOf(route),
  }
}

/** The client's own deadline is an addition to the route's. */
function durationOf({ durationMaxMs, grpcTimeout }: ForwardAction): Pick<ForwardInit, 'maxStreamDuration'> {
  if (durationMaxMs === undefined && grpcTimeout === undefined) return {}
  const offsetMs = grpcTimeout?.offsetMs
  return {
    maxStreamDuration: {
      ...(durationMaxMs !== undefined && { maxStreamDuration: encodeDuration(durationMaxMs) }),
      ...(grpcTimeout !== undefined && { grpcTimeoutHeaderMax: encodeDuration(grpcTimeout.maxMs) }),
      ...(offsetMs !== undefined && { grpcTimeoutHeaderOffset: encodeDuration(offsetMs) }),
    },
  }
}

function hostRewriteOf(rewrite: HostRewrite): RouteActionMessage['hostRewriteSpecifier'] {
  if (rewrite.kind === 'literal') return { case: 'hostRewriteLiteral', value: rewrite.host }
  if (rewrite.kind === 'header') return { case: 'hostRewriteHeader', value: rewrite.name }
  if (rewrite.kind === 'endpoint') return { case: 'autoHostRewrite', value: create(BoolValueSchema, { value: true }) }
  return { case: 'hostRewritePathRegex', value: encodeSubstitute(rewrite) }
}

function encodeSubstitute(rewrite: { regex: string; substitution: string }): RegexMatchAndSubstitute {
  const { regex, substitution } = rewrite
  return create(RegexMatchAndSubstituteSchema, { pattern: encodeRegex(regex), substitution })
}

const REDIRECT_CODES = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
} as const
const REDIRECT_STATUSES = new Map(
  Object.entries(REDIRECT_CODES).map(([status, code]) => [code, Number(status) as keyof typeof REDIRECT_CODES]),
)

type RedirectInit = Extract<ActionInit, { case: 'redirect' }>['value']

function redirectOf(redirect: RedirectAction['redirect']): RedirectInit {
  const { path } = redirect
  return {
    responseCode: REDIRECT_CODES[redirect.status],
    ...(redirect.scheme !== undefined && {
      schemeRewriteSpecifier: { case: 'schemeRedirect', value: redirect.scheme },
    }),
    hostRedirect: redirect.host ?? '',
    portRedirect: redirect.port ?? 0,
    ...(path !== undefined && { pathRewriteSpecifier: redirectPathOf(path) }),
    stripQuery: redirect.stripQuery === true,
  }
}

function redirectPathOf(
  path: NonNullable<RedirectAction['redirect']['path']>,
): RedirectMessage['pathRewriteSpecifier'] {
  if (path.kind === 'path') return { case: 'pathRedirect', value: path.path }
  if (path.kind === 'prefix') return { case: 'prefixRewrite', value: path.prefix }
  return { case: 'regexRewrite', value: encodeSubstitute(path) }
}

/** `path` is the route's. */
export function decodeAction(
  path: string,
  action: Action,
  match: RouteMatch,
): ForwardAction | RedirectAction | DirectAction {
  require(path, match.kind !== 'connect' || action.case === 'route', 'a CONNECT route needs a cluster')
  switch (action.case) {
    case 'route':
      return decodeForward(within(path, 'route'), action.value, match)
    case 'redirect':
      return { redirect: decodeRedirect(within(path, 'redirect'), action.value) }
    case 'directResponse': {
      const { status, body } = action.value
      const at = within(path, 'direct_response')
      require(within(at, 'status'), status >= 200 && status < 600, 'must be from 200 to 599')
      const text = body?.specifier.case === 'inlineString' ? body.specifier.value : ''
      require(within(at, 'body'), Buffer.byteLength(text) <= BODY_BYTES_MAX, `is over ${BODY_BYTES_MAX} bytes`)
      const bodiless = status === 204 || status === 205 || status === 304
      require(within(at, 'body'), !bodiless || text === '', `has no place in a ${status}`)
      return { direct: { status, body: text } }
    }
    default:
      return refuse(within(path, 'route'), 'is required')
  }
}

function decodeForward(path: string, action: RouteActionMessage, match: RouteMatch): ForwardAction {
  const rewritePath = decodePathRewrite(path, action)
  const rewriteHost = decodeHostRewrite(path, action.hostRewriteSpecifier)
  const rewrites = rewritePath !== undefined || rewriteHost !== undefined
  require(path, match.kind !== 'connect' || !rewrites, 'a CONNECT route rewrites nothing')
  return {
    ...decodeTargeting(path, action),
    ...decodePriority(within(path, 'priority'), action.priority),
    timeoutMs:
      action.timeout === undefined ? DEFAULT_TIMEOUT_MS : decodeDuration(within(path, 'timeout'), action.timeout),
    ...decodeLimits(path, action),
    ...decodeTraffic(path, action),
    ...decodeRouteUpgrades(within(path, 'upgrade_configs'), action.upgradeConfigs, match),
    ...(action.retryPolicy !== undefined && { retry: decodeRetry(within(path, 'retry_policy'), action.retryPolicy) }),
    ...(rewritePath !== undefined && { rewritePath }),
    ...(rewriteHost !== undefined && { rewriteHost }),
    ...(action.appendXForwardedHost && { forwardedHost: true }),
  }
}

function decodeTraffic(
  path: string,
  action: RouteActionMessage,
): Pick<ForwardAction, 'mirrors' | 'hash' | 'descriptors' | 'hostDescriptors'> {
  const mirrors = decodeMirrors(within(path, 'request_mirror_policies'), action.requestMirrorPolicies)
  const hash = decodeHashes(within(path, 'hash_policy'), action.hashPolicy)
  const descriptors = decodeDescriptors(within(path, 'rate_limits'), action.rateLimits)
  return {
    ...(mirrors.length > 0 && { mirrors }),
    ...(hash.length > 0 && { hash }),
    ...(descriptors !== undefined && { descriptors }),
    ...(action.includeVhRateLimits === true && { hostDescriptors: true as const }),
  }
}

function decodePriority(path: string, priority: RoutingPriority): Pick<ForwardAction, 'priority'> {
  require(path, priority === RoutingPriority.DEFAULT || priority === RoutingPriority.HIGH, 'is unknown')
  return priority === RoutingPriority.HIGH ? { priority: 'high' } : {}
}

function decodeLimits(
  path: string,
  { idleTimeout, maxStreamDuration }: RouteActionMessage,
): Pick<ForwardAction, 'idleTimeoutMs' | 'durationMaxMs' | 'grpcTimeout'> {
  const {
    maxStreamDuration: duration,
    grpcTimeoutHeaderMax: max,
    grpcTimeoutHeaderOffset: offset,
  } = maxStreamDuration ?? {}
  const at = within(path, 'max_stream_duration')
  require(within(at, 'grpc_timeout_header_offset'), offset === undefined ||
    max !== undefined, 'needs grpc_timeout_header_max')
  const offsetMs = offset && decodeDuration(within(at, 'grpc_timeout_header_offset'), offset)
  return {
    ...(idleTimeout !== undefined && { idleTimeoutMs: decodeDuration(within(path, 'idle_timeout'), idleTimeout) }),
    ...(duration !== undefined && { durationMaxMs: decodeDuration(within(at, 'max_stream_duration'), duration) }),
    ...(max !== undefined && {
      grpcTimeout: {
        maxMs: decodeDuration(within(at, 'grpc_timeout_header_max'), max),
        ...(offsetMs !== undefined && { offsetMs }),
      },
    }),
  }
}

/** Written as Envoy reads it: an empty prefix_rewrite is none. */
function decodePathRewrite(path: string, action: RouteActionMessage): PathRewrite | undefined {
  const { prefixRewrite, regexRewrite } = action
  require(within(path, 'regex_rewrite'), prefixRewrite === '' ||
    regexRewrite === undefined, 'and prefix_rewrite exclude each other')
  if (regexRewrite !== undefined)
    return { kind: 'regex', ...decodeSubstitute(within(path, 'regex_rewrite'), regexRewrite) }
  return prefixRewrite === ''
    ? undefined
    : { kind: 'prefix', prefix: pathText(within(path, 'prefix_rewrite'), prefixRewrite) }
}

/** A literal that goes into a target or a header of ours. */
function pathText(path: string, text: string): string {
  require(path, /^[\x21\x22\x24-\x7e]*$/.test(text), 'has a byte that has no place in a path')
  return text
}

function decodeHostRewrite(
  path: string,
  specifier: RouteActionMessage['hostRewriteSpecifier'],
): HostRewrite | undefined {
  switch (specifier.case) {
    case undefined:
      return undefined
    case 'hostRewriteLiteral':
      return { kind: 'literal', host: hostText(within(path, 'host_rewrite_literal'), specifier.value) }
    case 'hostRewriteHeader':
      return { kind: 'header', name: decodeName(within(path, 'host_rewrite_header'), specifier.value) }
    case 'hostRewritePathRegex': {
      const at = within(path, 'host_rewrite_path_regex')
      return { kind: 'path', ...decodeSubstitute(at, specifier.value) }
    }
    case 'autoHostRewrite':
      return specifier.value.value ? { kind: 'endpoint' } : undefined
    default:
      return specifier satisfies never
  }
}

function decodeSubstitute(path: string, message: RegexMatchAndSubstitute): Omit<RegexRewrite, 'kind'> {
  const regex = decodeRegex(within(path, 'pattern'), message.pattern)
  const { substitution } = message
  const at = within(path, 'substitution')
  require(at, /^([^\\]|\\[0-9\\])*$/.test(substitution), 'has a backslash that is no group')
  const groups = compileRegex(regex).groupCount()
  for (const [, group] of substitution.matchAll(/\\(?:\\|([0-9]))/g)) {
    require(at, Number(group ?? 0) <= groups, `has no group ${group ?? ''}`)
  }
  return { regex, substitution: pathText(at, substitution) }
}

function decodeRedirect(path: string, message: RedirectMessage): RedirectAction['redirect'] {
  const scheme = decodeScheme(path, message.schemeRewriteSpecifier)
  const status = REDIRECT_STATUSES.get(message.responseCode)
  if (status === undefined) return refuse(within(path, 'response_code'), 'is unknown')
  const to = decodeRedirectPath(path, message.pathRewriteSpecifier)
  const { hostRedirect: host, portRedirect: port } = message
  require(within(path, 'port_redirect'), port <= 65_535, 'is no port')
  return {
    status,
    ...(scheme !== undefined && { scheme }),
    ...(host !== '' && { host: hostText(within(path, 'host_redirect'), host) }),
    ...(port !== 0 && { port }),
    ...(to !== undefined && { path: to }),
    ...(message.stripQuery && { stripQuery: true }),
  }
}

function decodeScheme(path: string, specifier: RedirectMessage['schemeRewriteSpecifier']): string | undefined {
  if (specifier.case === 'httpsRedirect') return specifier.value ? 'https' : undefined
  if (specifier.case === undefined || specifier.value === '') return undefined
  require(within(path, 'scheme_redirect'), /^[a-z][a-z0-9+.-]*$/.test(specifier.value), 'is no scheme')
  return specifier.value
}

function decodeRedirectPath(
  path: string,
  specifier: RedirectMessage['pathRewriteSpecifier'],
): RedirectAction['redirect']['path'] {
  switch (specifier.case) {
    case undefined:
      return undefined
    case 'regexRewrite':
      return { kind: 'regex', ...decodeSubstitute(within(path, 'regex_rewrite'), specifier.value) }
    case 'prefixRewrite':
      return { kind: 'prefix', prefix: pathText(within(path, 'prefix_rewrite'), specifier.value) }
    case 'pathRedirect': {
      const at = within(path, 'path_redirect')
      require(at, specifier.value.startsWith('/'), 'must start with /')
      return { kind: 'path', path: pathText(at, specifier.value) }
    }
    default:
      return specifier satisfies never
  }
}
