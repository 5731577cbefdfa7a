/** What a route matches <-> RouteMatch. Conditions on a CONNECT route are refused: tunnels are matched by authority. */
import { create } from '@bufbuild/protobuf'
import {
  type RouteMatch as RouteMatchMessage,
  RouteMatchSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { MatchConditions, PathMatch, RouteMatch } from '../../model/config.ts'
import {
  decodeHeaderMatch,
  decodeQueryMatch,
  decodeRegex,
  encodeHeaderMatch,
  encodeQueryMatch,
  encodeRegex,
  HEADER_SHAPE,
  QUERY_SHAPE,
  REGEX_SHAPE,
} from './matchers.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

export const MATCH_SHAPE: Shape = {
  prefix: true,
  path: true,
  safe_regex: REGEX_SHAPE,
  path_separated_prefix: true,
  connect_matcher: {},
  case_sensitive: true,
  headers: HEADER_SHAPE,
  query_parameters: QUERY_SHAPE,
}

export function encodeMatch(match: RouteMatch): RouteMatchMessage {
  return create(RouteMatchSchema, {
    pathSpecifier: encodePath(match),
    ...(match.ignoreCase === true && { caseSensitive: false }),
    headers: (match.headers ?? []).map(encodeHeaderMatch),
    queryParameters: (match.query ?? []).map(encodeQueryMatch),
  })
}

function encodePath(match: PathMatch): RouteMatchMessage['pathSpecifier'] {
  switch (match.kind) {
    case 'prefix':
      return { case: 'prefix', value: match.prefix }
    case 'separated-prefix':
      return { case: 'pathSeparatedPrefix', value: match.prefix }
    case 'path':
      return { case: 'path', value: match.path }
    case 'regex':
      return { case: 'safeRegex', value: encodeRegex(match.regex) }
    case 'connect':
      return create(RouteMatchSchema, { pathSpecifier: { case: 'connectMatcher', value: {} } }).pathSpecifier
    default:
      return match satisfies never
  }
}

export function decodeMatch(path: string, message: RouteMatchMessage | undefined): RouteMatch {
  const match = present(path, message)
  const conditions = decodeConditions(path, match)
  const by = decodePath(path, match.pathSpecifier)
  const textual = by.kind !== 'connect' && by.kind !== 'regex'
  require(within(path, 'case_sensitive'), textual || conditions.ignoreCase === undefined, 'is for path and prefixes')
  if (by.kind === 'connect') {
    require(within(path, 'headers'), conditions.headers === undefined, 'is not supported on CONNECT routes')
    require(within(path, 'query_parameters'), conditions.query === undefined, 'is not supported on CONNECT routes')
  }
  return { ...by, ...conditions }
}

function decodePath(path: string, specifier: RouteMatchMessage['pathSpecifier']): PathMatch {
  switch (specifier.case) {
    case 'connectMatcher':
      return { kind: 'connect' }
    case 'safeRegex':
      return { kind: 'regex', regex: decodeRegex(within(path, 'safe_regex'), specifier.value) }
    case 'prefix':
      require(within(path, 'prefix'), specifier.value.startsWith('/'), 'must start with /')
      return { kind: 'prefix', prefix: specifier.value }
    case 'path':
      require(within(path, 'path'), specifier.value.startsWith('/'), 'must start with /')
      return { kind: 'path', path: specifier.value }
    case 'pathSeparatedPrefix':
      require(within(path, 'path_separated_prefix'), /^\/[^?#]*[^?#/]$/.test(
        specifier.value,
      ), 'must start with /, not end with it, and have no query')
      return { kind: 'separated-prefix', prefix: specifier.value }
    default:
      return refuse(path, 'must be path, prefix, path_separated_prefix, safe_regex or connect_matcher')
  }
}

function decodeConditions(path: string, match: RouteMatchMessage): MatchConditions {
  const headers = match.headers.map((header, index) => decodeHeaderMatch(`${path}.headers[${index}]`, header))
  const query = match.queryParameters.map((parameter, index) =>
    decodeQueryMatch(`${path}.query_parameters[${index}]`, parameter),
  )
  return {
    ...(match.caseSensitive === false && { ignoreCase: true }),
    ...(headers.length > 0 && { headers }),
    ...(query.length > 0 && { query }),
  }
}
