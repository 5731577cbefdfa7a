/**
 * CronJob → Jobs, when their time has come (UTC). What was missed while nothing ran is made up for once, and only within
 * `startingDeadlineSeconds`; Jobs that ended are kept as far as the limits say.
 */
import { CRON_JOBS, JOBS, type CronJob, type Job } from '../../kube/kinds/batch.ts'
import { isConflict } from '../../kube/client.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import { keyOf } from '../cluster/cache.ts'
import { nextAfter, parseSchedule, type Schedule } from '../cron.ts'
import { rfc3339 } from '../node/container-runner.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { controllerOf, controllerReference, isControlledBy, isDeleting } from './owners.ts'
import { finishedAs, finishedAtMs } from './job.ts'
import { createReconciler } from './reconciler.ts'
import { patchStatus } from './status-patch.ts'

const MINUTE_MS = 60_000
/** A schedule of every minute that slept for longer than this starts from now (Kubernetes' own limit). */
const MISSED_MAX = 100

export class CronJobController implements Controller {
  readonly #context: ControllerContext
  readonly #queue: WorkQueue
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'cronjob', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    this.#unsubscribe.push(
      caches.cronJobs.subscribe((key) => this.#queue.add(key)),
      caches.jobs.subscribe((_key, job, before) => {
        const found = job ?? before
        const owner = found === undefined ? undefined : controllerOf(found)
        if (owner?.kind === 'CronJob') this.#queue.add(`${found?.metadata.namespace ?? ''}/${owner.name}`)
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  async #reconcile(key: string): Promise<void> {
    const { caches, client } = this.#context
    const cron = caches.cronJobs.byKey(key)
    if (cron === undefined || isDeleting(cron)) return
    const jobs = [...caches.jobs.in(cron.metadata.namespace ?? '')].filter((job) => isControlledBy(job, cron))
    await this.#prune(cron, jobs)
    const running = jobs.filter((job) => finishedAs(job) === undefined && !isDeleting(job))
    const started = await this.#startDue(cron, running)
    const active = [...running, ...(started?.job === undefined ? [] : [started.job])]
    const ends = jobs.filter((job) => finishedAs(job)?.type === 'Complete').map(finishedAtMs)
    await patchStatus(client, CRON_JOBS, cron, {
      active: active.map(({ metadata: { name = '', namespace = '', uid = '' } }) => ({
        apiVersion: 'batch/v1',
        kind: 'Job',
        name,
        namespace,
        uid,
      })),
      ...(started !== undefined && { lastScheduleTime: rfc3339(started.dueMs) }),
      ...(ends.length > 0 && { lastSuccessfulTime: rfc3339(Math.max(...ends)) }),
    })
  }

  /** The Job of the latest due time; its absence with a time: that time was let pass. */
  async #startDue(cron: CronJob, running: readonly Job[]): Promise<{ dueMs: number; job?: Job } | undefined> {
    const schedule = parseSchedule(cron.spec.schedule)
    if ('problem' in schedule || cron.spec.suspend === true) return undefined
    const nowMs = this.#context.clock.now()
    const { dueMs, next } = dueTimes(cron, schedule, nowMs)
    if (next !== undefined) this.#queue.addAfter(keyOf(cron), next - nowMs)
    if (dueMs === undefined) return undefined
    if (running.length > 0 && cron.spec.concurrencyPolicy === 'Forbid') return undefined
    if (cron.spec.concurrencyPolicy === 'Replace') for (const job of running) await this.#remove(job)
    return { dueMs, ...(await this.#create(cron, dueMs)) }
  }

  async #create(cron: CronJob, dueMs: number): Promise<{ job?: Job }> {
    const { caches, client, events } = this.#context
    try {
      const job = await client.create(JOBS, jobFrom(cron, dueMs))
      caches.jobs.set(job)
      events.record(cron, {
        type: 'Normal',
        reason: 'SuccessfulCreate',
        message: `Created job ${job.metadata.name ?? ''}`,
      })
      return { job }
    } catch (error) {
      // Its name is its time: it was made before we were interrupted.
      if (isConflict(error)) return {}
      throw error
    }
  }

  async #prune(cron: CronJob, jobs: readonly Job[]): Promise<void> {
    const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cron.spec
    const limits = { Complete: successfulJobsHistoryLimit, Failed: failedJobsHistoryLimit }
    for (const [type, limit] of Object.entries(limits)) {
      const ended = jobs
        .filter((job) => finishedAs(job)?.type === type && !isDeleting(job))
        .sort((one, other) => finishedAtMs(other) - finishedAtMs(one))
      for (const job of ended.slice(limit)) await this.#remove(job)
    }
  }

  async #remove({ metadata }: Job): Promise<void> {
    const { name = '', namespace = '', uid = '' } = metadata
    await this.#context.client.remove(JOBS, { name, namespace }, { uid, propagation: 'Background' })
  }
}

/** The latest time that has come since the last, as far back as counts; and the one after. */
function dueTimes(
  cron: CronJob,
  schedule: Schedule,
  nowMs: number,
): Readonly<Record<'dueMs' | 'next', number | undefined>> {
  const { lastScheduleTime = cron.metadata.creationTimestamp ?? '' } = cron.status ?? {}
  const deadlineMs = (cron.spec.startingDeadlineSeconds ?? Number.POSITIVE_INFINITY) * 1_000
  const sinceMs = Date.parse(lastScheduleTime) || nowMs
  let dueMs: number | undefined
  let next = nextAfter(schedule, Math.max(sinceMs, nowMs - deadlineMs, nowMs - MISSED_MAX * MINUTE_MS))
  while (next !== undefined && next <= nowMs) [dueMs, next] = [next, nextAfter(schedule, next)]
  return { dueMs, next }
}

function jobFrom(cron: CronJob, dueMs: number): Job {
  const { metadata = {}, spec } = cron.spec.jobTemplate
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${cron.metadata.name ?? ''}-${Math.floor(dueMs / MINUTE_MS)}`,
      namespace: cron.metadata.namespace ?? '',
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata.annotations, 'batch.kubernetes.io/cronjob-scheduled-timestamp': rfc3339(dueMs) },
      ownerReferences: [controllerReference({ ...cron, apiVersion: 'batch/v1', kind: 'CronJob' })],
    },
    spec,
  }
}
