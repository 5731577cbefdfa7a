/**
 * The storage rules of an API server (reference k8s-wire, section 5.4) over a Map: one resourceVersion counter,
 * optimistic concurrency, generations, status subresource, finalizers, garbage collection of owned objects, and the
 * history that watches replay. No HTTP, no schemas, no admission.
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../../runtime/clock.ts'
import { KubeError, type RemoveOptions, type WriteOptions } from '../client.ts'
import type { KubeObject, ObjectMeta, Resource } from '../object.ts'
import { apiVersionOf } from '../paths.ts'
import { wholeSeconds } from '../times.ts'

export interface StoredChange {
  readonly version: number
  readonly collection: string
  readonly before: KubeObject | undefined
  /** Undefined: removed. */
  readonly after: KubeObject | undefined
}

type AnyResource = Resource<KubeObject>

/** Built-in kinds that a PUT without resourceVersion may overwrite; everything else must say what it replaces. */
const UNCONDITIONAL_GROUPS = new Set(['', 'apps', 'discovery.k8s.io', 'rbac.authorization.k8s.io'])
/** Kinds without a status subresource: their `status`, if any, is plain data. */
const NO_STATUS = new Set(['configmaps', 'secrets', 'events', 'endpointslices', 'leases', 'serviceaccounts'])
const NAME = /^[a-z0-9]([-a-z0-9.:]{0,251}[a-z0-9])?$/

export class MemoryStore {
  readonly #clock: Clock
  readonly #objects = new Map<string, Map<string, KubeObject>>()
  readonly #resources = new Map<string, AnyResource>()
  readonly #history: StoredChange[] = []
  readonly #listeners = new Set<(change: StoredChange) => void>()
  #version = 1
  #oldest = 0
  #generated = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get version(): number {
    return this.#version
  }

  /** History below this version is gone: a watch from there gets 410. */
  get oldestVersion(): number {
    return this.#oldest
  }

  compact(): void {
    this.#history.length = 0
    this.#oldest = this.#version
  }

  since(version: number): readonly StoredChange[] {
    return this.#history.filter((change) => change.version > version)
  }

  onChange(listener: (change: StoredChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  all(resource: AnyResource): readonly KubeObject[] {
    const objects = this.#objects.get(collectionOf(resource)) ?? new Map<string, KubeObject>()
    return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object)
  }

  get(resource: AnyResource, target: { name: string; namespace?: string | undefined }): KubeObject | undefined {
    return this.#objects.get(collectionOf(resource))?.get(keyOf(resource, target))
  }

  create(resource: AnyResource, given: KubeObject, options: WriteOptions): KubeObject {
    const object = structuredClone(given)
    const metadata = this.#newMetadata(resource, object.metadata)
    const created: KubeObject = { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata }
    if (hasStatus(resource)) delete (created as { status?: unknown }).status
    foldStringData(created)
    if (this.get(resource, targetOf(metadata)) !== undefined) {
      throw new KubeError(409, 'AlreadyExists', `${describe(resource, metadata.name)} already exists`)
    }
    return options.dryRun === true ? created : this.#put(resource, undefined, created)
  }

  update(resource: AnyResource, given: KubeObject, options: WriteOptions & { patched?: boolean }): KubeObject {
    const stored = this.get(resource, targetOf(given.metadata))
    if (stored === undefined) {
      throw new KubeError(404, 'NotFound', `${describe(resource, given.metadata.name)} not found`)
    }
    this.#checkPreconditions(resource, stored, given, options.patched === true)
    const next = combine(resource, stored, structuredClone(given), options.subresource)
    foldStringData(next)
    if (sameBut(stored, next)) return stored
    const { metadata } = next
    if (specChanged(resource, stored, next)) metadata.generation = (stored.metadata.generation ?? 1) + 1
    if (options.dryRun === true) return next
    const finished = metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length === 0
    return finished ? this.#drop(resource, stored, next) : this.#put(resource, stored, next)
  }

  remove(resource: AnyResource, target: { name: string; namespace?: string }, options: RemoveOptions): boolean {
    const stored = this.get(resource, target)
    if (stored === undefined) return false
    if (options.uid !== undefined && options.uid !== stored.metadata.uid) {
      throw new KubeError(409, 'Conflict', `Precondition failed: UID in precondition: ${options.uid}`)
    }
    if ((stored.metadata.finalizers ?? []).length === 0) {
      this.#drop(resource, stored, stored, options.propagation)
    } else if (stored.metadata.deletionTimestamp === undefined) {
      const metadata = { ...stored.metadata, deletionTimestamp: this.#now() }
      metadata.generation = (metadata.generation ?? 1) + 1
      this.#put(resource, stored, { ...stored, metadata })
    }
    return true
  }

  #newMetadata(resource: AnyResource, given: ObjectMeta): ObjectMeta {
    if ((given.resourceVersion ?? '') !== '') {
      throw new KubeError(500, '', 'resourceVersion should not be set on objects to be created')
    }
    const generated = given.generateName === undefined ? undefined : `${given.generateName}${this.#suffix()}`
    const name = given.name ?? generated ?? ''
    if (!NAME.test(name)) {
      throw new KubeError(
        422,
        'Invalid',
        `${resource.kind} "${name}" is invalid: metadata.name: Invalid value: "${name}"`,
      )
    }
    const metadata: ObjectMeta = {
      ...given,
      name,
      uid: randomUUID(),
      creationTimestamp: this.#now(),
      generation: 1,
    }
    delete metadata.deletionTimestamp
    if (!resource.namespaced) delete metadata.namespace
    else if (metadata.namespace === undefined)
      throw new KubeError(400, 'BadRequest', `${resource.kind} needs a namespace`)
    return metadata
  }

  #checkPreconditions(resource: AnyResource, stored: KubeObject, given: KubeObject, patched: boolean): void {
    const version = given.metadata.resourceVersion ?? ''
    const name = describe(resource, given.metadata.name)
    if (version === '' && !patched && !UNCONDITIONAL_GROUPS.has(resource.group)) {
      throw new KubeError(
        422,
        'Invalid',
        `${name}: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`,
      )
    }
    if (version !== '' && version !== stored.metadata.resourceVersion) {
      throw new KubeError(409, 'Conflict', `Operation cannot be fulfilled on ${name}: the object has been modified`)
    }
    const { uid } = given.metadata
    if (uid !== undefined && uid !== stored.metadata.uid) {
      throw new KubeError(409, 'Conflict', `Precondition failed: UID in precondition: ${uid}`)
    }
  }

  #put(resource: AnyResource, before: KubeObject | undefined, object: KubeObject): KubeObject {
    const after = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } }
    const collection = collectionOf(resource)
    const objects = this.#objects.get(collection) ?? new Map<string, KubeObject>()
    this.#objects.set(collection, objects.set(keyOf(resource, targetOf(after.metadata)), after))
    this.#resources.set(collection, resource)
    this.#publish({ version: this.#version, collection, before, after })
    return after
  }

  #drop(resource: AnyResource, before: KubeObject, last: KubeObject, propagation = 'Background'): KubeObject {
    const collection = collectionOf(resource)
    this.#objects.get(collection)?.delete(keyOf(resource, targetOf(before.metadata)))
    const gone = { ...last, metadata: { ...last.metadata, resourceVersion: String(++this.#version) } }
    this.#publish({ version: this.#version, collection, before: gone, after: undefined })
    if (propagation !== 'Orphan') this.#collectOwned(before.metadata.uid)
    return gone
  }

  /** The garbage collector's rule: an object whose owners are all gone follows them. */
  #collectOwned(uid: string | undefined): void {
    for (const [collection, objects] of this.#objects) {
      const resource = this.#resources.get(collection)
      for (const object of objects.values()) {
        const owners = object.metadata.ownerReferences ?? []
        if (resource === undefined || !owners.some((owner) => owner.uid === uid)) continue
        if (!owners.some((owner) => this.#exists(owner.uid))) this.remove(resource, targetOf(object.metadata), {})
      }
    }
  }

  #exists(uid: string): boolean {
    for (const objects of this.#objects.values()) {
      for (const object of objects.values()) if (object.metadata.uid === uid) return true
    }
    return false
  }

  #publish(change: StoredChange): void {
    this.#history.push(change)
    for (const listener of this.#listeners) listener(change)
  }

  #now(): string {
    return wholeSeconds(this.#clock.now())
  }

  #suffix(): string {
    return (this.#generated++).toString(36).padStart(5, '0')
  }
}

export const collectionOf = (resource: AnyResource): string => `${resource.group}/${resource.plural}`

function targetOf(metadata: ObjectMeta): { name: string; namespace?: string } {
  const { name = '', namespace } = metadata
  return namespace === undefined ? { name } : { name, namespace }
}

function keyOf(resource: AnyResource, target: { name: string; namespace?: string | undefined }): string {
  return resource.namespaced ? `${target.namespace ?? ''}/${target.name}` : target.name
}

const describe = (resource: AnyResource, name = ''): string =>
  `${resource.plural}${resource.group === '' ? '' : `.${resource.group}`} "${name}"`

const hasStatus = (resource: AnyResource): boolean =>
  !NO_STATUS.has(resource.plural) && resource.group !== 'rbac.authorization.k8s.io'

type Loose = KubeObject & { status?: unknown }

/** A write to /status takes the status alone; a write to the object keeps the stored status. */
function combine(resource: AnyResource, stored: Loose, given: Loose, subresource: string | undefined): Loose {
  if (subresource !== undefined && subresource !== 'status') {
    throw new KubeError(404, 'NotFound', 'the server could not find the requested resource')
  }
  if (subresource === 'status') {
    if (!hasStatus(resource)) throw new KubeError(404, 'NotFound', 'the server could not find the requested resource')
    return given.status === undefined ? stored : { ...stored, metadata: { ...stored.metadata }, status: given.status }
  }
  const { uid, creationTimestamp, deletionTimestamp, generation } = stored.metadata
  const metadata: ObjectMeta = {
    ...given.metadata,
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(generation === undefined ? {} : { generation }),
    resourceVersion: stored.metadata.resourceVersion ?? '',
  }
  if (deletionTimestamp === undefined) delete metadata.deletionTimestamp
  else metadata.deletionTimestamp = deletionTimestamp
  const next: Loose = { ...given, apiVersion: stored.apiVersion, kind: stored.kind, metadata }
  if (!hasStatus(resource)) return next
  if (stored.status === undefined) delete next.status
  else next.status = stored.status
  return next
}

function sameBut(stored: KubeObject, next: KubeObject): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(stored)), JSON.parse(JSON.stringify(next)))
}

function specChanged(resource: AnyResource, stored: Loose, next: Loose): boolean {
  const strip = (object: Loose): unknown => ({ ...object, metadata: 0, ...(hasStatus(resource) ? { status: 0 } : {}) })
  return !isDeepStrictEqual(strip(stored), strip(next))
}

function foldStringData(
  object: KubeObject & { stringData?: Record<string, string>; data?: Record<string, string> },
): void {
  if (object.kind !== 'Secret' || object.stringData === undefined) return
  const encoded = Object.entries(object.stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')])
  object.data = { ...object.data, ...(Object.fromEntries(encoded) as Record<string, string>) }
  delete object.stringData
}
