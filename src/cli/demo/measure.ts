/**
 * What the client saw, counted: shares per phase and cluster, and how each fault's traffic moved. Pure: records in,
 * figures out; nothing here asks the mesh.
 */

/** One finished request, as the client wrote it. */
export interface Observation {
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  /** 0: no answer. */
  readonly status: number
  /** Pods that took part, in the order of the call: one per service of the chain. */
  readonly pods: readonly string[]
}

/** Which service and cluster a pod belongs to; undefined when the name was never seen. */
export type Locate = (pod: string) => { readonly service: string; readonly cluster: string } | undefined

export interface Phase {
  readonly name: string
  readonly from: number
  /** Infinity while it lasts. */
  readonly to: number
}

export interface PhaseFigures {
  readonly name: string
  readonly requests: number
  readonly failed: number
  /** service -> cluster -> share of the answered requests, 0 to 1. */
  readonly shares: Readonly<Record<string, Readonly<Record<string, number>>>>
}

export function phaseFigures(observations: readonly Observation[], phase: Phase, locate: Locate): PhaseFigures {
  const inside = observations.filter(({ startedAt }) => startedAt >= phase.from && startedAt < phase.to)
  return {
    name: phase.name,
    requests: inside.length,
    failed: inside.filter(isFailed).length,
    shares: sharesOf(inside, locate),
  }
}

export const isFailed = ({ status }: Observation): boolean => status !== 200

export function sharesOf(observations: readonly Observation[], locate: Locate): Record<string, Record<string, number>> {
  const counts: Record<string, Record<string, number>> = {}
  for (const { pods } of observations) {
    for (const pod of pods) {
      const found = locate(pod)
      if (found === undefined) continue
      const byCluster = (counts[found.service] ??= {})
      byCluster[found.cluster] = (byCluster[found.cluster] ?? 0) + 1
    }
  }
  for (const byCluster of Object.values(counts)) {
    const total = Object.values(byCluster).reduce((sum, count) => sum + count, 0)
    for (const [cluster, count] of Object.entries(byCluster)) byCluster[cluster] = count / total
  }
  return counts
}

export interface FaultWindow {
  readonly name: string
  readonly service: string
  readonly cluster: string
  readonly before: Phase
  /** From the moment the fault was ordered to the heal. */
  readonly during: Phase
  readonly after: Phase
}

export interface EventFigures {
  readonly event: string
  readonly service: string
  /** Share of the service's answers that came from the target before the fault. */
  readonly shareBefore: number
  /** From the fault to the last request answered by, or lost to, the dead target. */
  readonly movedMs: number
  readonly failedRequests: number
  /** The longest any request took that the fault met: what a waiting person felt. */
  readonly longestMs: number
  /** Share of the target in the second half of the phase after the heal. */
  readonly shareHealed: number
}

export function eventFigures(observations: readonly Observation[], fault: FaultWindow, locate: Locate): EventFigures {
  const isTarget = (pod: string): boolean => {
    const found = locate(pod)
    return found?.service === fault.service && found.cluster === fault.cluster
  }
  const share = (phase: Phase): number =>
    sharesOf(within(observations, phase), locate)[fault.service]?.[fault.cluster] ?? 0
  let movedMs = 0
  let failedRequests = 0
  let longestMs = 0
  for (const each of observations) {
    if (each.endedAt < fault.during.from || each.startedAt >= fault.during.to) continue
    longestMs = Math.max(longestMs, each.endedAt - each.startedAt)
    const failed = isFailed(each)
    if (failed) failedRequests += 1
    if (failed || each.pods.some(isTarget)) movedMs = Math.max(movedMs, each.endedAt - fault.during.from)
  }
  const half = { ...fault.after, from: (fault.after.from + fault.after.to) / 2 }
  return {
    event: fault.name,
    service: fault.service,
    shareBefore: share(fault.before),
    movedMs: Math.round(movedMs),
    failedRequests,
    longestMs,
    shareHealed: share(half),
  }
}

function within(observations: readonly Observation[], phase: Phase): Observation[] {
  return observations.filter(({ startedAt }) => startedAt >= phase.from && startedAt < phase.to)
}
