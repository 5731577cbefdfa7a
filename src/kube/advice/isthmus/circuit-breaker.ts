/**
 * CircuitBreakerPolicy: what its fields mean together, and units of time, which no schema can say. The control plane
 * puts the same words into the policy's condition.
 */
import type { CircuitBreakerPolicy, CircuitBreakerPolicySpec } from '../../kinds.ts'
import { parseDuration } from '../../durations.ts'
import { error, type Flaw } from '../finding.ts'
import { targetGroupFlaws } from './targets.ts'

const HOUR_MS = 3_600_000

/** Milliseconds each duration may have. */
const RANGES = {
  window: [1_000, 600_000],
  slowAfter: [1, HOUR_MS],
  openFor: [100, HOUR_MS],
  rampFor: [0, HOUR_MS],
} as const satisfies Partial<Record<keyof CircuitBreakerPolicySpec, readonly [number, number]>>

/** Set by whoever writes the answer; a policy's own would contradict its body. */
const FRAMING = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer', 'te'])

export function* circuitBreakerFlaws({ spec }: CircuitBreakerPolicy): Iterable<Flaw> {
  yield* targetGroupFlaws(spec.targetRefs)
  if (spec.slowPercent !== undefined && spec.slowAfter === undefined) {
    yield invalid('spec.slowPercent', 'needs spec.slowAfter')
  }
  for (const [field, [from, to]] of Object.entries(RANGES)) {
    const text = spec[field as keyof typeof RANGES]
    if (text === undefined) continue
    const ms = parseDuration(text)
    if (ms === undefined || ms < from || ms > to) yield invalid(`spec.${field}`, `must be from ${from} ms to ${to} ms`)
  }
  yield* fallbackFlaws(spec.fallback)
}

function* fallbackFlaws(fallback: CircuitBreakerPolicySpec['fallback']): Iterable<Flaw> {
  if (fallback === undefined) return
  const { status, body = '', headers = [] } = fallback
  for (const [index, { name }] of headers.entries()) {
    if (FRAMING.has(name.toLowerCase())) yield invalid(`spec.fallback.headers[${index}].name`, `may not be ${name}`)
  }
  if (body !== '' && (status === 204 || status === 304)) {
    yield invalid('spec.fallback.body', `cannot go with status ${status}`)
  }
}

const invalid = (field: string, message: string): Flaw => error({ code: 'FIELD_INVALID', field, message })
