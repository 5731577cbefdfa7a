/** GlobalRateLimit <-> the `ratelimit` filter, and what routes say to it. */
import { create } from '@bufbuild/protobuf'
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js'
import {
  type RateLimit,
  RateLimit_XRateLimitHeadersRFCVersion as Headers,
  type RateLimitPerRoute,
  RateLimitPerRoute_VhRateLimitsOptions as HostOption,
  RateLimitPerRouteSchema,
  RateLimitSchema,
} from '#gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js'
import type { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js'
import type { GlobalRateLimit, GlobalRateLimitRoute, HostDescriptors } from '../../../model/config.ts'
import { decodeDescriptors, encodeDescriptors, RATE_LIMITS_SHAPE } from '../descriptors.ts'
import { decodeChanges, encodeChange, OPTION_SHAPE } from '../header-mutations.ts'
import { decodeGrpc, encodeGrpc, GRPC_SHAPE, requireV3 } from '../services.ts'
import { present, refuse, require, type Shape, within } from '../shape.ts'
import { decodeDuration, encodeDuration } from '../common.ts'
import { decodeScope } from './ext-authz.ts'
import { decodeFraction, encodeFraction, FRACTION_SHAPE } from './fractions.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const SHAPE: Shape = {
  domain: true,
  stage: true,
  request_type: true,
  timeout: true,
  failure_mode_deny: true,
  rate_limited_as_resource_exhausted: true,
  rate_limit_service: { grpc_service: GRPC_SHAPE, transport_api_version: true },
  enable_x_ratelimit_headers: true,
  disable_x_envoy_ratelimited_header: true,
  rate_limited_status: { code: true },
  response_headers_to_add: OPTION_SHAPE,
  status_on_error: { code: true },
  stat_prefix: true,
  filter_enforced: FRACTION_SHAPE,
  rate_limits: RATE_LIMITS_SHAPE,
  enable_retry_after_header: true,
}
const TIMEOUT_MS = 20 // Envoy's
const STAGE_MAX = 10

export const HOST_OPTIONS: Readonly<Record<HostDescriptors, HostOption>> = {
  override: HostOption.OVERRIDE,
  include: HostOption.INCLUDE,
  ignore: HostOption.IGNORE,
}

export const globalRateLimitCodec: FilterCodec<'globalRateLimit'> = {
  listed: messageCodec(RateLimitSchema, { shape: SHAPE, decode, encode }),
  routed: messageCodec(RateLimitPerRouteSchema, {
    shape: { vh_rate_limits: true, domain: true },
    decode: decodeRoute,
    encode: encodeRoute,
  }),
}

function encode(limit: GlobalRateLimit): RateLimit {
  const { status, statusOnError, requestType } = limit
  return create(RateLimitSchema, {
    domain: limit.domain,
    stage: limit.stage ?? 0,
    requestType: requestType ?? '',
    timeout: encodeDuration(limit.service.timeoutMs),
    failureModeDeny: limit.failureModeDeny === true,
    rateLimitedAsResourceExhausted: limit.resourceExhausted === true,
    rateLimitService: { grpcService: encodeGrpc(limit.service), transportApiVersion: ApiVersion.V3 },
    enableXRatelimitHeaders: limit.tellsClient === true ? Headers.DRAFT_VERSION_03 : Headers.OFF,
    disableXEnvoyRatelimitedHeader: limit.hidesLimited === true,
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the enum only names statuses, which are numbers
    ...(status !== undefined && { rateLimitedStatus: { code: status as StatusCode } }),
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the enum only names statuses, which are numbers
    ...(statusOnError !== undefined && { statusOnError: { code: statusOnError as StatusCode } }),
    responseHeadersToAdd: (limit.addResponse ?? []).map(encodeChange),
    statPrefix: limit.statPrefix ?? '',
    ...(limit.enforced !== undefined && { filterEnforced: encodeFraction(limit.enforced) }),
    rateLimits: encodeDescriptors(limit.rules),
    enableRetryAfterHeader: limit.retryAfter === true,
  })
}

function decode(path: string, message: RateLimit): GlobalRateLimit {
  const at = within(path, 'rate_limit_service')
  const service = present(at, message.rateLimitService)
  requireV3(within(at, 'transport_api_version'), service.transportApiVersion)
  require(within(path, 'domain'), message.domain !== '', 'is required')
  require(within(path, 'stage'), message.stage <= STAGE_MAX, `is above ${STAGE_MAX}`)
  const { timeout, statPrefix } = message
  // Envoy goes by the filter's own timeout; another one at the service would be ignored.
  const theirs = service.grpcService?.timeout
  const agrees = theirs === undefined || (timeout !== undefined && sameTime(timeout, theirs))
  require(within(at, 'grpc_service.timeout'), agrees, 'must be what the filter’s own timeout is')
  const grpc = decodeGrpc(within(at, 'grpc_service'), service.grpcService, TIMEOUT_MS)
  return {
    service: timeout === undefined ? grpc : { ...grpc, timeoutMs: decodeDuration(within(path, 'timeout'), timeout) },
    domain: message.domain,
    ...(message.stage > 0 && { stage: message.stage }),
    ...decodeType(within(path, 'request_type'), message.requestType),
    ...(message.failureModeDeny && { failureModeDeny: true as const }),
    ...(statPrefix !== '' && { statPrefix: decodeScope(within(path, 'stat_prefix'), statPrefix) }),
    ...decodeRules(path, message),
    ...decodeAnswer(path, message),
  }
}

function decodeRules(path: string, message: RateLimit): Pick<GlobalRateLimit, 'rules' | 'enforced'> {
  const rules = decodeDescriptors(within(path, 'rate_limits'), message.rateLimits)
  const isStaged = rules?.some(({ stage }) => stage !== undefined) === true
  require(within(path, 'rate_limits'), !isStaged, 'has a stage, which a filter’s own rules cannot have')
  const { filterEnforced } = message
  return {
    ...(rules !== undefined && { rules }),
    ...(filterEnforced !== undefined && { enforced: decodeFraction(within(path, 'filter_enforced'), filterEnforced) }),
  }
}

function decodeAnswer(path: string, message: RateLimit): Partial<GlobalRateLimit> {
  const status = statusOf(within(path, 'rate_limited_status.code'), message.rateLimitedStatus?.code)
  const onError = statusOf(within(path, 'status_on_error.code'), message.statusOnError?.code)
  const added = decodeChanges(within(path, 'response_headers_to_add'), message.responseHeadersToAdd)
  return {
    ...(message.rateLimitedAsResourceExhausted && { resourceExhausted: true as const }),
    ...(message.enableXRatelimitHeaders === Headers.DRAFT_VERSION_03 && { tellsClient: true as const }),
    ...(message.enableRetryAfterHeader && { retryAfter: true as const }),
    ...(message.disableXEnvoyRatelimitedHeader && { hidesLimited: true as const }),
    ...(status !== undefined && { status }),
    ...(onError !== undefined && { statusOnError: onError }),
    ...(added.length > 0 && { addResponse: added }),
  }
}

type Time = { readonly seconds: bigint; readonly nanos: number }
const sameTime = (one: Time, other: Time): boolean => one.seconds === other.seconds && one.nanos === other.nanos

/** Below 400 Envoy falls back to its own. */
function statusOf(path: string, code: number | undefined): number | undefined {
  require(path, code === undefined || (code >= 400 && code < 600), 'must be from 400 to 599')
  return code
}

function decodeType(path: string, type: string): Pick<GlobalRateLimit, 'requestType'> {
  if (type === '' || type === 'both') return {}
  return type === 'internal' || type === 'external' ? { requestType: type } : refuse(path, 'is unknown')
}

function encodeRoute({ hostDescriptors = 'override', domain = '' }: GlobalRateLimitRoute): RateLimitPerRoute {
  return create(RateLimitPerRouteSchema, { vhRateLimits: HOST_OPTIONS[hostDescriptors], domain })
}

function decodeRoute(path: string, { vhRateLimits, domain }: RateLimitPerRoute): GlobalRateLimitRoute {
  const option = (Object.keys(HOST_OPTIONS) as HostDescriptors[]).find((name) => HOST_OPTIONS[name] === vhRateLimits)
  if (option === undefined) return refuse(within(path, 'vh_rate_limits'), 'is unknown')
  return { ...(option !== 'override' && { hostDescriptors: option }), ...(domain !== '' && { domain }) }
}
