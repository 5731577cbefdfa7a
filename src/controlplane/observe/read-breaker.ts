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
  const problems = targetProblems(spec)
  const time = timeReader(problems)
  const { failurePercent, slowAfter, slowPercent, minimumRequests = REQUESTS_MIN, fallback } = spec
  if (slowPercent !== undefined && slowAfter === undefined) problems.push('spec.slowPercent needs spec.slowAfter')
  const breaker: ServiceBreaker = {
    windowMs: time('window', spec.window ?? '10s', [1_000, 600_000]),
    requestsMin: minimumRequests,
    ...failuresOf(failurePercent, slowAfter !== undefined),
    ...(slowAfter !== undefined && {
      slow: { afterMs: time('slowAfter', slowAfter, [1, HOUR_MS]), percent: slowPercent ?? PERCENT },
    }),
    openMs: time('openFor', spec.openFor ?? '5s', [100, HOUR_MS]),
    rampMs: time('rampFor', spec.rampFor ?? '10s', [0, HOUR_MS]),
    ...(fallback !== undefined && { fallback: readFallback(fallback, problems) }),
  }
  return problems.length === 0 ? breaker : { problem: problems.join('; ') }
}

/** Who watches slow answers only has said so; who says nothing means failures. */
function failuresOf(percent: number | undefined, hasSlow: boolean): Pick<ServiceBreaker, 'failurePercent'> {
  if (percent !== undefined) return { failurePercent: percent }
  return hasSlow ? {} : { failurePercent: PERCENT }
}

function targetProblems({ targetRefs }: CircuitBreakerPolicySpec): string[] {
  return targetRefs.flatMap(({ kind, group }, index) => {
    const wanted = kind === 'Service' ? '' : 'multicluster.x-k8s.io'
    if (group === undefined || group === wanted) return []
    return [`spec.targetRefs[${index}].group must be "${wanted}" for a ${kind}`]
  })
}

type ReadTime = (field: keyof CircuitBreakerPolicySpec, text: string, range: readonly [number, number]) => number

function timeReader(problems: string[]): ReadTime {
  return (field, text, [from, to]) => {
    const ms = parseDuration(text)
    if (ms === undefined || ms < from || ms > to) problems.push(`spec.${field} must be from ${from} ms to ${to} ms`)
    return ms ?? from
  }
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
