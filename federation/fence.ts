/**
 * The only way the controller writes to its API server. Each write asks the lease first, so that a leader that was
 * paused and replaced writes nothing more; a write already under way is caught by the resourceVersion it carries
 * (goals, table D 13). Reads go around it.
 */
import { isConflict, isNotFound, KubeError, type KubeClient, type RemoveOptions } from '../src/kube/client.ts'
import type { Leadership } from '../src/kube/lease-lock.ts'
import type { KubeObject, Resource } from '../src/kube/object.ts'
import { MeshError } from '../src/runtime/errors.ts'

const FIELD_MANAGER = 'isthmus-federation'

export class FencedWriter {
  readonly #client: KubeClient
  readonly #leadership: Leadership
  readonly #epoch: number
  /** Writes done in this term, for the metrics. */
  writes = 0

  /** Bound to the term of `leadership` at this moment: a later term of the same process is another writer. */
  constructor(client: KubeClient, leadership: Leadership) {
    this.#client = client
    this.#leadership = leadership
    this.#epoch = leadership.epoch
  }

  get held(): boolean {
    return this.#leadership.isLeader && this.#leadership.epoch === this.#epoch
  }

  get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    return this.#client.get(resource, name, namespace)
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#write(() => this.#client.create(resource, object, { fieldManager: FIELD_MANAGER }))
  }

  /** The object must carry the resourceVersion it was read with. */
  replace<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#write(() => this.#client.replace(resource, versioned(object), { fieldManager: FIELD_MANAGER }))
  }

  replaceStatus<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#write(() =>
      this.#client.replace(resource, versioned(object), { fieldManager: FIELD_MANAGER, subresource: 'status' }),
    )
  }

  remove<T extends KubeObject>(resource: Resource<T>, object: T): Promise<boolean> {
    const { name = '', namespace, uid } = object.metadata
    const target = namespace === undefined ? { name } : { name, namespace }
    const options: RemoveOptions = uid === undefined ? {} : { uid }
    return this.#write(() => this.#client.remove(resource, target, options))
  }

  async #write<R>(run: () => Promise<R>): Promise<R> {
    if (!this.held) throw new MeshError('LEADER_LOST', `epoch ${this.#epoch} is over`)
    this.writes += 1
    return run()
  }
}

/** Without a version a write would win over whatever happened since: a bug of the caller. */
function versioned<T extends KubeObject>(object: T): T {
  if (object.metadata.resourceVersion === undefined) {
    throw new MeshError('INTERNAL', `${object.kind} ${object.metadata.name ?? ''} would be written without its version`)
  }
  return object
}

/** Someone was faster, or the store behind: the next round sees the newer state and decides again. */
export function isRace(error: unknown): boolean {
  return isConflict(error) || isNotFound(error) || (error instanceof KubeError && error.reason === 'AlreadyExists')
}
