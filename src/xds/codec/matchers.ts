/**
 * String, header and query matchers <-> Envoy's, as routes and policies share them. The deprecated spellings of a
 * header matcher are read and never written.
 */
import { create } from '@bufbuild/protobuf'
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  type QueryParameterMatcher,
  QueryParameterMatcherSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { type RegexMatcher, RegexMatcherSchema } from '#gen/envoy/type/matcher/v3/regex_pb.js'
import { type StringMatcher, StringMatcherSchema } from '#gen/envoy/type/matcher/v3/string_pb.js'
import type { HeaderMatch, QueryMatch, StringMatch } from '../../model/config.ts'
import { regexFault } from '../../runtime/regex.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

export const REGEX_SHAPE: Shape = { regex: true }
export const STRING_SHAPE: Shape = {
  exact: true,
  prefix: true,
  suffix: true,
  contains: true,
  safe_regex: REGEX_SHAPE,
  ignore_case: true,
}
export const HEADER_SHAPE: Shape = {
  name: true,
  exact_match: true,
  safe_regex_match: REGEX_SHAPE,
  range_match: { start: true, end: true },
  present_match: true,
  prefix_match: true,
  suffix_match: true,
  contains_match: true,
  string_match: STRING_SHAPE,
  invert_match: true,
  treat_missing_header_as_empty: true,
}
export const QUERY_SHAPE: Shape = { name: true, string_match: STRING_SHAPE, present_match: true }

/** Fields of a connection never reach a matcher: the codec consumes them. */
const CONSUMED: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
const PSEUDO: ReadonlySet<string> = new Set([':method', ':path', ':authority', ':scheme'])

export function encodeRegex(regex: string): RegexMatcher {
  return create(RegexMatcherSchema, { regex })
}

export function decodeRegex(path: string, matcher: RegexMatcher | undefined): string {
  const { regex } = present(path, matcher)
  require(within(path, 'regex'), regex !== '', 'is required')
  const fault = regexFault(regex)
  if (fault !== undefined) refuse(within(path, 'regex'), fault)
  return regex
}

export function encodeString(match: StringMatch): StringMatcher {
  return create(StringMatcherSchema, {
    matchPattern:
      match.kind === 'regex'
        ? { case: 'safeRegex', value: encodeRegex(match.value) }
        : { case: match.kind, value: match.value },
    ignoreCase: match.ignoreCase === true,
  })
}

export function decodeString(path: string, matcher: StringMatcher | undefined): StringMatch {
  const { matchPattern: pattern, ignoreCase } = present(path, matcher)
  if (pattern.case === undefined || pattern.case === 'custom') return refuse(path, 'a pattern is required')
  if (pattern.case === 'safeRegex') {
    require(within(path, 'ignore_case'), !ignoreCase, 'has no effect on a regex; write (?i)')
    return { kind: 'regex', value: decodeRegex(within(path, 'safe_regex'), pattern.value) }
  }
  return plainString(within(path, pattern.case), { kind: pattern.case, value: pattern.value, ignoreCase })
}

function plainString(
  path: string,
  match: { kind: Exclude<StringMatch['kind'], 'regex'>; value: string; ignoreCase: boolean },
): StringMatch {
  require(path, match.kind === 'exact' || match.value !== '', 'is empty')
  return { kind: match.kind, value: match.value, ...(match.ignoreCase && { ignoreCase: true }) }
}

export function encodeHeaderMatch(match: HeaderMatch): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name: match.name,
    headerMatchSpecifier: encodeHeaderIs(match.is),
    invertMatch: match.invert === true,
    treatMissingHeaderAsEmpty: match.missingIsEmpty === true,
  })
}

function encodeHeaderIs(is: HeaderMatch['is']): HeaderMatcher['headerMatchSpecifier'] {
  if (is.kind === 'present') return { case: 'presentMatch', value: is.present }
  if (is.kind !== 'range') return { case: 'stringMatch', value: encodeString(is) }
  const { headerMatchSpecifier } = create(HeaderMatcherSchema, {
    headerMatchSpecifier: { case: 'rangeMatch', value: { start: BigInt(is.from), end: BigInt(is.to) } },
  })
  return headerMatchSpecifier
}

export function decodeHeaderMatch(path: string, matcher: HeaderMatcher): HeaderMatch {
  const name = matcher.name.toLowerCase()
  require(within(path, 'name'), name !== '', 'is required')
  require(within(path, 'name'), !CONSUMED.has(name), `${name} belongs to the connection and cannot be matched`)
  require(within(path, 'name'), !name.startsWith(':') || PSEUDO.has(name), `${name} is not a field of a request`)
  const is = decodeHeaderIs(path, matcher.headerMatchSpecifier)
  const missingIsEmpty = matcher.treatMissingHeaderAsEmpty
  require(within(path, 'treat_missing_header_as_empty'), !missingIsEmpty ||
    is.kind !== 'present', 'contradicts present_match')
  return {
    name,
    is,
    ...(matcher.invertMatch && { invert: true }),
    ...(missingIsEmpty && { missingIsEmpty: true }),
  }
}

const DEPRECATED = {
  exactMatch: 'exact',
  prefixMatch: 'prefix',
  suffixMatch: 'suffix',
  containsMatch: 'contains',
} as const

function decodeHeaderIs(path: string, specifier: HeaderMatcher['headerMatchSpecifier']): HeaderMatch['is'] {
  switch (specifier.case) {
    // Envoy takes a matcher without a rule for one of presence.
    case undefined:
      return { kind: 'present', present: true }
    case 'presentMatch':
      return { kind: 'present', present: specifier.value }
    case 'rangeMatch': {
      const from = Number(specifier.value.start)
      const to = Number(specifier.value.end)
      const at = within(path, 'range_match')
      require(at, Number.isSafeInteger(from) && Number.isSafeInteger(to), 'is out of range')
      require(at, from < to, 'is empty')
      return { kind: 'range', from, to }
    }
    case 'stringMatch':
      return decodeString(within(path, 'string_match'), specifier.value)
    case 'safeRegexMatch':
      return { kind: 'regex', value: decodeRegex(within(path, 'safe_regex_match'), specifier.value) }
    default: {
      const kind = DEPRECATED[specifier.case]
      return plainString(within(path, `${kind}_match`), { kind, value: specifier.value, ignoreCase: false })
    }
  }
}

export function encodeQueryMatch({ name, is }: QueryMatch): QueryParameterMatcher {
  return create(QueryParameterMatcherSchema, {
    name,
    queryParameterMatchSpecifier:
      is.kind === 'present'
        ? { case: 'presentMatch', value: is.present }
        : { case: 'stringMatch', value: encodeString(is) },
  })
}

export function decodeQueryMatch(path: string, matcher: QueryParameterMatcher): QueryMatch {
  require(within(path, 'name'), matcher.name !== '', 'is required')
  const specifier = matcher.queryParameterMatchSpecifier
  if (specifier.case === 'stringMatch') {
    return { name: matcher.name, is: decodeString(within(path, 'string_match'), specifier.value) }
  }
  return { name: matcher.name, is: { kind: 'present', present: specifier.value ?? true } }
}
