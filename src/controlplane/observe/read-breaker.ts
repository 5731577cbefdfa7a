/**
 * CircuitBreakerPolicy to facts. The schema of the CRD holds each field to its form; what the fields mean together is
 * judged by the rules that admission runs too, and their words go into the policy's condition.
 */
import { circuitBreakerFlaws } from '../../kube/advice/isthmus/circuit-breaker.ts'
import { parseDuration } from '../../kube/durations.ts'
import type { CircuitBreakerPolicy, CircuitBreakerPolicySpec } from '../../kube/kinds.ts'
import type { BreakerFallback, ServiceBreaker } from '../../model/config.ts'
import type { BreakerPolicyFacts } from './facts.ts'

const PERCENT = 50
const REQUESTS_MIN = 10
const FALLBACK_STATUS = 503

export function readBreakerPolicy(policy: CircuitBreakerPolicy): BreakerPolicyFacts | undefined {
  const { metadata, spec } = policy
  if (metadata.deletionTimestamp !== undefined) return undefined
  const flaws = [...circuitBreakerFlaws(policy)]
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    createdAt: metadata.creationTimestamp ?? '',
    generation: metadata.generation,
    targets: spec.targetRefs.map(({ kind, name, port }) => ({ kind, name, ...(port !== undefined && { port }) })),
    breaker:
      flaws.length === 0
        ? readBreaker(spec)
        : { problem: flaws.map(({ field, message }) => `${field} ${message}`).join('; ') },
  }
}

function readBreaker(spec: CircuitBreakerPolicySpec): ServiceBreaker {
  const { failurePercent, slowAfter, slowPercent, minimumRequests = REQUESTS_MIN, fallback } = spec
  return {
    windowMs: msOf(spec.window ?? '10s'),
    requestsMin: minimumRequests,
    ...failuresOf(failurePercent, slowAfter !== undefined),
    ...(slowAfter !== undefined && { slow: { afterMs: msOf(slowAfter), percent: slowPercent ?? PERCENT } }),
    openMs: msOf(spec.openFor ?? '5s'),
    rampMs: msOf(spec.rampFor ?? '10s'),
    ...(fallback !== undefined && { fallback: readFallback(fallback) }),
  }
}

/** The rules above have accepted every duration. */
const msOf = (text: string): number => parseDuration(text) ?? 0

/** Who watches slow answers only has said so; who says nothing means failures. */
function failuresOf(percent: number | undefined, hasSlow: boolean): Pick<ServiceBreaker, 'failurePercent'> {
  if (percent !== undefined) return { failurePercent: percent }
  return hasSlow ? {} : { failurePercent: PERCENT }
}

function readFallback({
  status = FALLBACK_STATUS,
  body = '',
  headers = [],
}: NonNullable<CircuitBreakerPolicySpec['fallback']>): BreakerFallback {
  return { status, body, headers: headers.flatMap(({ name, value }) => [name.toLowerCase(), value]) }
}
