/**
 * When a request goes again <-> RetryPolicy. The predicate `previous_hosts` is always written and never asked for: this
 * proxy does not try an endpoint twice while there is another.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import {
  type RetryPolicy as RetryPolicyMessage,
  type RetryPolicy_RetryBackOff as BackOffMessage,
  type RetryPolicy_RateLimitedRetryBackOff as ResetMessage,
  RetryPolicy_ResetHeaderFormat as ResetFormat,
  type RetryPolicy_RetryHostPredicate as HostPredicate,
  type RetryPolicy_RetryHostPredicateSchema as HostPredicateSchema,
  RetryPolicySchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { OmitCanaryHostsPredicateSchema } from '#gen/envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts_pb.js'
import { OmitHostMetadataConfigSchema } from '#gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.js'
import { PreviousHostsPredicateSchema } from '#gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js'
import { type Metadata, RETRY_CONDITIONS, type RetryPolicy } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeHeaderMatch, encodeHeaderMatch, HEADER_SHAPE } from './matchers.ts'
import { decodeSubset, encodeSubset, METADATA_SHAPE } from './route-cluster.ts'
import { refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const RETRY_SHAPE: Shape = {
  retry_on: true,
  num_retries: true,
  per_try_timeout: true,
  retry_host_predicate: { name: true, typed_config: true },
  host_selection_retry_max_attempts: true,
  retriable_status_codes: true,
  retry_back_off: { base_interval: true, max_interval: true },
  retriable_headers: HEADER_SHAPE,
  retriable_request_headers: HEADER_SHAPE,
  rate_limited_retry_back_off: { reset_headers: { name: true, format: true }, max_interval: true },
}

const CONDITIONS: readonly string[] = RETRY_CONDITIONS
const PREVIOUS_HOSTS = 'envoy.retry_host_predicates.previous_hosts'
const OMIT_METADATA = 'envoy.retry_host_predicates.omit_host_metadata'
/** What Envoy's canaries are: endpoints that say so. */
const CANARY: Metadata = { canary: true }
const HOST_ATTEMPTS = 5n
/** Envoy's default: this many times the base. */
const BACK_OFF_FACTOR = 10
const RESET_MAX_MS = 300_000 // Envoy's default
const RESET_FORMATS = { seconds: ResetFormat.SECONDS, 'unix-timestamp': ResetFormat.UNIX_TIMESTAMP } as const

export function encodeRetry(retry: RetryPolicy): RetryPolicyMessage {
  return create(RetryPolicySchema, {
    retryOn: retry.on.join(','),
    numRetries: retry.retriesMax,
    ...(retry.perTryTimeoutMs !== undefined && { perTryTimeout: encodeDuration(retry.perTryTimeoutMs) }),
    retryHostPredicate: [
      predicateOf(PREVIOUS_HOSTS, anyPack(PreviousHostsPredicateSchema, create(PreviousHostsPredicateSchema))),
      ...(retry.omitHosts ?? []).map((metadata) =>
        predicateOf(
          OMIT_METADATA,
          anyPack(
            OmitHostMetadataConfigSchema,
            create(OmitHostMetadataConfigSchema, { metadataMatch: encodeSubset(metadata) }),
          ),
        ),
      ),
    ],
    hostSelectionRetryMaxAttempts: HOST_ATTEMPTS,
    retriableStatusCodes: [...(retry.statusCodes ?? [])],
    ...(retry.backOff !== undefined && {
      retryBackOff: {
        baseInterval: encodeDuration(retry.backOff.baseMs),
        maxInterval: encodeDuration(retry.backOff.maxMs),
      },
    }),
    ...(retry.resetHeaders !== undefined && {
      rateLimitedRetryBackOff: {
        resetHeaders: retry.resetHeaders.headers.map(({ name, format }) => ({ name, format: RESET_FORMATS[format] })),
        maxInterval: encodeDuration(retry.resetHeaders.maxMs),
      },
    }),
    retriableHeaders: (retry.responseHeaders ?? []).map(encodeHeaderMatch),
    retriableRequestHeaders: (retry.requestHeaders ?? []).map(encodeHeaderMatch),
  })
}

const predicateOf = (name: string, value: Any): MessageInitShape<typeof HostPredicateSchema> => ({
  name,
  configType: { case: 'typedConfig', value },
})

export function decodeRetry(path: string, policy: RetryPolicyMessage): RetryPolicy {
  const on = policy.retryOn
    .split(',')
    .map((condition) => condition.trim())
    .filter((condition) => condition !== '')
  for (const condition of on) {
    require(within(path, 'retry_on'), CONDITIONS.includes(condition), `${condition} is not supported`)
  }
  const omitHosts = policy.retryHostPredicate.flatMap((predicate, index) =>
    decodePredicate(`${path}.retry_host_predicate[${index}]`, predicate),
  )
  for (const code of policy.retriableStatusCodes) {
    require(within(path, 'retriable_status_codes'), code >= 100 && code < 600, `${code} is no status`)
  }
  const matches = (field: string, list: RetryPolicyMessage['retriableHeaders']): RetryPolicy['requestHeaders'] =>
    list.map((header, index) => decodeHeaderMatch(`${within(path, field)}[${index}]`, header))
  return {
    on: on as RetryPolicy['on'],
    // Envoy's own default of one retry.
    retriesMax: policy.numRetries ?? 1,
    ...(policy.perTryTimeout !== undefined && {
      perTryTimeoutMs: decodeDuration(within(path, 'per_try_timeout'), policy.perTryTimeout),
    }),
    ...(policy.retriableStatusCodes.length > 0 && { statusCodes: policy.retriableStatusCodes }),
    ...(policy.retryBackOff !== undefined && {
      backOff: decodeBackOff(within(path, 'retry_back_off'), policy.retryBackOff),
    }),
    ...(policy.rateLimitedRetryBackOff !== undefined && {
      resetHeaders: decodeReset(within(path, 'rate_limited_retry_back_off'), policy.rateLimitedRetryBackOff),
    }),
    ...(omitHosts.length > 0 && { omitHosts }),
    ...(policy.retriableHeaders.length > 0 && {
      responseHeaders: matches('retriable_headers', policy.retriableHeaders) ?? [],
    }),
    ...(policy.retriableRequestHeaders.length > 0 && {
      requestHeaders: matches('retriable_request_headers', policy.retriableRequestHeaders) ?? [],
    }),
  }
}

/** What the predicate keeps a retry away from, beside the endpoints that were tried. */
function decodePredicate(path: string, predicate: HostPredicate): Metadata[] {
  const config = predicate.configType.case === 'typedConfig' ? predicate.configType.value : undefined
  const at = within(path, 'typed_config')
  const type = config?.typeUrl.slice(config.typeUrl.lastIndexOf('/') + 1)
  switch (type) {
    case PreviousHostsPredicateSchema.typeName:
      unpackShaped(PreviousHostsPredicateSchema, config, {}, at)
      return []
    case OmitCanaryHostsPredicateSchema.typeName:
      unpackShaped(OmitCanaryHostsPredicateSchema, config, {}, at)
      return [CANARY]
    case OmitHostMetadataConfigSchema.typeName: {
      const message = unpackShaped(OmitHostMetadataConfigSchema, config, { metadata_match: METADATA_SHAPE }, at)
      const { subset } = decodeSubset(within(at, 'metadata_match'), message.metadataMatch)
      return subset === undefined ? [] : [subset]
    }
    default:
      return refuse(path, `predicate ${predicate.name} is not supported`)
  }
}

function decodeReset(path: string, message: ResetMessage): NonNullable<RetryPolicy['resetHeaders']> {
  const maxMs =
    message.maxInterval === undefined ? RESET_MAX_MS : decodeDuration(within(path, 'max_interval'), message.maxInterval)
  require(within(path, 'max_interval'), maxMs > 0, 'must be above 0')
  require(within(path, 'reset_headers'), message.resetHeaders.length > 0, 'is required')
  const headers = message.resetHeaders.map(({ name, format }, index) => {
    const at = `${within(path, 'reset_headers')}[${index}]`
    require(within(at, 'name'), name !== '', 'is required')
    require(within(at, 'format'), format === ResetFormat.SECONDS || format === ResetFormat.UNIX_TIMESTAMP, 'is unknown')
    const known = format === ResetFormat.SECONDS ? ('seconds' as const) : ('unix-timestamp' as const)
    return { name: name.toLowerCase(), format: known }
  })
  return { headers, maxMs }
}

function decodeBackOff(path: string, message: BackOffMessage): NonNullable<RetryPolicy['backOff']> {
  const baseMs = decodeDuration(within(path, 'base_interval'), message.baseInterval)
  require(within(path, 'base_interval'), baseMs > 0, 'must be above 0')
  const at = within(path, 'max_interval')
  const maxMs = message.maxInterval === undefined ? baseMs * BACK_OFF_FACTOR : decodeDuration(at, message.maxInterval)
  require(at, maxMs >= baseMs, 'is less than base_interval')
  return { baseMs, maxMs }
}
