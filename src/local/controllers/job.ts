/**
 * Job → Pods that run to completion: as many at once as `parallelism`, until `completions` have succeeded, one of a work
 * queue has, too many have failed, or the deadline has passed. Finished pods stay until their Job goes; that is the
 * garbage collector's, as is the Job itself once its `ttlSecondsAfterFinished` is over, which is counted here.
 */
import { PODS, type CoreCondition, type Pod } from '../../kube/kinds.ts'
import { JOBS, type Job } from '../../kube/kinds/batch.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import { keyOf } from '../cluster/cache.ts'
import { rfc3339 } from '../node/container-runner.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { controllerOf, controllerReference, isControlledBy, isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'
import { isReady } from './replica-set.ts'
import { patchStatus } from './status-patch.ts'

/** One reconcile creates at most this many; the next follows at once. */
const BURST_MAX = 50
/** After a failure: 10 s, 20 s, 40 s … (Kubernetes' own), at most six minutes. */
const BACKOFF_MS = 10_000
const BACKOFF_MAX_MS = 360_000

export class JobController implements Controller {
  readonly #context: ControllerContext
  readonly #queue: WorkQueue
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'job', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    this.#unsubscribe.push(
      caches.jobs.subscribe((key) => this.#queue.add(key)),
      caches.pods.subscribe((_key, pod, before) => {
        const owner = controllerOf(pod ?? before ?? NOBODY)
        const namespace = (pod ?? before)?.metadata.namespace ?? ''
        if (owner?.kind === 'Job') this.#queue.add(`${namespace}/${owner.name}`)
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  async #reconcile(key: string): Promise<void> {
    const { caches } = this.#context
    const job = caches.jobs.byKey(key)
    if (job === undefined || isDeleting(job)) return
    if (finishedAs(job) !== undefined) return this.#expire(job)
    const pods = [...caches.pods.in(job.metadata.namespace ?? '')].filter((pod) => isControlledBy(pod, job))
    const state = stateOf(job, pods, this.#context.clock.now())
    const end = endOf(job, state, this.#context.clock.now())
    if (end !== undefined || job.spec.suspend === true) {
      for (const pod of state.active) await this.#remove(pod)
    } else {
      const waitMs = this.#backoffMs(pods, state)
      if (waitMs > 0) this.#queue.addAfter(key, waitMs)
      else await this.#create(job, missing(job, state))
      const leftMs = deadlineMs(job, state) - this.#context.clock.now()
      if (Number.isFinite(leftMs)) this.#queue.addAfter(key, Math.max(leftMs, 0))
    }
    await this.#writeStatus(job, state, end)
  }

  /** Pods that failed lately hold back those that would replace them. */
  #backoffMs(pods: readonly Pod[], { failed }: State): number {
    if (failed === 0) return 0
    const ends = pods.filter((pod) => pod.status?.phase === 'Failed').map(endedAtMs)
    const pauseMs = Math.min(BACKOFF_MS * 2 ** (failed - 1), BACKOFF_MAX_MS)
    return Math.max(...ends) + pauseMs - this.#context.clock.now()
  }

  async #create(job: Job, count: number): Promise<void> {
    const { caches, client, events } = this.#context
    try {
      for (let index = 0; index < Math.min(count, BURST_MAX); index++) {
        const pod = await client.create(PODS, podFrom(job))
        // The cache lags behind the server; without this the next look would create it again.
        caches.pods.set(pod)
        events.record(job, {
          type: 'Normal',
          reason: 'SuccessfulCreate',
          message: `Created pod: ${pod.metadata.name ?? ''}`,
        })
      }
    } catch (error) {
      const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`
      events.record(job, { type: 'Warning', reason: 'FailedCreate', message })
      throw error
    }
  }

  async #remove({ metadata }: Pod): Promise<void> {
    const { name = '', namespace = '', uid = '' } = metadata
    await this.#context.client.remove(PODS, { name, namespace }, { uid })
  }

  async #writeStatus(job: Job, state: State, end: End | undefined): Promise<void> {
    const { client, clock, events } = this.#context
    const now = rfc3339(clock.now())
    const suspended = job.spec.suspend === true
    const conditions = conditionsOf(job, end, now)
    const active = end === undefined && !suspended ? state.active.length : 0
    await patchStatus(client, JOBS, job, {
      active,
      ready: end === undefined ? state.active.filter(isReady).length : 0,
      succeeded: state.succeeded,
      failed: state.failed,
      ...(suspended ? { startTime: null } : { startTime: job.status?.startTime ?? now }),
      ...(conditions.length > 0 && { conditions }),
      ...(end?.type === 'Complete' && { completionTime: now }),
    })
    if (end === undefined) return
    const type = end.type === 'Complete' ? 'Normal' : 'Warning'
    events.record(job, { type, reason: end.reason === '' ? 'Completed' : end.reason, message: end.message })
  }

  async #expire(job: Job): Promise<void> {
    const { ttlSecondsAfterFinished } = job.spec
    if (ttlSecondsAfterFinished === undefined) return
    const waitMs = finishedAtMs(job) + ttlSecondsAfterFinished * 1_000 - this.#context.clock.now()
    if (waitMs > 0) {
      this.#queue.addAfter(keyOf(job), waitMs)
      return
    }
    const { name = '', namespace = '', uid = '' } = job.metadata
    await this.#context.client.remove(JOBS, { name, namespace }, { uid, propagation: 'Background' })
  }
}

const NOBODY: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: {}, spec: { containers: [] } }

interface State {
  readonly active: readonly Pod[]
  readonly succeeded: number
  readonly failed: number
  /** Restarts of containers count as failures too. */
  readonly tries: number
  readonly startedAtMs: number
}

function stateOf(job: Job, pods: readonly Pod[], nowMs: number): State {
  const { succeeded = 0, failed = 0, startTime } = job.status ?? {}
  const over = (phase: string): number => pods.filter((pod) => pod.status?.phase === phase).length
  const active = pods.filter(
    (pod) => !isDeleting(pod) && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed',
  )
  const restarts = active
    .flatMap((pod) => pod.status?.containerStatuses ?? [])
    .reduce((sum, { restartCount }) => sum + restartCount, 0)
  // A pod that somebody removed after it ended is still one that ended.
  const ended = { succeeded: Math.max(succeeded, over('Succeeded')), failed: Math.max(failed, over('Failed')) }
  return {
    ...ended,
    active,
    tries: ended.failed + restarts,
    startedAtMs: startTime === undefined ? nowMs : Date.parse(startTime),
  }
}

/** How many more pods should run now. */
function missing({ spec }: Job, { active, succeeded }: State): number {
  const { parallelism = 1, completions } = spec
  // A work queue whose first pod is done gets no more; the others finish what they have.
  const wanted =
    completions === undefined ? (succeeded > 0 ? 0 : parallelism) : Math.min(parallelism, completions - succeeded)
  return Math.max(wanted - active.length, 0)
}

interface End {
  readonly type: 'Complete' | 'Failed'
  readonly reason: string
  readonly message: string
}

const deadlineMs = ({ spec }: Job, { startedAtMs }: State): number =>
  spec.activeDeadlineSeconds === undefined ? Number.POSITIVE_INFINITY : startedAtMs + spec.activeDeadlineSeconds * 1_000

function endOf(job: Job, state: State, nowMs: number): End | undefined {
  const { completions, backoffLimit = 6 } = job.spec
  const { succeeded, active, tries } = state
  const isDone = completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions
  if (isDone) return { type: 'Complete', reason: 'CompletionsReached', message: 'Job completed' }
  if (tries > backoffLimit)
    return { type: 'Failed', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }
  if (nowMs >= deadlineMs(job, state) && job.spec.suspend !== true)
    return { type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' }
  return undefined
}

export function finishedAs(job: Job): CoreCondition | undefined {
  return job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  )
}

export function finishedAtMs(job: Job): number {
  return Date.parse(job.status?.completionTime ?? finishedAs(job)?.lastTransitionTime ?? '') || 0
}

function conditionsOf(job: Job, end: End | undefined, now: string): readonly CoreCondition[] {
  const before = job.status?.conditions ?? []
  const suspended = before.find(({ type }) => type === 'Suspended')
  const wanted = job.spec.suspend === true ? 'True' : 'False'
  const others = before.filter(({ type }) => type !== 'Suspended')
  const resumed =
    suspended === undefined && wanted === 'False'
      ? []
      : suspended?.status === wanted
        ? [suspended]
        : [
            {
              type: 'Suspended',
              status: wanted,
              lastTransitionTime: now,
              reason: wanted === 'True' ? 'JobSuspended' : 'JobResumed',
              message: wanted === 'True' ? 'Job suspended' : 'Job resumed',
            } as const,
          ]
  if (end === undefined) return [...others, ...resumed]
  const { type, reason, message } = end
  return [...others, ...resumed, { type, status: 'True', lastTransitionTime: now, reason, message }]
}

function endedAtMs(pod: Pod): number {
  const ends = (pod.status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''))
  return Math.max(0, ...ends.filter((ms) => !Number.isNaN(ms)))
}

function podFrom(job: Job): Pod {
  const { metadata = {}, spec } = job.spec.template
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${job.metadata.name ?? ''}-`,
      namespace: job.metadata.namespace ?? '',
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ownerReferences: [controllerReference({ ...job, apiVersion: 'batch/v1', kind: 'Job' })],
    },
    spec,
  }
}
