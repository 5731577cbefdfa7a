/**
 * CircuitBreakerPolicies for Envoy, which has no breaker of a whole service: its outlier detection judges each endpoint by
 * the same share of failures in the same window, may leave all of them alone at once, and then answers 503 by itself. So a
 * service that fails as a whole is cut off as a whole. Slow answers, the ramp and the fallback have no like there.
 */
import type { Cluster, OutlierDetection } from '../../../model/config.ts'

/** Where no rule says more about single endpoints. */
const NONE: Pick<OutlierDetection, 'consecutiveErrors'> = { consecutiveErrors: 0 }

export function withEnvoyBreaker(cluster: Cluster): Cluster {
  const { breaker, outlier = NONE, ...rest } = cluster
  if (breaker?.failurePercent === undefined) return cluster
  return {
    ...rest,
    breaker,
    outlier: {
      ...outlier,
      intervalMs: breaker.windowMs,
      baseEjectionMs: breaker.openMs,
      ejectionMsMax: breaker.openMs,
      ejectionPercentMax: 100,
      failurePercentage: {
        threshold: breaker.failurePercent,
        hostsMin: 1,
        volumeMin: breaker.requestsMin,
        enforcing: 100,
      },
    },
    // Otherwise Envoy would use all of them again once most are left alone.
    panicPercent: 0,
  }
}
