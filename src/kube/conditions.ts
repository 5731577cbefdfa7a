/** Conditions as `metav1.Condition` wants them, pure: the transition time moves only when the status does. */
import type { Condition } from './object.ts'

export interface Verdict {
  readonly type: string
  readonly status: Condition['status']
  readonly reason: string
  readonly message: string
}

const MESSAGE_CHARS_MAX = 32_768 // metav1.Condition

/** Replaces the conditions that `verdicts` name and keeps the rest, in their order. */
export function withConditions(
  existing: readonly Condition[] | undefined,
  verdicts: readonly Verdict[],
  at: { readonly now: string; readonly generation: number | undefined },
): Condition[] {
  const old = existing ?? []
  const named = new Map(verdicts.map((verdict) => [verdict.type, verdict]))
  const kept = old.filter((condition) => !named.has(condition.type))
  const written = verdicts.map((verdict) => {
    const before = old.find((condition) => condition.type === verdict.type)
    const same = before?.status === verdict.status
    return {
      type: verdict.type,
      status: verdict.status,
      reason: verdict.reason,
      message: verdict.message.slice(0, MESSAGE_CHARS_MAX),
      lastTransitionTime: same ? before.lastTransitionTime : at.now,
      ...(at.generation === undefined ? {} : { observedGeneration: at.generation }),
    }
  })
  return [...kept, ...written]
}
