/**
 * The status of a Deployment, in the words that `kubectl rollout status` and `kubectl wait --for=condition=Available`
 * look for. Pure.
 */
import type { CoreCondition, Deployment, DeploymentStatus, ReplicaSet } from '../../kube/kinds.ts'
import { limits } from './rollout.ts'

export const REVISION = 'deployment.kubernetes.io/revision'

const PROGRESS_DEADLINE_SECONDS = 600

export function deploymentStatus(
  deployment: Deployment,
  current: ReplicaSet,
  facts: { old: readonly ReplicaSet[]; nowMs: number },
): DeploymentStatus {
  const all = [current, ...facts.old]
  const count = (of: (status: NonNullable<ReplicaSet['status']>) => number | undefined): number =>
    all.reduce((total, set) => total + (set.status === undefined ? 0 : (of(set.status) ?? 0)), 0)
  const replicas = count((status) => status.replicas)
  const available = count((status) => status.availableReplicas)
  const wanted = deployment.spec.replicas ?? 1
  const updated = current.status?.replicas ?? 0
  const now = `${new Date(facts.nowMs).toISOString().slice(0, 19)}Z`
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 1,
    replicas,
    updatedReplicas: updated,
    readyReplicas: count((each) => each.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, Math.max(wanted, replicas) - available),
  }
  const complete = updated === wanted && replicas === wanted && available >= wanted
  const minimum = wanted - limits({ replicas: wanted, strategy: deployment.spec.strategy }).maxUnavailable
  const before = deployment.status?.conditions ?? []
  status.conditions = [
    condition(before, now, available >= minimum ? AVAILABLE : UNAVAILABLE),
    progressing(deployment, current, { status, complete, now, nowMs: facts.nowMs }),
  ]
  return status
}

type Verdict = Pick<CoreCondition, 'type' | 'status' | 'reason' | 'message'>

const AVAILABLE: Verdict = {
  type: 'Available',
  status: 'True',
  reason: 'MinimumReplicasAvailable',
  message: 'Deployment has minimum availability.',
}

const UNAVAILABLE: Verdict = {
  type: 'Available',
  status: 'False',
  reason: 'MinimumReplicasUnavailable',
  message: 'Deployment does not have minimum availability.',
}

function progressing(
  deployment: Deployment,
  current: ReplicaSet,
  facts: { status: DeploymentStatus; complete: boolean; now: string; nowMs: number },
): CoreCondition {
  const before = deployment.status?.conditions ?? []
  const known = before.find((each) => each.type === 'Progressing')
  const name = current.metadata.name ?? ''
  const verdict = (status: 'True' | 'False', reason: string, message: string): CoreCondition =>
    condition(before, facts.now, { type: 'Progressing', status, reason, message })
  if (facts.complete) {
    return verdict('True', 'NewReplicaSetAvailable', `ReplicaSet "${name}" has successfully progressed.`)
  }
  const message = `ReplicaSet "${name}" is progressing.`
  const moved = (['updatedReplicas', 'readyReplicas', 'availableReplicas', 'replicas'] as const).some(
    (key) => (deployment.status?.[key] ?? 0) !== (facts.status[key] ?? 0),
  )
  const fresh = known === undefined || known.message !== message
  if (moved || fresh) {
    // The deadline counts from the last movement.
    return { ...verdict('True', 'ReplicaSetUpdated', message), lastUpdateTime: facts.now }
  }
  const sinceMs = facts.nowMs - Date.parse(known.lastUpdateTime ?? facts.now)
  if (sinceMs <= deadlineMs(deployment)) return known
  return verdict('False', 'ProgressDeadlineExceeded', `ReplicaSet "${name}" has timed out progressing.`)
}

function condition(before: readonly CoreCondition[], now: string, verdict: Verdict): CoreCondition {
  const known = before.find((each) => each.type === verdict.type)
  const same = known?.status === verdict.status
  if (same && known.reason === verdict.reason && known.message === verdict.message) return known
  return { ...verdict, lastUpdateTime: now, lastTransitionTime: same ? (known.lastTransitionTime ?? now) : now }
}

function deadlineMs(deployment: Deployment): number {
  return (deployment.spec.progressDeadlineSeconds ?? PROGRESS_DEADLINE_SECONDS) * 1000
}

/** When to look again at a rollout that does not move; undefined when it is complete or given up. */
export function progressDeadlineMs(
  deployment: Deployment,
  status: DeploymentStatus,
  nowMs: number,
): number | undefined {
  const known = status.conditions?.find((each) => each.type === 'Progressing')
  if (known?.reason !== 'ReplicaSetUpdated') return undefined
  return Math.max(1_000, Date.parse(known.lastUpdateTime ?? '') + deadlineMs(deployment) - nowMs + 1_000)
}
