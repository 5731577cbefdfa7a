/** Local rate limits. */
import { create } from '@bufbuild/protobuf'
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from '#gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import {
  VhRateLimitsOptions as HostOption,
  XRateLimitHeadersRFCVersion as Headers,
} from '#gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.js'
import type { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js'
import type { HostDescriptors, RateLimitPolicy } from '../../../model/config.ts'
import { decodeDescriptors, encodeDescriptors, RATE_LIMITS_SHAPE } from '../descriptors.ts'
import { decodeChanges, encodeChange, OPTION_SHAPE } from '../header-mutations.ts'
import { refuse, require, type Shape, within } from '../shape.ts'
import { decodeScope } from './ext-authz.ts'
import {
  BUCKET_SHAPE,
  decodeBucket,
  decodeFraction,
  encodeBucket,
  encodeFraction,
  FRACTION_SHAPE,
} from './fractions.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const STAT_PREFIX = 'local_rate_limit'
const STATUS_TOO_MANY = 429
const STAGE_MAX = 10
const HOST_OPTIONS: Readonly<Record<HostDescriptors, HostOption>> = {
  override: HostOption.OVERRIDE,
  include: HostOption.INCLUDE,
  ignore: HostOption.IGNORE,
}

const RATE_LIMIT_SHAPE: Shape = {
  stat_prefix: true,
  status: { code: true },
  token_bucket: BUCKET_SHAPE,
  filter_enabled: FRACTION_SHAPE,
  filter_enforced: FRACTION_SHAPE,
  descriptors: { entries: { key: true, value: true }, token_bucket: BUCKET_SHAPE },
  always_consume_default_token_bucket: {},
  stage: true,
  vh_rate_limits: true,
  local_rate_limit_per_downstream_connection: true,
  enable_x_ratelimit_headers: true,
  rate_limited_as_resource_exhausted: true,
  request_headers_to_add_when_not_enforced: OPTION_SHAPE,
  response_headers_to_add: OPTION_SHAPE,
  rate_limits: RATE_LIMITS_SHAPE,
  max_dynamic_descriptors: true,
  enable_retry_after_header: true,
}

export const rateLimitCodec: FilterCodec<'rateLimit'> = {
  listed: messageCodec(LocalRateLimitSchema, {
    shape: RATE_LIMIT_SHAPE,
    // Without a bucket it is there for routes to configure.
    decode: (path, message) => (message.tokenBucket === undefined ? {} : { policy: decodeRateLimit(path, message) }),
    encode: ({ policy }) =>
      policy === undefined ? create(LocalRateLimitSchema, { statPrefix: STAT_PREFIX }) : encodeRateLimit(policy),
  }),
  routed: messageCodec(LocalRateLimitSchema, {
    shape: RATE_LIMIT_SHAPE,
    decode: decodeRateLimit,
    encode: encodeRateLimit,
  }),
}

function encodeRateLimit(policy: RateLimitPolicy): LocalRateLimit {
  return create(LocalRateLimitSchema, {
    statPrefix: policy.statPrefix ?? STAT_PREFIX,
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
    stage: policy.stage ?? 0,
    rateLimits: encodeDescriptors(policy.rules),
    ...(policy.valuesMax !== undefined && { maxDynamicDescriptors: policy.valuesMax }),
    enableRetryAfterHeader: policy.retryAfter === true,
    vhRateLimits: HOST_OPTIONS[policy.hostDescriptors ?? 'override'],
    localRateLimitPerDownstreamConnection: policy.perConnection === true,
    enableXRatelimitHeaders: policy.tellsClient === true ? Headers.DRAFT_VERSION_03 : Headers.OFF,
    rateLimitedAsResourceExhausted: policy.resourceExhausted === true,
    requestHeadersToAddWhenNotEnforced: (policy.addUnenforced ?? []).map(encodeChange),
    responseHeadersToAdd: (policy.addResponse ?? []).map(encodeChange),
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
        require(within(at, 'entries'), key !== '', 'has an empty key')
        return { key, value }
      }),
      bucket: decodeBucket(within(at, 'token_bucket'), tokenBucket),
    }
  })
  const { statPrefix, stage } = message
  require(within(path, 'stat_prefix'), statPrefix !== '', 'is required')
  require(within(path, 'stage'), stage <= STAGE_MAX, `is above ${STAGE_MAX}`)
  return {
    ...(statPrefix !== STAT_PREFIX && { statPrefix: decodeScope(within(path, 'stat_prefix'), statPrefix) }),
    ...(message.status !== undefined && { status }),
    bucket: decodeBucket(within(path, 'token_bucket'), message.tokenBucket),
    // Envoy's default for both is never; a limit that is not one is refused rather than believed.
    enabled: decodeFraction(within(path, 'filter_enabled'), message.filterEnabled),
    enforced: decodeFraction(within(path, 'filter_enforced'), message.filterEnforced),
    ...(stage > 0 && { stage }),
    ...decodeAnswer(path, message),
    ...decodeRules(path, message),
    ...(descriptors.length > 0 && { descriptors }),
    ...(message.alwaysConsumeDefaultTokenBucket === false && { descriptorsOnly: true }),
  }
}

function decodeRules(path: string, message: LocalRateLimit): Pick<RateLimitPolicy, 'rules' | 'valuesMax'> {
  const rules = decodeDescriptors(within(path, 'rate_limits'), message.rateLimits)
  const isStaged = rules?.some(({ stage }) => stage !== undefined) === true
  require(within(path, 'rate_limits'), !isStaged, 'has a stage, which a filter’s own rules cannot have')
  const { maxDynamicDescriptors: valuesMax } = message
  require(within(path, 'max_dynamic_descriptors'), valuesMax === undefined || valuesMax > 0, 'must be above 0')
  return { ...(rules !== undefined && { rules }), ...(valuesMax !== undefined && { valuesMax }) }
}

function decodeAnswer(path: string, message: LocalRateLimit): Partial<RateLimitPolicy> {
  const host = (Object.keys(HOST_OPTIONS) as HostDescriptors[]).find(
    (name) => HOST_OPTIONS[name] === message.vhRateLimits,
  )
  if (host === undefined) return refuse(within(path, 'vh_rate_limits'), 'is unknown')
  const added = decodeChanges(within(path, 'response_headers_to_add'), message.responseHeadersToAdd)
  const field = 'request_headers_to_add_when_not_enforced'
  const unenforced = decodeChanges(within(path, field), message.requestHeadersToAddWhenNotEnforced)
  return {
    ...(host !== 'override' && { hostDescriptors: host }),
    ...(message.localRateLimitPerDownstreamConnection && { perConnection: true as const }),
    ...(message.enableXRatelimitHeaders === Headers.DRAFT_VERSION_03 && { tellsClient: true as const }),
    ...(message.enableRetryAfterHeader && { retryAfter: true as const }),
    ...(message.rateLimitedAsResourceExhausted && { resourceExhausted: true as const }),
    ...(unenforced.length > 0 && { addUnenforced: unenforced }),
    ...(added.length > 0 && { addResponse: added }),
  }
}
