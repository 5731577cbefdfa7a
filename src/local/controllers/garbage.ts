/**
 * Garbage collection by ownerReferences, as the server leaves it to us: dependents of what is gone are deleted
 * (background), the finalizers `foregroundDeletion` and `orphan` are worked off. Watches every kind that discovery
 * names, anew when CRDs come and go. Before a deletion the owner is asked for at the server: a cache may lag.
 */
import { KubeError } from '../../kube/client.ts'
import type { KubeObject, OwnerReference, Resource } from '../../kube/object.ts'
import type { WorkQueue } from '../../kube/work-queue.ts'
import type { Feed } from '../cluster/caches.ts'
import type { Controller, ControllerContext } from './controller-context.ts'
import { discover } from './discovery.ts'
import { OwnerGraph, type GraphNode } from './owner-graph.ts'
import { createReconciler } from './reconciler.ts'

const FOREGROUND = 'foregroundDeletion'
const ORPHAN = 'orphan'

/** High rates and never an owner that matters. */
const IGNORED = new Set(['events', 'leases'])

/** CRDs of one manifest come in a burst. */
const DISCOVER_DELAY_MS = 100

export class GarbageCollector implements Controller {
  readonly #context: ControllerContext
  readonly #graph = new OwnerGraph()
  readonly #queue: WorkQueue
  readonly #feeds = new Map<string, { feed: Feed; resource: Resource<KubeObject> }>()
  #resources: readonly Resource<KubeObject>[] = []
  #unsubscribe: () => void = () => {}

  constructor(context: ControllerContext) {
    this.#context = context
    this.#queue = createReconciler({ ...context, name: 'garbage', reconcile: (key) => this.#reconcile(key) })
  }

  start(): void {
    this.#unsubscribe = this.#context.caches.definitions.subscribe(() =>
      this.#queue.addAfter(DISCOVER, DISCOVER_DELAY_MS),
    )
    this.#queue.add(DISCOVER)
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    // A discovery under way opens feeds: they are closed after it.
    await this.#queue.stop()
    for (const { feed } of this.#feeds.values()) feed.stop()
  }

  async #reconcile(key: string): Promise<void> {
    if (key === DISCOVER) return this.#discover()
    const node = this.#graph.get(key)
    if (node === undefined) return
    if (node.deleting && node.finalizers.includes(ORPHAN)) return this.#orphan(node)
    if (node.deleting && node.finalizers.includes(FOREGROUND)) return this.#foreground(node)
    if (!node.deleting && node.owners.length > 0) await this.#collect(node)
  }

  async #discover(): Promise<void> {
    const { client, caches } = this.#context
    this.#resources = (await discover(client)).filter((resource) => !IGNORED.has(resource.plural))
    const wanted = new Map(this.#resources.map((resource) => [`${resource.group}/${resource.plural}`, resource]))
    for (const [key, { feed, resource }] of this.#feeds) {
      if (wanted.get(key)?.version === resource.version) continue
      feed.stop()
      this.#feeds.delete(key)
    }
    for (const [key, resource] of wanted) {
      if (this.#feeds.has(key)) continue
      const feed = caches.follow(resource, {
        set: (object) => this.#seen(this.#graph.set(resource, object)),
        delete: (object) => this.#gone(object.metadata.uid ?? ''),
      })
      this.#feeds.set(key, { feed, resource })
    }
  }

  #seen(node: GraphNode): void {
    const marked = node.deleting && node.finalizers.some((name) => name === FOREGROUND || name === ORPHAN)
    const orphaned = node.owners.some((owner) => this.#graph.get(owner.uid) === undefined)
    if (marked || (orphaned && !node.deleting)) this.#queue.add(node.uid)
    // An owner in foreground deletion waits for the dependent that just changed.
    for (const owner of node.owners) {
      const parent = this.#graph.get(owner.uid)
      if (parent?.deleting === true && parent.finalizers.includes(FOREGROUND)) this.#queue.add(parent.uid)
    }
  }

  #gone(uid: string): void {
    const owners = this.#graph.get(uid)?.owners ?? []
    this.#graph.delete(uid)
    for (const dependent of this.#graph.dependents(uid)) this.#queue.add(dependent.uid)
    for (const owner of owners) {
      const parent = this.#graph.get(owner.uid)
      if (parent?.deleting === true) this.#queue.add(parent.uid)
    }
  }

  /** Deletes a dependent without a living owner, or takes dangling references off one that still has another. */
  async #collect(node: GraphNode): Promise<void> {
    const { client } = this.#context
    const living: OwnerReference[] = []
    const dangling: OwnerReference[] = []
    for (const owner of node.owners) ((await this.#lives(node, owner)) ? living : dangling).push(owner)
    if (dangling.length === 0) return
    if (living.length === 0) {
      await client.remove(node.resource, targetOf(node), { uid: node.uid, propagation: 'Background' })
      return
    }
    await this.#writeMetadata(node, { ownerReferences: living })
  }

  async #lives(node: GraphNode, owner: OwnerReference): Promise<boolean> {
    const { client, events } = this.#context
    const resource = this.#resourceOf(owner)
    // A kind that is not served may come back with its CRD: nothing is deleted on ignorance.
    if (resource === undefined) return true
    if (resource.namespaced && node.namespace === undefined) {
      const object = { apiVersion: 'v1', kind: node.resource.kind, metadata: { name: node.name, uid: node.uid } }
      const message = `ownerRef ${owner.kind} ${owner.name} is namespaced, its dependent is not`
      events.record(object, { type: 'Warning', reason: 'OwnerRefInvalidNamespace', message })
      return true
    }
    const found = await client.get(resource, owner.name, resource.namespaced ? node.namespace : undefined)
    return found?.metadata.uid === owner.uid
  }

  /** Dependents first; those that block go before the owner may. */
  async #foreground(node: GraphNode): Promise<void> {
    const { client } = this.#context
    const dependents = this.#graph.dependents(node.uid)
    const blocking = dependents.filter((each) => refers(each, node)?.blockOwnerDeletion === true)
    for (const dependent of dependents) {
      if (dependent.deleting) continue
      const owns = this.#graph.dependents(dependent.uid).length > 0
      await client.remove(dependent.resource, targetOf(dependent), {
        uid: dependent.uid,
        propagation: owns ? 'Foreground' : 'Background',
      })
    }
    if (blocking.length === 0) await this.#dropFinalizer(node, FOREGROUND)
  }

  async #orphan(node: GraphNode): Promise<void> {
    for (const dependent of this.#graph.dependents(node.uid)) {
      const ownerReferences = dependent.owners.filter((owner) => owner.uid !== node.uid)
      await this.#writeMetadata(dependent, { ownerReferences })
    }
    await this.#dropFinalizer(node, ORPHAN)
  }

  async #dropFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const { client } = this.#context
    const present = await client.get(node.resource, node.name, node.namespace)
    if (present === undefined || present.metadata.uid !== node.uid) return
    const finalizers = (present.metadata.finalizers ?? []).filter((name) => name !== finalizer)
    const { resourceVersion } = present.metadata
    // The version: another holder may be letting go at the same moment.
    await this.#writeMetadata(node, { finalizers, ...(resourceVersion === undefined ? {} : { resourceVersion }) })
  }

  async #writeMetadata(node: GraphNode, metadata: Readonly<Record<string, unknown>>): Promise<void> {
    const patch = { metadata: { uid: node.uid, ...metadata } }
    try {
      await this.#context.client.patch(node.resource, targetOf(node), patch, { type: 'merge' })
    } catch (error) {
      if (!(error instanceof KubeError && error.code === 404)) throw error
    }
  }

  #resourceOf(owner: OwnerReference): Resource<KubeObject> | undefined {
    const group = owner.apiVersion.includes('/') ? (owner.apiVersion.split('/')[0] ?? '') : ''
    return this.#resources.find((resource) => resource.kind === owner.kind && resource.group === group)
  }
}

/** Not a uid. */
const DISCOVER = 'discover'

function refers(dependent: GraphNode, owner: GraphNode): OwnerReference | undefined {
  return dependent.owners.find((reference) => reference.uid === owner.uid)
}

function targetOf(node: GraphNode): { name: string; namespace?: string } {
  return node.namespace === undefined ? { name: node.name } : { name: node.name, namespace: node.namespace }
}
