/** The objects that lint looks at together: a cluster's, or those of files. Versions of a kind are one kind. */
import type { KubeObject, Resource } from '../object.ts'

export const groupOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''

export const versionOf = (apiVersion: string): string => apiVersion.slice(apiVersion.indexOf('/') + 1)

/** `VirtualService.networking.istio.io` */
export const kindKey = (group: string, kind: string): string => (group === '' ? kind : `${kind}.${group}`)

export class ObjectSet {
  readonly #byKind = new Map<string, Map<string, KubeObject>>()
  /** Whether everything of the cluster is here. From files alone a missing Service proves nothing. */
  readonly isWhole: boolean

  constructor(objects: Iterable<KubeObject>, options: { readonly isWhole: boolean }) {
    this.isWhole = options.isWhole
    for (const object of objects) {
      const key = kindKey(groupOf(object.apiVersion), object.kind)
      const ofKind = this.#byKind.get(key) ?? new Map<string, KubeObject>()
      this.#byKind.set(key, ofKind)
      ofKind.set(`${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`, object)
    }
  }

  /** Objects of a kind, in the order given; those that the schema refuses are not among them. */
  list<T extends KubeObject>({ group, kind }: Resource<T>, namespace?: string): readonly T[] {
    const all = [...(this.#byKind.get(kindKey(group, kind))?.values() ?? [])] as unknown as readonly T[]
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace)
  }

  get<T extends KubeObject>({ group, kind }: Resource<T>, namespace: string, name: string): T | undefined {
    return this.#byKind.get(kindKey(group, kind))?.get(`${namespace}/${name}`) as T | undefined
  }

  /** False where nothing can be said: the set is from files and holds none of this kind in this namespace. */
  knows<T extends KubeObject>(resource: Resource<T>, namespace: string): boolean {
    return this.isWhole || this.list(resource, namespace).length > 0
  }
}
