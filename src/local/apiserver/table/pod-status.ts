/** A pod's condition in one word, as `kubectl get pods` prints it, and its readiness and restarts. */
import { child, children, numberAt, text, type ApiObject, type JsonObject } from '../object.ts'
import { age } from './age.ts'

const containerStatuses = (pod: ApiObject): JsonObject[] => children(pod['status'], 'containerStatuses')

function isReady(pod: ApiObject): boolean {
  return children(pod['status'], 'conditions').some(
    (condition) => condition['type'] === 'Ready' && condition['status'] === 'True',
  )
}

/** Sidecars (init containers that keep running) count, as in Kubernetes 1.29 and later. */
function sidecarNames(pod: ApiObject): Set<string> {
  const sidecars = children(pod['spec'], 'initContainers').filter(
    (container) => container['restartPolicy'] === 'Always',
  )
  return new Set(sidecars.map((container) => text(container, 'name')))
}

function running(pod: ApiObject): JsonObject[] {
  const sidecars = sidecarNames(pod)
  const started = children(pod['status'], 'initContainerStatuses').filter((status) =>
    sidecars.has(text(status, 'name')),
  )
  return [...containerStatuses(pod), ...started]
}

/** Of those that are meant to run: init containers that end do not count. */
export function podReady(pod: ApiObject): string {
  const total = children(pod['spec'], 'containers').length + sidecarNames(pod).size
  const ready = running(pod).filter(
    (status) => status['ready'] === true && child(status, 'state')['running'] !== undefined,
  )
  return `${ready.length}/${total}`
}

export function podRestarts(pod: ApiObject, nowMs: number): string {
  const statuses = running(pod)
  const restarts = statuses.reduce((sum, status) => sum + (numberAt(status, 'restartCount') ?? 0), 0)
  const ends = statuses
    .map((status) => text(child(child(status, 'lastState'), 'terminated'), 'finishedAt'))
    .filter((at) => at !== '')
  const last = ends.sort().at(-1)
  return restarts === 0 || last === undefined ? String(restarts) : `${restarts} (${age(last, nowMs)} ago)`
}

export function podStatus(pod: ApiObject): string {
  const phase = text(pod['status'], 'reason') || text(pod['status'], 'phase') || 'Pending'
  if (pod.metadata.deletionTimestamp !== undefined && phase !== 'Succeeded' && phase !== 'Failed') return 'Terminating'
  return initReason(pod) ?? containerReason(pod) ?? phase
}

/** While one init container has not ended well, nothing else matters. */
function initReason(pod: ApiObject): string | undefined {
  const statuses = children(pod['status'], 'initContainerStatuses')
  const sidecars = sidecarNames(pod)
  for (const [index, status] of statuses.entries()) {
    const state = child(status, 'state')
    const terminated = child(state, 'terminated')
    const started = sidecars.has(text(status, 'name')) && status['started'] === true
    if (started || (state['terminated'] !== undefined && terminated['exitCode'] === 0)) continue
    if (state['terminated'] !== undefined) return `Init:${endReason(terminated)}`
    const waiting = text(child(state, 'waiting'), 'reason')
    if (waiting !== '' && waiting !== 'PodInitializing') return `Init:${waiting}`
    return `Init:${index}/${children(pod['spec'], 'initContainers').length}`
  }
  return undefined
}

function endReason(terminated: JsonObject): string {
  const signal = numberAt(terminated, 'signal') ?? 0
  return text(terminated, 'reason') || (signal > 0 ? `Signal:${signal}` : `ExitCode:${String(terminated['exitCode'])}`)
}

/** Backwards, so that the first container in trouble has the last word. */
function containerReason(pod: ApiObject): string | undefined {
  let reason: string | undefined
  let hasRunning = false
  for (const status of containerStatuses(pod).toReversed()) {
    const state = child(status, 'state')
    const waiting = text(child(state, 'waiting'), 'reason')
    if (waiting !== '') reason = waiting
    else if (state['terminated'] !== undefined) reason = endReason(child(state, 'terminated'))
    else if (status['ready'] === true && state['running'] !== undefined) hasRunning = true
  }
  // One container that completed does not end a pod whose others serve on.
  if (reason === 'Completed' && hasRunning) return isReady(pod) ? 'Running' : 'NotReady'
  return reason
}
