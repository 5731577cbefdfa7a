/**
 * How many replicas each ReplicaSet of a Deployment should have next. Pure: one step of a rollout from what is
 * available now; the controller comes back when that changes. Proportional scaling in the middle of a rollout is not
 * done: the next steps even it out.
 */
import type { Deployment } from '../../kube/kinds.ts'

export interface RevisionState {
  readonly name: string
  /** spec.replicas */
  readonly desired: number
  readonly available: number
  /** Pods that exist, those that are ending included. */
  readonly pods: number
}

export interface RolloutState {
  readonly replicas: number
  readonly strategy: Deployment['spec']['strategy']
  readonly paused: boolean
  readonly current: RevisionState
  /** Oldest first. */
  readonly old: readonly RevisionState[]
}

/** Target replicas by name; names that are absent stay as they are. */
export function nextReplicas(state: RolloutState): ReadonlyMap<string, number> {
  const active = state.old.filter((revision) => revision.desired > 0)
  if (state.strategy?.type === 'Recreate') return recreate(state, active)
  if (active.length === 0) return new Map([[state.current.name, state.replicas]])
  if (state.paused) return new Map()
  return rollingUpdate(state, active)
}

function recreate(state: RolloutState, active: readonly RevisionState[]): ReadonlyMap<string, number> {
  if (state.paused && active.length > 0) return new Map()
  if (active.length > 0) return new Map(active.map((revision) => [revision.name, 0]))
  // Never two revisions at once, not even for the grace period of the old one.
  if (state.old.some((revision) => revision.pods > 0)) return new Map()
  return new Map([[state.current.name, state.replicas]])
}

function rollingUpdate(state: RolloutState, active: readonly RevisionState[]): ReadonlyMap<string, number> {
  const { maxSurge, maxUnavailable } = limits(state)
  const targets = new Map<string, number>()
  const total = sum([state.current, ...active], (revision) => revision.desired)
  const grown = Math.min(state.replicas - state.current.desired, state.replicas + maxSurge - total)
  const target = state.current.desired > state.replicas ? state.replicas : state.current.desired + Math.max(0, grown)
  targets.set(state.current.name, target)

  const minAvailable = state.replicas - maxUnavailable
  // Replicas that were just asked for count as unavailable: nothing old goes for their sake.
  const currentUnavailable = Math.max(0, target - state.current.available)
  const totalNext = target + sum(active, (revision) => revision.desired)
  let removable = totalNext - minAvailable - currentUnavailable
  // Replicas that do not serve go first, then the oldest.
  const left = new Map(active.map((revision) => [revision.name, revision.desired]))
  for (const revision of active) {
    const idle = Math.min(Math.max(0, revision.desired - revision.available), Math.max(0, removable))
    left.set(revision.name, revision.desired - idle)
    removable -= idle
  }
  const available = state.current.available + sum(active, (revision) => Math.min(revision.available, revision.desired))
  let surplus = Math.min(Math.max(0, removable), Math.max(0, available - minAvailable))
  for (const revision of active) {
    const present = left.get(revision.name) ?? 0
    const gone = Math.min(present, surplus)
    left.set(revision.name, present - gone)
    surplus -= gone
  }
  for (const [name, count] of left) targets.set(name, count)
  return targets
}

/** Percentages of the replicas: surge rounds up, unavailability down; both 0 would stand still (validation). */
export function limits(state: Pick<RolloutState, 'replicas' | 'strategy'>): {
  maxSurge: number
  maxUnavailable: number
} {
  const { maxSurge = '25%', maxUnavailable = '25%' } = state.strategy?.rollingUpdate ?? {}
  const surge = amount(maxSurge, state.replicas, Math.ceil)
  const unavailable = amount(maxUnavailable, state.replicas, Math.floor)
  if (surge === 0 && unavailable === 0) return { maxSurge: 0, maxUnavailable: 1 }
  return { maxSurge: surge, maxUnavailable: Math.min(unavailable, state.replicas) }
}

function amount(value: number | string, replicas: number, round: (value: number) => number): number {
  if (typeof value === 'number') return value
  const percent = Number.parseFloat(value)
  return value.endsWith('%') ? round((percent * replicas) / 100) : Math.trunc(percent)
}

function sum(revisions: readonly RevisionState[], of: (revision: RevisionState) => number): number {
  return revisions.reduce((total, revision) => total + of(revision), 0)
}
