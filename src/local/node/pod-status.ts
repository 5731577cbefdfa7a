/**
 * A pod's status from the states of its containers: phase, conditions, ready. Pure; the times of transitions are
 * carried over from the status before, so that an unchanged pod has an equal status and no write happens.
 */
import type { Container, ContainerStatus, CoreCondition, Pod, PodStatus } from '../../kube/kinds.ts'

export interface PodFacts {
  readonly podIp: string
  readonly hostIp: string
  readonly startTime: string
  readonly now: string
  readonly initialized: boolean
  readonly init: readonly ContainerStatus[]
  readonly containers: readonly ContainerStatus[]
  /** Names of init containers that run beside the containers (native sidecars). */
  readonly sidecars: ReadonlySet<string>
}

type Phase = NonNullable<PodStatus['phase']>

export function podStatus(pod: Pod, facts: PodFacts): PodStatus {
  const phase = phaseOf(pod, facts)
  const complete = phase === 'Succeeded' || phase === 'Failed'
  const running = [...facts.containers, ...facts.init.filter((status) => facts.sidecars.has(status.name))]
  const unready = running.filter((status) => !status.ready).map((status) => status.name)
  const ready = !complete && facts.initialized && unready.length === 0
  const why: Reason | undefined = complete
    ? { reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` }
  const incomplete = facts.init.filter((status) => !facts.sidecars.has(status.name) && !completed(status))
  const initWhy: Reason = {
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${incomplete.map((status) => status.name).join(' ')}]`,
  }
  const before = pod.status?.conditions ?? []
  const conditions: CoreCondition[] = [
    condition(before, facts.now, { type: 'Initialized', ok: facts.initialized, why: initWhy }),
    condition(before, facts.now, { type: 'Ready', ok: ready, why }),
    condition(before, facts.now, { type: 'ContainersReady', ok: ready, why }),
    condition(before, facts.now, { type: 'PodScheduled', ok: true, why: undefined }),
  ]
  const known = new Set(conditions.map((each) => each.type))
  return {
    phase,
    conditions: [...conditions, ...before.filter((each) => !known.has(each.type))],
    hostIP: facts.hostIp,
    hostIPs: [{ ip: facts.hostIp }],
    podIP: facts.podIp,
    podIPs: [{ ip: facts.podIp }],
    startTime: facts.startTime,
    // Derived by the server when the pod was created; a status that says otherwise would overwrite it.
    ...(pod.status?.qosClass === undefined ? {} : { qosClass: pod.status.qosClass }),
    ...(facts.init.length === 0 ? {} : { initContainerStatuses: [...facts.init] }),
    containerStatuses: [...facts.containers],
  }
}

/** Init containers with `restartPolicy: Always` run beside the containers (KEP-753). */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always'
}

interface Reason {
  readonly reason: string
  readonly message?: string
}

function phaseOf(pod: Pod, facts: PodFacts): Phase {
  if (!facts.initialized) return failedInit(pod, facts) ? 'Failed' : 'Pending'
  const states = facts.containers.map((status) => status.state ?? {})
  const policy = pod.spec.restartPolicy ?? 'Always'
  const over = states.every((state) => state.terminated !== undefined)
  if (over && policy !== 'Always') {
    if (states.every((state) => state.terminated?.exitCode === 0)) return 'Succeeded'
    if (policy === 'Never') return 'Failed'
  }
  const waitsForFirstStart = (status: ContainerStatus): boolean =>
    status.state?.waiting !== undefined && status.lastState?.terminated === undefined && status.restartCount === 0
  return facts.containers.some(waitsForFirstStart) ? 'Pending' : 'Running'
}

function failedInit(pod: Pod, facts: PodFacts): boolean {
  if ((pod.spec.restartPolicy ?? 'Always') !== 'Never') return false
  return facts.init.some((status) => (status.state?.terminated?.exitCode ?? 0) !== 0)
}

function completed(status: ContainerStatus): boolean {
  return status.state?.terminated?.exitCode === 0
}

function condition(
  before: readonly CoreCondition[],
  now: string,
  next: { type: string; ok: boolean; why: Reason | undefined },
): CoreCondition {
  const status = next.ok ? 'True' : 'False'
  const old = before.find((each) => each.type === next.type)
  const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? now) : now
  return { type: next.type, status, lastTransitionTime, ...(next.ok ? {} : next.why) }
}
