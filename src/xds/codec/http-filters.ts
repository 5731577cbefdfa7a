/**
 * HTTP filters <-> their extensions, on a chain and on virtual host and route. A chain always lists every filter that a
 * route may configure, empty unless it brings a configuration itself, in the order of model/filters.ts.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import { type RuntimeFractionalPercent, RuntimeFractionalPercentSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type CorsPolicy as CorsMessage,
  CorsPolicySchema,
  CorsSchema,
} from '#gen/envoy/extensions/filters/http/cors/v3/cors_pb.js'
import { type HTTPFault, HTTPFaultSchema } from '#gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from '#gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType as Denominator,
  FractionalPercentSchema,
} from '#gen/envoy/type/v3/percent_pb.js'
import {
  type RBAC as HttpRbac,
  RBACPerRouteSchema,
  RBACSchema as HttpRbacSchema,
} from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js'
import { type TokenBucket as BucketMessage, TokenBucketSchema } from '#gen/envoy/type/v3/token_bucket_pb.js'
import type {
  CorsPolicy,
  FaultPolicy,
  Fraction,
  HttpFilters,
  RateLimitPolicy,
  RbacPolicy,
  TokenBucket,
} from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import {
  decodeHeaderMatch,
  decodeString,
  encodeHeaderMatch,
  encodeString,
  HEADER_SHAPE,
  STRING_SHAPE,
} from './matchers.ts'
import { decodeRbac, encodeRbac, RBAC_SHAPE } from './rbac.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export type FilterKind = keyof HttpFilters
export const FILTER_NAMES: Readonly<Record<FilterKind, string>> = {
  cors: 'envoy.filters.http.cors',
  rbac: 'envoy.filters.http.rbac',
  rateLimit: 'envoy.filters.http.local_ratelimit',
  fault: 'envoy.filters.http.fault',
}
const STAT_PREFIX = 'local_rate_limit'
const STATUS_TOO_MANY = 429

const PERCENT_SHAPE: Shape = { numerator: true, denominator: true }
export const FRACTION_SHAPE: Shape = { default_value: PERCENT_SHAPE }
const BUCKET_SHAPE: Shape = { max_tokens: true, tokens_per_fill: true, fill_interval: true }
const LISTED_RBAC_SHAPE: Shape = { rules: RBAC_SHAPE }
const CORS_SHAPE: Shape = {
  allow_origin_string_match: STRING_SHAPE,
  allow_methods: true,
  allow_headers: true,
  expose_headers: true,
  max_age: true,
  allow_credentials: {},
}
const FAULT_SHAPE: Shape = {
  delay: { fixed_delay: true, percentage: PERCENT_SHAPE },
  abort: { http_status: true, percentage: PERCENT_SHAPE },
  headers: HEADER_SHAPE,
}
const RATE_LIMIT_SHAPE: Shape = {
  stat_prefix: true,
  status: { code: true },
  token_bucket: BUCKET_SHAPE,
  filter_enabled: FRACTION_SHAPE,
  filter_enforced: FRACTION_SHAPE,
  descriptors: { entries: { key: true, value: true }, token_bucket: BUCKET_SHAPE },
  always_consume_default_token_bucket: {},
}

/** As a chain lists it, with or without a configuration of its own. */
export function encodeListed(kind: FilterKind, filters: HttpFilters | undefined): Any {
  if (kind === 'rbac') return anyPack(HttpRbacSchema, encodePolicy(filters?.rbac))
  const own = filters === undefined ? undefined : encodeFilter(kind, filters)
  if (own !== undefined && kind !== 'cors') return own
  switch (kind) {
    case 'cors':
      return anyPack(CorsSchema, create(CorsSchema))
    case 'rateLimit':
      return anyPack(LocalRateLimitSchema, create(LocalRateLimitSchema, { statPrefix: STAT_PREFIX }))
    case 'fault':
      return anyPack(HTTPFaultSchema, create(HTTPFaultSchema))
    default:
      return kind satisfies never
  }
}

/** To be spread into the chain's filters. */
export function decodeListed(path: string, kind: FilterKind, config: Any | undefined): HttpFilters {
  switch (kind) {
    case 'cors':
      unpackShaped(CorsSchema, config, {}, path)
      return {}
    case 'rbac': {
      const message = unpackShaped(HttpRbacSchema, config, LISTED_RBAC_SHAPE, path)
      return message.rules === undefined ? {} : { rbac: decodePolicy(path, message) }
    }
    case 'rateLimit': {
      const message = unpackShaped(LocalRateLimitSchema, config, RATE_LIMIT_SHAPE, path)
      return message.tokenBucket === undefined ? {} : { rateLimit: decodeRateLimit(path, message) }
    }
    case 'fault': {
      const fault = decodeFault(path, unpackShaped(HTTPFaultSchema, config, FAULT_SHAPE, path))
      return fault === undefined ? {} : { fault }
    }
    default:
      return kind satisfies never
  }
}

export function encodeFilter(kind: FilterKind, filters: HttpFilters): Any | undefined {
  const { cors, rbac, rateLimit, fault } = filters
  switch (kind) {
    case 'cors':
      return cors && anyPack(CorsPolicySchema, encodeCors(cors))
    case 'rbac':
      return rbac && anyPack(RBACPerRouteSchema, create(RBACPerRouteSchema, { rbac: encodePolicy(rbac) }))
    case 'rateLimit':
      return rateLimit && anyPack(LocalRateLimitSchema, encodeRateLimit(rateLimit))
    case 'fault':
      return fault && anyPack(HTTPFaultSchema, encodeFault(fault))
    default:
      return kind satisfies never
  }
}

/** Of a virtual host or a route. */
export function decodeFilter(path: string, kind: FilterKind, config: Any): HttpFilters {
  switch (kind) {
    case 'cors':
      return { cors: decodeCors(path, unpackShaped(CorsPolicySchema, config, CORS_SHAPE, path)) }
    case 'rbac': {
      const { rbac } = unpackShaped(RBACPerRouteSchema, config, { rbac: LISTED_RBAC_SHAPE }, path)
      return { rbac: rbac === undefined ? {} : decodePolicy(within(path, 'rbac'), rbac) }
    }
    case 'rateLimit':
      return { rateLimit: decodeRateLimit(path, unpackShaped(LocalRateLimitSchema, config, RATE_LIMIT_SHAPE, path)) }
    case 'fault': {
      const fault = decodeFault(path, unpackShaped(HTTPFaultSchema, config, FAULT_SHAPE, path))
      // An empty one switches off what the level around it has.
      return { fault: fault ?? {} }
    }
    default:
      return kind satisfies never
  }
}

function encodePolicy(policy: RbacPolicy | undefined): HttpRbac {
  const rules = policy?.rules
  return create(HttpRbacSchema, rules === undefined ? {} : { rules: encodeRbac(rules) })
}

function decodePolicy(path: string, { rules }: HttpRbac): RbacPolicy {
  return rules === undefined ? {} : { rules: decodeRbac(within(path, 'rules'), rules) }
}

function encodeCors(policy: CorsPolicy): CorsMessage {
  return create(CorsPolicySchema, {
    allowOriginStringMatch: policy.origins.map(encodeString),
    allowMethods: policy.methods ?? '',
    allowHeaders: policy.headers ?? '',
    exposeHeaders: policy.expose ?? '',
    maxAge: policy.maxAge ?? '',
    ...(policy.credentials === true && { allowCredentials: true }),
  })
}

function decodeCors(path: string, message: CorsMessage): CorsPolicy {
  const text = (field: string, value: string): string => {
    require(within(path, field), /^[\t\x20-\x7e]*$/.test(value), 'has a byte that has no place in a header')
    return value
  }
  const { allowMethods, allowHeaders, exposeHeaders, maxAge } = message
  return {
    origins: message.allowOriginStringMatch.map((match, index) =>
      decodeString(`${path}.allow_origin_string_match[${index}]`, match),
    ),
    ...(allowMethods !== '' && { methods: text('allow_methods', allowMethods) }),
    ...(allowHeaders !== '' && { headers: text('allow_headers', allowHeaders) }),
    ...(exposeHeaders !== '' && { expose: text('expose_headers', exposeHeaders) }),
    ...(maxAge !== '' && { maxAge: text('max_age', maxAge) }),
    ...(message.allowCredentials === true && { credentials: true }),
  }
}

function encodeFault({ delay, abort, headers }: FaultPolicy): HTTPFault {
  return create(HTTPFaultSchema, {
    ...(delay !== undefined && {
      delay: {
        faultDelaySecifier: { case: 'fixedDelay', value: encodeDuration(delay.ms) },
        percentage: encodePercent(delay.share),
      },
    }),
    ...(abort !== undefined && {
      abort: { errorType: { case: 'httpStatus', value: abort.status }, percentage: encodePercent(abort.share) },
    }),
    headers: (headers ?? []).map(encodeHeaderMatch),
  })
}

/** Undefined: there is nothing in it. */
function decodeFault(path: string, { delay, abort, headers }: HTTPFault): FaultPolicy | undefined {
  const matches = headers.map((header, index) => decodeHeaderMatch(`${path}.headers[${index}]`, header))
  if (delay === undefined && abort === undefined && matches.length === 0) return undefined
  const fixed = delay?.faultDelaySecifier.case === 'fixedDelay' ? delay.faultDelaySecifier.value : undefined
  const status = abort?.errorType.case === 'httpStatus' ? abort.errorType.value : 0
  require(within(path, 'abort.http_status'), abort === undefined ||
    (status >= 200 && status < 600), 'must be from 200 to 599')
  return {
    ...(delay !== undefined && {
      delay: {
        ms: decodeDuration(within(path, 'delay.fixed_delay'), fixed),
        share: decodePercent(within(path, 'delay.percentage'), delay.percentage),
      },
    }),
    ...(abort !== undefined && {
      abort: { status, share: decodePercent(within(path, 'abort.percentage'), abort.percentage) },
    }),
    ...(matches.length > 0 && { headers: matches }),
  }
}

function encodeRateLimit(policy: RateLimitPolicy): LocalRateLimit {
  return create(LocalRateLimitSchema, {
    statPrefix: STAT_PREFIX,
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the enum only names statuses, which are numbers
    ...(policy.status !== undefined && { status: { code: policy.status as StatusCode } }),
    tokenBucket: encodeBucket(policy.bucket),
    filterEnabled: encodeFraction(policy.enabled),
    filterEnforced: encodeFraction(policy.enforced),
    descriptors: (policy.descriptors ?? []).map(({ entries, bucket }) => ({
      entries: entries.map(({ key, value }) => ({ key, value })),
      tokenBucket: encodeBucket(bucket),
    })),
    ...(policy.descriptorsOnly === true && { alwaysConsumeDefaultTokenBucket: false }),
  })
}

function decodeRateLimit(path: string, message: LocalRateLimit): RateLimitPolicy {
  const status: number = message.status?.code ?? STATUS_TOO_MANY
  require(within(path, 'status.code'), status >= 400 && status < 600, 'must be from 400 to 599')
  const descriptors = message.descriptors.map(({ entries, tokenBucket }, index) => {
    const at = `${path}.descriptors[${index}]`
    require(within(at, 'entries'), entries.length > 0, 'is required')
    return {
      entries: entries.map(({ key, value }) => {
        require(within(at, 'entries'), key !== '' && value !== '', 'has an empty key or value')
        return { key, value }
      }),
      bucket: decodeBucket(within(at, 'token_bucket'), tokenBucket),
    }
  })
  return {
    ...(message.status !== undefined && { status }),
    bucket: decodeBucket(within(path, 'token_bucket'), message.tokenBucket),
    // Envoy's default for both is never; a limit that is not one is refused rather than believed.
    enabled: decodeFraction(within(path, 'filter_enabled'), message.filterEnabled),
    enforced: decodeFraction(within(path, 'filter_enforced'), message.filterEnforced),
    ...(descriptors.length > 0 && { descriptors }),
    ...(message.alwaysConsumeDefaultTokenBucket === false && { descriptorsOnly: true }),
  }
}

function encodeBucket({ tokensMax, tokensPerFill, fillMs }: TokenBucket): BucketMessage {
  return create(TokenBucketSchema, { maxTokens: tokensMax, tokensPerFill, fillInterval: encodeDuration(fillMs) })
}

function decodeBucket(path: string, message: BucketMessage | undefined): TokenBucket {
  const bucket = present(path, message)
  const tokensPerFill = bucket.tokensPerFill ?? 1
  const fillMs = decodeDuration(within(path, 'fill_interval'), bucket.fillInterval)
  require(within(path, 'max_tokens'), bucket.maxTokens > 0, 'must be above 0')
  require(within(path, 'tokens_per_fill'), tokensPerFill > 0, 'must be above 0')
  require(within(path, 'fill_interval'), fillMs > 0, 'must be above 0')
  return { tokensMax: bucket.maxTokens, tokensPerFill, fillMs }
}

const DENOMINATORS: Readonly<Record<Fraction['denominator'], Denominator>> = {
  100: Denominator.HUNDRED,
  10_000: Denominator.TEN_THOUSAND,
  1_000_000: Denominator.MILLION,
}

function encodePercent({ numerator, denominator }: Fraction): FractionalPercent {
  return create(FractionalPercentSchema, { numerator, denominator: DENOMINATORS[denominator] })
}

/** Absent is none, as in Envoy. */
function decodePercent(path: string, message: FractionalPercent | undefined): Fraction {
  const { numerator, denominator } = message ?? { numerator: 0, denominator: Denominator.HUNDRED }
  for (const [total, named] of Object.entries(DENOMINATORS)) {
    if (named === denominator) return { numerator, denominator: Number(total) as Fraction['denominator'] }
  }
  return refuse(within(path, 'denominator'), 'is unknown')
}

export function encodeFraction(fraction: Fraction): RuntimeFractionalPercent {
  return create(RuntimeFractionalPercentSchema, { defaultValue: encodePercent(fraction) })
}

export function decodeFraction(path: string, message: RuntimeFractionalPercent | undefined): Fraction {
  return decodePercent(within(path, 'default_value'), present(within(path, 'default_value'), message?.defaultValue))
}
