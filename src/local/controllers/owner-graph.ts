/**
 * Who owns whom among all objects of the cluster, by uid: metadata only, so that watching every kind costs little.
 * Answers questions; the garbage collector acts.
 */
import type { KubeObject, OwnerReference, Resource } from '../../kube/object.ts'

export interface GraphNode {
  readonly resource: Resource<KubeObject>
  readonly uid: string
  readonly name: string
  readonly namespace: string | undefined
  readonly owners: readonly OwnerReference[]
  readonly finalizers: readonly string[]
  readonly deleting: boolean
}

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>()
  readonly #dependents = new Map<string, Set<string>>()

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid)
  }

  dependents(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((each) => this.#nodes.get(each) ?? [])
  }

  set(resource: Resource<KubeObject>, object: KubeObject): GraphNode {
    const { uid = '', name = '', namespace, ownerReferences = [], finalizers = [], deletionTimestamp } = object.metadata
    this.delete(uid)
    const node: GraphNode = {
      resource,
      uid,
      name,
      namespace,
      owners: ownerReferences,
      finalizers,
      deleting: deletionTimestamp !== undefined,
    }
    this.#nodes.set(uid, node)
    for (const owner of ownerReferences) {
      const known = this.#dependents.get(owner.uid)
      if (known === undefined) this.#dependents.set(owner.uid, new Set([uid]))
      else known.add(uid)
    }
    return node
  }

  /** The dependents stay indexed under the uid: they are what its end is about. */
  delete(uid: string): void {
    const node = this.#nodes.get(uid)
    if (node === undefined) return
    this.#nodes.delete(uid)
    for (const owner of node.owners) {
      const siblings = this.#dependents.get(owner.uid)
      siblings?.delete(uid)
      if (siblings?.size === 0) this.#dependents.delete(owner.uid)
    }
  }
}
