/** What a cluster may have under way: circuit_breakers, to the IR and back. */
import { create } from '@bufbuild/protobuf'
import {
  type CircuitBreakers as BreakersMessage,
  type CircuitBreakers_Thresholds as ThresholdsMessage,
  CircuitBreakers_ThresholdsSchema as ThresholdsSchema,
  CircuitBreakersSchema,
} from '#gen/envoy/config/cluster/v3/circuit_breaker_pb.js'
import { RoutingPriority } from '#gen/envoy/config/core/v3/base_pb.js'
import type { CircuitBreakers, Thresholds } from '../../model/config.ts'
import { require, type Shape, within } from './shape.ts'

export const CIRCUIT_BREAKERS_SHAPE: Shape = {
  thresholds: {
    priority: true,
    max_connections: true,
    max_pending_requests: true,
    max_requests: true,
    max_retries: true,
    retry_budget: { budget_percent: true, min_retry_concurrency: true },
  },
  per_host_thresholds: { max_connections: true },
}

export function encodeCircuitBreakers(breakers: CircuitBreakers): BreakersMessage {
  const { default: usual, high, hostConnectionsMax } = breakers
  const thresholds: ThresholdsMessage[] = []
  if (usual !== undefined) thresholds.push(encodeThresholds(usual, RoutingPriority.DEFAULT))
  if (high !== undefined) thresholds.push(encodeThresholds(high, RoutingPriority.HIGH))
  return create(CircuitBreakersSchema, {
    thresholds,
    perHostThresholds: hostConnectionsMax === undefined ? [] : [{ maxConnections: hostConnectionsMax }],
  })
}

function encodeThresholds(thresholds: Thresholds, priority: RoutingPriority): ThresholdsMessage {
  const { connectionsMax, pendingMax, requestsMax, retriesMax, retryBudget } = thresholds
  return create(ThresholdsSchema, {
    priority,
    ...(connectionsMax !== undefined && { maxConnections: connectionsMax }),
    ...(pendingMax !== undefined && { maxPendingRequests: pendingMax }),
    ...(requestsMax !== undefined && { maxRequests: requestsMax }),
    ...(retriesMax !== undefined && { maxRetries: retriesMax }),
    ...(retryBudget !== undefined && {
      retryBudget: {
        ...(retryBudget.percent !== undefined && { budgetPercent: { value: retryBudget.percent } }),
        ...(retryBudget.concurrencyMin !== undefined && { minRetryConcurrency: retryBudget.concurrencyMin }),
      },
    }),
  })
}

export function decodeCircuitBreakers(path: string, message: BreakersMessage): CircuitBreakers {
  const byPriority = new Map<RoutingPriority, Thresholds>()
  for (const [index, thresholds] of message.thresholds.entries()) {
    const at = `${within(path, 'thresholds')}[${index}]`
    // Envoy would take the first and forget the second.
    require(within(at, 'priority'), !byPriority.has(thresholds.priority), 'is there twice')
    byPriority.set(thresholds.priority, decodeThresholds(at, thresholds))
  }
  const hostPath = within(path, 'per_host_thresholds')
  require(hostPath, message.perHostThresholds.length <= 1, 'only one is supported')
  const hostConnectionsMax = message.perHostThresholds[0]?.maxConnections
  const usual = byPriority.get(RoutingPriority.DEFAULT)
  const high = byPriority.get(RoutingPriority.HIGH)
  return {
    ...(usual !== undefined && { default: usual }),
    ...(high !== undefined && { high }),
    ...(hostConnectionsMax !== undefined && { hostConnectionsMax }),
  }
}

function decodeThresholds(path: string, message: ThresholdsMessage): Thresholds {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries, retryBudget } = message
  const percent = retryBudget?.budgetPercent?.value
  const concurrencyMin = retryBudget?.minRetryConcurrency
  const inRange = percent === undefined || (percent >= 0 && percent <= 100)
  require(within(path, 'retry_budget.budget_percent'), inRange, 'must be from 0 to 100')
  return {
    ...(maxConnections !== undefined && { connectionsMax: maxConnections }),
    ...(maxPendingRequests !== undefined && { pendingMax: maxPendingRequests }),
    ...(maxRequests !== undefined && { requestsMax: maxRequests }),
    ...(maxRetries !== undefined && { retriesMax: maxRetries }),
    ...(retryBudget !== undefined && {
      retryBudget: {
        ...(percent !== undefined && { percent }),
        ...(concurrencyMin !== undefined && { concurrencyMin }),
      },
    }),
  }
}
