/**
 * When a request goes again <-> RetryPolicy. The predicate `previous_hosts` is always written and never asked for: this
 * proxy does not try an endpoint twice while there is another.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import {
  type RetryPolicy as RetryPolicyMessage,
  type RetryPolicy_RetryBackOff as BackOffMessage,
  type RetryPolicy_RetryHostPredicate as HostPredicate,
  RetryPolicySchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { PreviousHostsPredicateSchema } from '#gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js'
import { RETRY_CONDITIONS, type RetryPolicy } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeHeaderMatch, encodeHeaderMatch, HEADER_SHAPE } from './matchers.ts'
import { require, type Shape, unpackShaped, within } from './shape.ts'

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
}

const CONDITIONS: readonly string[] = RETRY_CONDITIONS
const PREVIOUS_HOSTS = 'envoy.retry_host_predicates.previous_hosts'
const HOST_ATTEMPTS = 5n
/** Envoy's default: this many times the base. */
const BACK_OFF_FACTOR = 10

export function encodeRetry(retry: RetryPolicy): RetryPolicyMessage {
  return create(RetryPolicySchema, {
    retryOn: retry.on.join(','),
    numRetries: retry.retriesMax,
    ...(retry.perTryTimeoutMs !== undefined && { perTryTimeout: encodeDuration(retry.perTryTimeoutMs) }),
    retryHostPredicate: [
      {
        name: PREVIOUS_HOSTS,
        configType: {
          case: 'typedConfig',
          value: anyPack(PreviousHostsPredicateSchema, create(PreviousHostsPredicateSchema)),
        },
      },
    ],
    hostSelectionRetryMaxAttempts: HOST_ATTEMPTS,
    retriableStatusCodes: [...(retry.statusCodes ?? [])],
    ...(retry.backOff !== undefined && {
      retryBackOff: {
        baseInterval: encodeDuration(retry.backOff.baseMs),
        maxInterval: encodeDuration(retry.backOff.maxMs),
      },
    }),
    retriableHeaders: (retry.responseHeaders ?? []).map(encodeHeaderMatch),
    retriableRequestHeaders: (retry.requestHeaders ?? []).map(encodeHeaderMatch),
  })
}

export function decodeRetry(path: string, policy: RetryPolicyMessage): RetryPolicy {
  const on = policy.retryOn
    .split(',')
    .map((condition) => condition.trim())
    .filter((condition) => condition !== '')
  for (const condition of on) {
    require(within(path, 'retry_on'), CONDITIONS.includes(condition), `${condition} is not supported`)
  }
  for (const [index, predicate] of policy.retryHostPredicate.entries()) {
    requirePreviousHosts(`${path}.retry_host_predicate[${index}]`, predicate)
  }
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
    ...(policy.retriableHeaders.length > 0 && {
      responseHeaders: matches('retriable_headers', policy.retriableHeaders) ?? [],
    }),
    ...(policy.retriableRequestHeaders.length > 0 && {
      requestHeaders: matches('retriable_request_headers', policy.retriableRequestHeaders) ?? [],
    }),
  }
}

function requirePreviousHosts(path: string, predicate: HostPredicate): void {
  require(path, predicate.name === PREVIOUS_HOSTS, `predicate ${predicate.name} is not supported`)
  const config = predicate.configType.case === 'typedConfig' ? predicate.configType.value : undefined
  unpackShaped(PreviousHostsPredicateSchema, config, {}, within(path, 'typed_config'))
}

function decodeBackOff(path: string, message: BackOffMessage): NonNullable<RetryPolicy['backOff']> {
  const baseMs = decodeDuration(within(path, 'base_interval'), message.baseInterval)
  require(within(path, 'base_interval'), baseMs > 0, 'must be above 0')
  const at = within(path, 'max_interval')
  const maxMs = message.maxInterval === undefined ? baseMs * BACK_OFF_FACTOR : decodeDuration(at, message.maxInterval)
  require(at, maxMs >= baseMs, 'is less than base_interval')
  return { baseMs, maxMs }
}
