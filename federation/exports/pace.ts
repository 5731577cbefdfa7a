/**
 * Pacing, pure: counts of a peer are written at most once per second, everything else at once. A flush takes all slices
 * of the peer that wait, each once, so that a busy peer costs one write per slice and second however fast it changes.
 */
import type { Operation } from './plan.ts'

export const FACTS_INTERVAL_MS = 1_000

export interface Paced {
  readonly now: readonly Operation[]
  /** When to look again, in the clock's monotonic milliseconds; undefined when nothing waits. */
  readonly againAt: number | undefined
}

/** `flushed` holds each peer's last flush and is updated for those that flush now. */
export function pace(operations: readonly Operation[], flushed: Map<string, number>, monotonicMs: number): Paced {
  const now: Operation[] = []
  const flushing = new Set<string>()
  let againAt: number | undefined
  for (const operation of operations) {
    const peer = operation.pacedFor
    if (peer === undefined) {
      now.push(operation)
      continue
    }
    const due = (flushed.get(peer) ?? -Infinity) + FACTS_INTERVAL_MS
    if (due <= monotonicMs) {
      now.push(operation)
      flushing.add(peer)
    } else againAt = Math.min(againAt ?? due, due)
  }
  for (const peer of flushing) flushed.set(peer, monotonicMs)
  return { now, againAt }
}
