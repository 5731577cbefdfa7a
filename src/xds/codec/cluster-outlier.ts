/**
 * outlier_detection to the IR and back. Envoy switches some detectors on by default and others off; the IR has only
 * those that are on, so every one is named on the wire.
 */
import { create } from '@bufbuild/protobuf'
import {
  type OutlierDetection as OutlierMessage,
  OutlierDetectionSchema,
} from '#gen/envoy/config/cluster/v3/outlier_detection_pb.js'
import type { FailurePercentage, OutlierDetection, SuccessRate } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { require, type Shape, within } from './shape.ts'

export const OUTLIER_SHAPE: Shape = {
  consecutive_5xx: true,
  interval: true,
  base_ejection_time: true,
  max_ejection_percent: true,
  enforcing_consecutive_5xx: true,
  enforcing_success_rate: true,
  success_rate_minimum_hosts: true,
  success_rate_request_volume: true,
  success_rate_stdev_factor: true,
  consecutive_gateway_failure: true,
  enforcing_consecutive_gateway_failure: true,
  split_external_local_origin_errors: true,
  consecutive_local_origin_failure: true,
  enforcing_consecutive_local_origin_failure: true,
  enforcing_local_origin_success_rate: true,
  failure_percentage_threshold: true,
  enforcing_failure_percentage: true,
  enforcing_failure_percentage_local_origin: true,
  failure_percentage_minimum_hosts: true,
  failure_percentage_request_volume: true,
  max_ejection_time: true,
  max_ejection_time_jitter: true,
  always_eject_one_host: true,
}

const CONSECUTIVE = 5 // Envoy's defaults, here and below
const INTERVAL_MS = 10_000
const BASE_EJECTION_MS = 30_000
const EJECTION_PERCENT_MAX = 10

export function encodeOutlier(outlier: OutlierDetection): OutlierMessage {
  const { consecutiveErrors, enforcing, consecutive5xx, intervalMs, ejectionMsMax, ejectionJitterMs } = outlier
  return create(OutlierDetectionSchema, {
    ...(consecutiveErrors > 0 && { consecutiveGatewayFailure: consecutiveErrors }),
    enforcingConsecutiveGatewayFailure: consecutiveErrors > 0 ? (enforcing?.errors ?? 100) : 0,
    ...(consecutive5xx !== undefined && { consecutive5xx }),
    enforcingConsecutive5xx: consecutive5xx === undefined ? 0 : (enforcing?.fives ?? 100),
    ...encodeLocalOrigin(outlier),
    ...encodeSuccessRate(outlier.successRate, outlier.consecutiveLocalOrigin !== undefined),
    ...encodeFailurePercentage(outlier.failurePercentage),
    ...(intervalMs !== undefined && { interval: encodeDuration(intervalMs) }),
    baseEjectionTime: encodeDuration(outlier.baseEjectionMs),
    ...(ejectionMsMax !== undefined && { maxEjectionTime: encodeDuration(ejectionMsMax) }),
    ...(ejectionJitterMs !== undefined && { maxEjectionTimeJitter: encodeDuration(ejectionJitterMs) }),
    maxEjectionPercent: outlier.ejectionPercentMax,
    ...(outlier.alwaysEjectOne === true && { alwaysEjectOneHost: true }),
  })
}

type Fields = Partial<Omit<OutlierMessage, '$typeName' | '$unknown'>>

function encodeLocalOrigin({ consecutiveLocalOrigin, enforcing }: OutlierDetection): Fields {
  if (consecutiveLocalOrigin === undefined) return {}
  return {
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailure: consecutiveLocalOrigin,
    enforcingConsecutiveLocalOriginFailure: enforcing?.localOrigin ?? 100,
  }
}

function encodeSuccessRate(rate: SuccessRate | undefined, isSplit: boolean): Fields {
  if (rate === undefined)
    return isSplit ? { enforcingSuccessRate: 0, enforcingLocalOriginSuccessRate: 0 } : { enforcingSuccessRate: 0 }
  const { hostsMin, volumeMin, stdevFactor, enforcing = 100, enforcingLocalOrigin = 100 } = rate
  return {
    ...(hostsMin !== undefined && { successRateMinimumHosts: hostsMin }),
    ...(volumeMin !== undefined && { successRateRequestVolume: volumeMin }),
    ...(stdevFactor !== undefined && { successRateStdevFactor: stdevFactor }),
    enforcingSuccessRate: enforcing,
    enforcingLocalOriginSuccessRate: enforcingLocalOrigin,
  }
}

function encodeFailurePercentage(rate: FailurePercentage | undefined): Fields {
  if (rate === undefined) return {}
  const { threshold, hostsMin, volumeMin, enforcing = 0, enforcingLocalOrigin = 0 } = rate
  return {
    ...(threshold !== undefined && { failurePercentageThreshold: threshold }),
    ...(hostsMin !== undefined && { failurePercentageMinimumHosts: hostsMin }),
    ...(volumeMin !== undefined && { failurePercentageRequestVolume: volumeMin }),
    enforcingFailurePercentage: enforcing,
    enforcingFailurePercentageLocalOrigin: enforcingLocalOrigin,
  }
}

export function decodeOutlier(path: string, message: OutlierMessage): OutlierDetection {
  requirePercents(path, message)
  const rows = decodeRows(path, message)
  const { interval, maxEjectionTime, maxEjectionTimeJitter } = message
  const intervalPath = within(path, 'interval')
  const intervalMs = interval === undefined ? undefined : decodeDuration(intervalPath, interval)
  require(intervalPath, (intervalMs ?? INTERVAL_MS) >= 50, 'must be at least 50 ms')
  const base = message.baseEjectionTime
  const baseEjectionMs =
    base === undefined ? BASE_EJECTION_MS : decodeDuration(within(path, 'base_ejection_time'), base)
  const longestPath = within(path, 'max_ejection_time')
  const jitterPath = within(path, 'max_ejection_time_jitter')
  const ejectionMsMax = maxEjectionTime && decodeDuration(longestPath, maxEjectionTime)
  require(longestPath, ejectionMsMax === undefined || ejectionMsMax >= baseEjectionMs, 'is below base_ejection_time')
  return {
    ...rows,
    ...decodeSuccessRate(message),
    ...decodeFailurePercentage(message),
    ...(intervalMs !== undefined && { intervalMs }),
    baseEjectionMs,
    ...(ejectionMsMax !== undefined && { ejectionMsMax }),
    ...(maxEjectionTimeJitter && { ejectionJitterMs: decodeDuration(jitterPath, maxEjectionTimeJitter) }),
    ejectionPercentMax: message.maxEjectionPercent ?? EJECTION_PERCENT_MAX,
    ...(message.alwaysEjectOneHost === true && { alwaysEjectOne: true as const }),
  }
}

type Rows = Pick<OutlierDetection, 'consecutiveErrors' | 'consecutive5xx' | 'consecutiveLocalOrigin' | 'enforcing'>

function decodeRows(path: string, message: OutlierMessage): Rows {
  const { consecutive5xx = CONSECUTIVE, consecutiveGatewayFailure = CONSECUTIVE } = message
  const errors = message.enforcingConsecutiveGatewayFailure ?? 0
  const fives = message.enforcingConsecutive5xx ?? 100
  const isSplit = message.splitExternalLocalOriginErrors
  const local = message.consecutiveLocalOriginFailure ?? CONSECUTIVE
  const localOrigin = message.enforcingConsecutiveLocalOriginFailure ?? 100
  requireCounts(path, {
    consecutive_5xx: consecutive5xx,
    consecutive_gateway_failure: consecutiveGatewayFailure,
    consecutive_local_origin_failure: local,
  })
  const enforcing = {
    ...(isPartial(errors) && { errors }),
    ...(isPartial(fives) && { fives }),
    // Splitting alone changes what counts elsewhere, so it stands with a share of 0 too.
    ...(isSplit && localOrigin < 100 && { localOrigin }),
  }
  return {
    consecutiveErrors: errors > 0 ? consecutiveGatewayFailure : 0,
    ...(fives > 0 && { consecutive5xx }),
    ...(isSplit && { consecutiveLocalOrigin: local }),
    ...(Object.keys(enforcing).length > 0 && { enforcing }),
  }
}

const isPartial = (percent: number): boolean => percent > 0 && percent < 100

function requireCounts(path: string, counts: Readonly<Record<string, number>>): void {
  for (const [field, count] of Object.entries(counts)) require(within(path, field), count > 0, 'must be above 0')
}

function decodeSuccessRate(message: OutlierMessage): { successRate?: SuccessRate } {
  const enforcing = message.enforcingSuccessRate ?? 100
  const local = message.enforcingLocalOriginSuccessRate ?? 100
  const enforcingLocalOrigin = message.splitExternalLocalOriginErrors ? local : 0
  if (enforcing === 0 && enforcingLocalOrigin === 0) return {}
  const { successRateMinimumHosts, successRateRequestVolume, successRateStdevFactor } = message
  return {
    successRate: {
      ...(successRateMinimumHosts !== undefined && { hostsMin: successRateMinimumHosts }),
      ...(successRateRequestVolume !== undefined && { volumeMin: successRateRequestVolume }),
      ...(successRateStdevFactor !== undefined && { stdevFactor: successRateStdevFactor }),
      ...(enforcing < 100 && { enforcing }),
      ...(local < 100 && { enforcingLocalOrigin: local }),
    },
  }
}

function decodeFailurePercentage(message: OutlierMessage): { failurePercentage?: FailurePercentage } {
  const enforcing = message.enforcingFailurePercentage ?? 0
  const local = message.enforcingFailurePercentageLocalOrigin ?? 0
  if (enforcing === 0 && (local === 0 || !message.splitExternalLocalOriginErrors)) return {}
  const { failurePercentageThreshold: threshold } = message
  const { failurePercentageMinimumHosts: hostsMin, failurePercentageRequestVolume: volumeMin } = message
  return {
    failurePercentage: {
      ...(threshold !== undefined && { threshold }),
      ...(hostsMin !== undefined && { hostsMin }),
      ...(volumeMin !== undefined && { volumeMin }),
      ...(enforcing > 0 && { enforcing }),
      ...(local > 0 && { enforcingLocalOrigin: local }),
    },
  }
}

function requirePercents(path: string, message: OutlierMessage): void {
  const percents = {
    max_ejection_percent: message.maxEjectionPercent,
    enforcing_consecutive_5xx: message.enforcingConsecutive5xx,
    enforcing_success_rate: message.enforcingSuccessRate,
    enforcing_consecutive_gateway_failure: message.enforcingConsecutiveGatewayFailure,
    enforcing_consecutive_local_origin_failure: message.enforcingConsecutiveLocalOriginFailure,
    enforcing_local_origin_success_rate: message.enforcingLocalOriginSuccessRate,
    failure_percentage_threshold: message.failurePercentageThreshold,
    enforcing_failure_percentage: message.enforcingFailurePercentage,
    enforcing_failure_percentage_local_origin: message.enforcingFailurePercentageLocalOrigin,
  }
  for (const [field, value] of Object.entries(percents)) {
    require(within(path, field), value === undefined || value <= 100, 'must be from 0 to 100')
  }
}
