/**
 * Deployment → ReplicaSets: finds or makes the ReplicaSet of the present template, moves replicas over one step at a
 * time (rollout.ts decides), numbers revisions, drops old ones, and writes the status that `kubectl rollout status`
 * and `kubectl wait` read.
 */
import { DEPLOYMENTS, REPLICA_SETS, type Deployment, type ReplicaSet } from '../../kube/kinds.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import { keyOf } from '../cluster/cache.ts'
import { compileSelector } from '../cluster/label-selector.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { deploymentStatus, progressDeadlineMs, REVISION } from './deployment-status.ts'
import { controllerOf, controllerReference, isControlledBy, isDeleting } from './owners.ts'
import { createReconciler } from './reconciler.ts'
import { nextReplicas, type RevisionState } from './rollout.ts'
import { patchStatus } from './status-patch.ts'
import { templateHash } from './template-hash.ts'

const HASH_LABEL = 'pod-template-hash'
const HISTORY_DEFAULT = 10

export class DeploymentController implements Controller {
  readonly #context: ControllerContext
  readonly #queue: WorkQueue
  readonly #unsubscribe: (() => void)[] = []

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'deployment', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    const { caches } = this.#context
    this.#unsubscribe.push(
      caches.deployments.subscribe((key) => this.#queue.add(key)),
      caches.replicaSets.subscribe((_key, set, before) => this.#enqueueOwner(set ?? before)),
      caches.pods.subscribe((_key, pod, before) => {
        // Recreate waits for the last pod of the old revision; no other step depends on a pod itself.
        if (pod !== undefined || before === undefined) return
        const owner = controllerOf(before)
        this.#enqueueOwner(caches.replicaSets.get(before.metadata.namespace, owner?.name ?? ''))
      }),
    )
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#queue.stop()
  }

  #enqueueOwner(set: ReplicaSet | undefined): void {
    const owner = set === undefined ? undefined : controllerOf(set)
    if (owner?.kind === 'Deployment') this.#queue.add(`${set?.metadata.namespace}/${owner.name}`)
  }

  async #reconcile(key: string): Promise<void> {
    const { caches } = this.#context
    const deployment = caches.deployments.byKey(key)
    const namespace = caches.namespaces.get(undefined, deployment?.metadata.namespace ?? '')
    if (deployment === undefined || namespace === undefined || isDeleting(deployment) || isDeleting(namespace)) return
    const sets = await this.#setsOf(deployment)
    const current = await this.#current(deployment, sets)
    const old = sets.filter((set) => set.metadata.uid !== current.metadata.uid).sort(byRevision)
    const targets = nextReplicas({
      replicas: deployment.spec.replicas ?? 1,
      strategy: deployment.spec.strategy,
      paused: deployment.spec.paused === true,
      current: this.#stateOf(current),
      old: old.map((set) => this.#stateOf(set)),
    })
    const scaled: ReplicaSet[] = []
    for (const set of [current, ...old]) {
      const target = targets.get(set.metadata.name ?? '')
      scaled.push(target === undefined ? set : await this.#scale(deployment, set, target))
    }
    const [scaledCurrent = current, ...scaledOld] = scaled
    await this.#trim(deployment, scaledOld)
    await this.#writeStatus(deployment, scaledCurrent, scaledOld)
  }

  async #writeStatus(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): Promise<void> {
    const { client, clock } = this.#context
    const revision = current.metadata.annotations?.[REVISION]
    if (revision !== undefined && deployment.metadata.annotations?.[REVISION] !== revision) {
      const { name = '', namespace = '', uid } = deployment.metadata
      const patch = { metadata: { uid, annotations: { [REVISION]: revision } } }
      await client.patch(DEPLOYMENTS, { name, namespace }, patch, { type: 'merge' })
    }
    const status = deploymentStatus(deployment, current, { old, nowMs: clock.now() })
    const waitMs = progressDeadlineMs(deployment, status, clock.now())
    if (waitMs !== undefined) this.#queue.addAfter(keyOf(deployment), waitMs)
    await patchStatus(client, DEPLOYMENTS, deployment, { ...status })
  }

  /** ReplicaSets it controls, and orphans that its selector adopts. */
  async #setsOf(deployment: Deployment): Promise<ReplicaSet[]> {
    const { caches, client } = this.#context
    const selects = compileSelector(deployment.spec.selector)
    const sets: ReplicaSet[] = []
    for (const set of caches.replicaSets.in(deployment.metadata.namespace ?? '')) {
      if (isDeleting(set)) continue
      if (isControlledBy(set, deployment)) sets.push(set)
      else if (controllerOf(set) === undefined && selects(set.metadata.labels ?? {})) {
        const { name = '', namespace = '', uid, ownerReferences = [] } = set.metadata
        const patch = { metadata: { uid, ownerReferences: [...ownerReferences, ownReference(deployment)] } }
        sets.push(await client.patch(REPLICA_SETS, { name, namespace }, patch, { type: 'merge' }))
      }
    }
    return sets
  }

  /** The ReplicaSet of the present template, made when there is none, with the newest revision number. */
  async #current(deployment: Deployment, sets: readonly ReplicaSet[]): Promise<ReplicaSet> {
    const { client, caches } = this.#context
    const newest = Math.max(0, ...sets.map(revisionOf))
    const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount ?? 0)
    const name = `${deployment.metadata.name}-${hash}`
    const known = sets.find((set) => set.metadata.name === name)
    if (known === undefined) {
      const created = await client.create(REPLICA_SETS, replicaSetFrom(deployment, hash, newest + 1))
      caches.replicaSets.set(created)
      return created
    }
    const annotations = known.metadata.annotations ?? {}
    const minReady = deployment.spec.minReadySeconds ?? 0
    const isNewest = revisionOf(known) === newest && newest > 0
    if (isNewest && (known.spec.minReadySeconds ?? 0) === minReady) return known
    // Rolled back to: an old template becomes the newest revision.
    const revision = isNewest ? (annotations[REVISION] ?? '1') : String(newest + 1)
    const patch = { metadata: { annotations: { [REVISION]: revision } }, spec: { minReadySeconds: minReady } }
    const target = { name, namespace: known.metadata.namespace ?? '' }
    const updated = await client.patch(REPLICA_SETS, target, patch, { type: 'merge' })
    caches.replicaSets.set(updated)
    return updated
  }

  async #scale(deployment: Deployment, set: ReplicaSet, replicas: number): Promise<ReplicaSet> {
    const { client, caches, events } = this.#context
    const present = set.spec.replicas ?? 1
    const { name = '', namespace = '', uid } = set.metadata
    if (present === replicas) return set
    const patch = { metadata: { uid }, spec: { replicas } }
    const updated = await client.patch(REPLICA_SETS, { name, namespace }, patch, { type: 'merge' })
    caches.replicaSets.set(updated)
    const direction = replicas > present ? 'up' : 'down'
    const message = `Scaled ${direction} replica set ${name} from ${present} to ${replicas}`
    events.record(deployment, { type: 'Normal', reason: 'ScalingReplicaSet', message })
    return updated
  }

  async #trim(deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
    const idle = old.filter((set) => set.spec.replicas === 0 && (set.status?.replicas ?? 0) === 0)
    const surplus = idle.length - (deployment.spec.revisionHistoryLimit ?? HISTORY_DEFAULT)
    for (const set of idle.slice(0, Math.max(0, surplus))) {
      const { name = '', namespace = '', uid = '' } = set.metadata
      await this.#context.client.remove(REPLICA_SETS, { name, namespace }, { uid })
    }
  }

  #stateOf(set: ReplicaSet): RevisionState {
    const pods = this.#context.caches.pods.in(set.metadata.namespace ?? '')
    return {
      name: set.metadata.name ?? '',
      desired: set.spec.replicas ?? 1,
      available: set.status?.availableReplicas ?? 0,
      pods: pods.filter((pod) => isControlledBy(pod, set)).length,
    }
  }
}

function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0)
}

const byRevision = (a: ReplicaSet, b: ReplicaSet): number => revisionOf(a) - revisionOf(b)

const ownReference = (deployment: Deployment): ReturnType<typeof controllerReference> =>
  controllerReference({ ...deployment, apiVersion: 'apps/v1', kind: 'Deployment' })

function replicaSetFrom(deployment: Deployment, hash: string, revision: number): ReplicaSet {
  const { template, selector, minReadySeconds, replicas = 1 } = deployment.spec
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash }
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? '',
      labels,
      annotations: { [REVISION]: String(revision), 'deployment.kubernetes.io/desired-replicas': String(replicas) },
      ownerReferences: [ownReference(deployment)],
    },
    spec: {
      // The first step of the rollout gives it replicas.
      replicas: 0,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
    },
  }
}
