/**
 * CircuitBreakerPolicy to facts. The schema of the CRD holds each field to its form; what the fields mean together, and
 * units of time, is judged here, in words for the policy's condition.
 */
import type { CircuitBreakerPolicy, CircuitBreakerPolicySpec } from '../../kube/kinds.ts'
import type { BreakerFallback, ServiceBreaker } from '../../model/config.ts'
import type { BreakerPolicyFacts } from './facts.ts'

const PERCENT = 50
const REQUESTS_MIN = 10
const FALLBACK_STATUS = 503
const HOUR_MS = 3_600_000

export function readBreakerPolicy(policy: CircuitBreakerPolicy): BreakerPolicyFacts | undefined {
  const { metadata, spec } = policy
  if (metadata.deletionTimestamp !== undefined) return undefined
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    createdAt: metadata.creationTimestamp ?? '',
    generation: metadata.generation,
    targets: spec.targetRefs.map(({ kind, name, port }) => ({ kind, name, ...(port !== undefined && { port }) })),
    breaker: readBreaker(spec),
  }
}

function readBreaker(spec: CircuitBreakerPolicySpec): BreakerPolicyFacts['breaker'] {
  const problems: string[] = []
  const time = (field: keyof CircuitBreakerPolicySpec, text: string, [from, to]: readonly [number, number]): number => {
    const ms = parseDuration(text)
    if (ms === undefined || ms < from || ms > to) problems.push(`spec.${field} must be from ${from} ms to ${to} ms`)
    return ms ?? from
  }
  for (const [index, { kind, group }] of spec.targetRefs.entries()) {
    const wanted = kind === 'Service' ? '' : 'multicluster.x-k8s.io'
    if (group !== undefined && group !== wanted) {
      problems.push(`spec.targetRefs[${index}].group must be "${wanted}" for a ${kind}`)
    }
  }
  const { failurePercent, slowAfter, slowPercent, minimumRequests = REQUESTS_MIN } = spec
  if (slowPercent !== undefined && slowAfter === undefined) problems.push('spec.slowPercent needs spec.slowAfter')
  const slow = slowAfter === undefined ? undefined : { afterMs: time('slowAfter', slowAfter, [1, HOUR_MS]) }
  const failures = failurePercent ?? (slow === undefined ? PERCENT : undefined)
  const breaker: ServiceBreaker = {
    windowMs: time('window', spec.window ?? '10s', [1_000, 600_000]),
    requestsMin: minimumRequests,
    ...(failures !== undefined && { failurePercent: failures }),
    ...(slow !== undefined && { slow: { ...slow, percent: slowPercent ?? PERCENT } }),
    openMs: time('openFor', spec.openFor ?? '5s', [100, HOUR_MS]),
    rampMs: time('rampFor', spec.rampFor ?? '10s', [0, HOUR_MS]),
    ...(spec.fallback !== undefined && { fallback: readFallback(spec.fallback, problems) }),
  }
  return problems.length === 0 ? breaker : { problem: problems.join('; ') }
}

/** Set by whoever writes the answer; a policy's own would contradict its body. */
const FRAMING = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer', 'te'])

function readFallback(
  { status = FALLBACK_STATUS, body = '', headers = [] }: NonNullable<CircuitBreakerPolicySpec['fallback']>,
  problems: string[],
): BreakerFallback {
  const refused = headers.find(({ name }) => FRAMING.has(name.toLowerCase()))
  if (refused !== undefined) problems.push(`spec.fallback.headers may not set ${refused.name}`)
  if (body !== '' && (status === 204 || status === 304)) {
    problems.push(`spec.fallback.body cannot go with status ${status}`)
  }
  return { status, body, headers: headers.flatMap(({ name, value }) => [name.toLowerCase(), value]) }
}

const UNITS_MS: Readonly<Record<string, number>> = { h: HOUR_MS, m: 60_000, s: 1_000, ms: 1 }

/** Gateway API's durations (GEP-2257); undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(/([0-9]+)(h|ms|m|s)/g)) ms += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  return ms
}
