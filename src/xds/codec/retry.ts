/** When a request goes again <-> RetryPolicy. */
import { create } from '@bufbuild/protobuf'
import {
  type RetryPolicy as RetryPolicyMessage,
  RetryPolicySchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { RetryPolicy } from '../../model/config.ts'
import { require, type Shape, within } from './shape.ts'

export const RETRY_SHAPE: Shape = { retry_on: true, num_retries: true }

const CONDITIONS: readonly string[] = [
  'connect-failure',
  'refused-stream',
  'reset-before-request',
  'gateway-error',
] satisfies RetryPolicy['on'][number][]

export function encodeRetry(retry: RetryPolicy): RetryPolicyMessage {
  return create(RetryPolicySchema, { retryOn: retry.on.join(','), numRetries: retry.retriesMax })
}

export function decodeRetry(path: string, policy: RetryPolicyMessage): RetryPolicy {
  const on = policy.retryOn.split(',').filter((condition) => condition !== '')
  for (const condition of on) {
    require(within(path, 'retry_on'), CONDITIONS.includes(condition), `${condition} is not supported`)
  }
  // Envoy's own default of one retry.
  return { on: on as RetryPolicy['on'], retriesMax: policy.numRetries ?? 1 }
}
