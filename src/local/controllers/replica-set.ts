/**
 * ReplicaSet → Pods: as many as asked for, no more. A pod that was just created is put into the shared cache at once
 * and one that was just deleted is remembered, so that a watch that lags cannot make it create or delete twice.
 */
import { PODS, REPLICA_SETS, type Pod, type ReplicaSet } from '../../kube/kinds.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import { keyOf } from '../cluster/cache.ts'
import { compileSelector } from '../cluster/label-selector.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { controllerOf, controllerReference, isControlledBy, isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'
import { patchStatus } from './status-patch.ts'

/** One reconcile creates at most this many; the next follows at once (client-go: 500). */
const BURST_MAX = 50

export class ReplicaSetController implements Controller {
  readonly #context: ControllerContext
  readonly #queue: WorkQueue
  /** Uids of pods whose deletion the cache has yet to show. */
  readonly #deleted = new Set<string>()
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'replicaset', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    this.#unsubscribe.push(
      caches.replicaSets.subscribe((key) => this.#queue.add(key)),
      caches.pods.subscribe((_key, pod, before) => {
        if (pod === undefined || isDeleting(pod)) this.#deleted.delete((pod ?? before)?.metadata.uid ?? '')
        for (const each of [pod, before]) if (each !== undefined) this.#enqueueOwners(each)
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  #enqueueOwners(pod: Pod): void {
    const owner = controllerOf(pod)
    if (owner?.kind === 'ReplicaSet') this.#queue.add(`${pod.metadata.namespace}/${owner.name}`)
    // An orphan may be one that a ReplicaSet's selector wants.
    if (owner !== undefined || isDeleting(pod)) return
    for (const set of this.#context.caches.replicaSets.in(pod.metadata.namespace ?? '')) {
      if (selects(set, pod)) this.#queue.add(keyOf(set))
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { caches } = this.#context
    const set = caches.replicaSets.byKey(key)
    if (set === undefined) return
    const pods = await this.#podsOf(set)
    const active = pods.filter((pod) => !isDeleting(pod) && !this.#deleted.has(pod.metadata.uid ?? '') && !isOver(pod))
    const namespace = caches.namespaces.get(undefined, set.metadata.namespace ?? '')
    if (!isDeleting(set) && namespace !== undefined && !isDeleting(namespace)) {
      const missing = (set.spec.replicas ?? 1) - active.length
      if (missing > 0) await this.#create(set, Math.min(missing, BURST_MAX))
      if (missing < 0) await this.#remove(set, active, -missing)
    }
    await this.#writeStatus(set, active)
  }

  /** The pods it controls, and orphans that its selector adopts. */
  async #podsOf(set: ReplicaSet): Promise<Pod[]> {
    const { caches, client } = this.#context
    const pods: Pod[] = []
    for (const pod of caches.pods.in(set.metadata.namespace ?? '')) {
      if (isControlledBy(pod, set)) pods.push(pod)
      else if (
        controllerOf(pod) === undefined &&
        !isDeleting(pod) &&
        !isDeleting(set) &&
        !isOver(pod) &&
        selects(set, pod)
      ) {
        const { name = '', namespace = '', uid, ownerReferences = [] } = pod.metadata
        const patch = { metadata: { uid, ownerReferences: [...ownerReferences, controllerReference(set)] } }
        const adopted = await client.patch(PODS, { name, namespace }, patch, { type: 'merge' })
        caches.pods.set(adopted)
        pods.push(adopted)
      }
    }
    return pods
  }

  async #create(set: ReplicaSet, count: number): Promise<void> {
    const { caches, client, events } = this.#context
    try {
      for (let index = 0; index < count; index++) {
        const pod = await client.create(PODS, podFrom(set))
        caches.pods.set(pod)
        const message = `Created pod: ${pod.metadata.name}`
        events.record(set, { type: 'Normal', reason: 'SuccessfulCreate', message })
      }
    } catch (error) {
      const message = `Error creating: ${error instanceof Error ? error.message : String(error)}`
      events.record(set, { type: 'Warning', reason: 'FailedCreate', message })
      throw error
    }
  }

  async #remove(set: ReplicaSet, active: readonly Pod[], count: number): Promise<void> {
    const { client, events } = this.#context
    const ranked = [...active].sort((a, b) => usefulness(a) - usefulness(b) || (createdAt(a) < createdAt(b) ? 1 : -1))
    for (const pod of ranked.slice(0, count)) {
      const { name = '', namespace = '', uid = '' } = pod.metadata
      this.#deleted.add(uid)
      try {
        await client.remove(PODS, { name, namespace }, { uid })
      } catch (error) {
        this.#deleted.delete(uid)
        throw error
      }
      events.record(set, { type: 'Normal', reason: 'SuccessfulDelete', message: `Deleted pod: ${name}` })
    }
  }

  async #writeStatus(set: ReplicaSet, active: readonly Pod[]): Promise<void> {
    const { clock } = this.#context
    const minReadyMs = (set.spec.minReadySeconds ?? 0) * 1000
    const ready = active.filter(isReady)
    const waits = ready
      .map((pod) => readySinceMs(pod) + minReadyMs - clock.now())
      .filter((waitMs) => minReadyMs > 0 && waitMs > 0)
    if (waits.length > 0) this.#queue.addAfter(keyOf(set), Math.min(...waits))
    const labels = Object.entries(set.spec.template?.metadata?.labels ?? {})
    await patchStatus(this.#context.client, REPLICA_SETS, set, {
      replicas: active.length,
      fullyLabeledReplicas: active.filter((pod) => labels.every(([key, value]) => pod.metadata.labels?.[key] === value))
        .length,
      readyReplicas: ready.length,
      availableReplicas: ready.length - waits.length,
      observedGeneration: set.metadata.generation ?? 1,
    })
  }
}

function selects(set: ReplicaSet, pod: Pod): boolean {
  return compileSelector(set.spec.selector)(pod.metadata.labels ?? {})
}

function podFrom(set: ReplicaSet): Pod {
  const { metadata = {}, spec = { containers: [] } } = set.spec.template ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${set.metadata.name}-`,
      namespace: set.metadata.namespace ?? '',
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference({ ...set, apiVersion: 'apps/v1', kind: 'ReplicaSet' })],
    },
    spec,
  }
}

/** What serves least goes first: unscheduled, then not running, then not ready. */
function usefulness(pod: Pod): number {
  if ((pod.spec.nodeName ?? '') === '') return 0
  if (pod.status?.phase !== 'Running') return 1
  return isReady(pod) ? 3 : 2
}

function createdAt(pod: Pod): string {
  return pod.metadata.creationTimestamp ?? ''
}

export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true
}

function readySinceMs(pod: Pod): number {
  const condition = pod.status?.conditions?.find((each) => each.type === 'Ready')
  return Date.parse(condition?.lastTransitionTime ?? '') || 0
}
