/**
 * Every watch of the cluster process, once per kind: typed caches for what controllers, node agent, DNS and forwarder
 * read, and metadata feeds of all other kinds for the garbage collector. Fed by src/kube's reflector.
 */
import type { KubeClient } from '../../kube/client.ts'
import {
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ConfigMap,
  type CustomResourceDefinition,
  type Deployment,
  type EndpointSlice,
  type Namespace,
  type Node,
  type Pod,
  type ReplicaSet,
  type Secret,
  type Service,
  type ServiceAccount,
  type ServiceImport,
} from '../../kube/kinds.ts'
import { CRON_JOBS, JOBS, type CronJob, type Job } from '../../kube/kinds/batch.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { Reflector } from '../../kube/reflector.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { ObjectCache } from './cache.ts'

export interface CachesOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Feed {
  stop(): void
}

export interface FeedSink {
  set(object: KubeObject): void
  delete(object: KubeObject): void
}

export class Caches {
  readonly pods = new ObjectCache<Pod>()
  readonly services = new ObjectCache<Service>()
  readonly endpointSlices = new ObjectCache<EndpointSlice>()
  readonly deployments = new ObjectCache<Deployment>()
  readonly replicaSets = new ObjectCache<ReplicaSet>()
  readonly jobs = new ObjectCache<Job>()
  readonly cronJobs = new ObjectCache<CronJob>()
  readonly namespaces = new ObjectCache<Namespace>()
  readonly nodes = new ObjectCache<Node>()
  readonly configMaps = new ObjectCache<ConfigMap>()
  readonly secrets = new ObjectCache<Secret>()
  readonly serviceAccounts = new ObjectCache<ServiceAccount>()
  /** Without their schemas. */
  readonly definitions = new ObjectCache<CustomResourceDefinition>()
  /** Synced once the CRD exists and its objects are listed; a cluster without it has no imports. */
  readonly serviceImports = new ObjectCache<ServiceImport>()
  readonly #options: CachesOptions
  readonly #shared = new Map<string, ObjectCache<KubeObject>>()
  readonly #reflectors = new Set<Reflector<KubeObject>>()
  #imports: Reflector<KubeObject> | undefined

  constructor(options: CachesOptions) {
    this.#options = options
  }

  /** Whether there is such a thing as an import: its CRD is established. */
  get servesImports(): boolean {
    return this.#imports !== undefined
  }

  /** Resolves when every kind has been listed. */
  async start(): Promise<void> {
    await Promise.all([
      this.#fill(PODS, this.pods),
      this.#fill(SERVICES, this.services),
      this.#fill(ENDPOINT_SLICES, this.endpointSlices),
      this.#fill(DEPLOYMENTS, this.deployments),
      this.#fill(REPLICA_SETS, this.replicaSets),
      this.#fill(JOBS, this.jobs),
      this.#fill(CRON_JOBS, this.cronJobs),
      this.#fill(NAMESPACES, this.namespaces),
      this.#fill(NODES, this.nodes),
      this.#fill(CONFIG_MAPS, this.configMaps),
      this.#fill(SECRETS, this.secrets),
      this.#fill(SERVICE_ACCOUNTS, this.serviceAccounts),
      this.#fill(CUSTOM_RESOURCE_DEFINITIONS, this.definitions, withoutSchemas),
    ])
    this.definitions.subscribe((key, definition) => {
      if (key === `${SERVICE_IMPORTS.plural}.${SERVICE_IMPORTS.group}`) this.#followImports(definition)
    })
  }

  /** What is present and every change of a kind, from a shared cache where there is one. */
  follow(resource: Resource<KubeObject>, sink: FeedSink): Feed {
    const shared = this.#shared.get(keyOfKind(resource))
    if (shared !== undefined) {
      const unsubscribe = shared.subscribe((_key, object, before) => tell(sink, object, before))
      return { stop: unsubscribe }
    }
    const reflector = this.#reflect(resource, onlyMetadata)
    reflector.store.subscribe((change) => tell(sink, change.new, change.old))
    return {
      stop: () => {
        this.#reflectors.delete(reflector)
        void reflector.stop()
      },
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#reflectors].map((reflector) => reflector.stop()))
  }

  async #fill<T extends KubeObject>(
    resource: Resource<T>,
    cache: ObjectCache<T>,
    trim?: (object: T) => T,
  ): Promise<void> {
    const reflector = this.#reflect(resource, trim)
    this.#shared.set(keyOfKind(resource), cache as unknown as ObjectCache<KubeObject>)
    reflector.store.subscribe((change) => {
      if (change.new !== undefined) cache.set(change.new)
      else if (change.old !== undefined) cache.delete(change.old)
    })
    await reflector.synced
    cache.markSynced()
  }

  #followImports(definition: CustomResourceDefinition | undefined): void {
    const served = definition?.status?.conditions?.some((each) => each.type === 'Established' && each.status === 'True')
    if (served !== true || this.#imports !== undefined) return
    const reflector = this.#reflect(SERVICE_IMPORTS)
    this.#imports = reflector as unknown as Reflector<KubeObject>
    reflector.store.subscribe((change) => {
      if (change.new !== undefined) this.serviceImports.set(change.new)
      else if (change.old !== undefined) this.serviceImports.delete(change.old)
    })
    void reflector.synced.then(() => this.serviceImports.markSynced())
  }

  #reflect<T extends KubeObject>(resource: Resource<T>, trim?: (object: T) => T): Reflector<T> {
    const { client, clock, random, log } = this.#options
    const reflector = new Reflector<T>({
      client: trim === undefined ? client : trimming(client, trim as unknown as (object: KubeObject) => KubeObject),
      resource,
      clock,
      random,
      onError: (error, retryMs) =>
        log.debug({ kind: resource.kind, reason: messageOf(error), retryMs }, 'a watch is opened again'),
    })
    this.#reflectors.add(reflector as unknown as Reflector<KubeObject>)
    return reflector.start()
  }
}

function tell(sink: FeedSink, object: KubeObject | undefined, before: KubeObject | undefined): void {
  // One name, two lives: the first one's end must not be lost.
  if (before !== undefined && before.metadata.uid !== object?.metadata.uid) sink.delete(before)
  if (object !== undefined) sink.set(object)
}

/** A client whose lists and watches are trimmed before anyone keeps them: CRDs alone would cost megabytes. */
function trimming(client: KubeClient, trim: (object: KubeObject) => KubeObject): KubeClient {
  return {
    get: (resource, name, namespace) => client.get(resource, name, namespace),
    create: (resource, object, options) => client.create(resource, object, options),
    replace: (resource, object, options) => client.replace(resource, object, options),
    patch: (resource, target, patch, options) => client.patch(resource, target, patch, options),
    remove: (resource, target, options) => client.remove(resource, target, options),
    raw: (request) => client.raw(request),
    close: () => client.close(),
    list: async (resource, options) => {
      const list = await client.list(resource, options)
      return { ...list, items: list.items.map((item) => trim(item) as typeof item) }
    },
    watch: (resource, options, onEvent) =>
      client.watch(resource, options, (event) =>
        onEvent({ ...event, object: trim(event.object) as typeof event.object }),
      ),
  }
}

function onlyMetadata(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata } = object
  const { name = '', namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } = metadata
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  }
}

function withoutSchemas(definition: CustomResourceDefinition): CustomResourceDefinition {
  const { annotations: _, ...metadata } = definition.metadata
  const { group, scope, names } = definition.spec
  return { ...definition, metadata, spec: { group, scope, names, versions: [] } }
}

function keyOfKind<T extends KubeObject>(resource: Resource<T>): string {
  return `${resource.group}/${resource.plural}`
}
