/**
 * Everything the federation controller reads of its own cluster, as reflectors that outlive leader terms: a replica that
 * becomes leader starts from warm stores. What was known stays when the API server is away (src/kube/reflector.ts).
 */
import type { KubeClient, ListOptions } from '../src/kube/client.ts'
import {
  CLUSTER_PEERS,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  NAMESPACES,
  NODES,
  PODS,
  SECRETS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ConfigMap,
  type Secret,
} from '../src/kube/kinds.ts'
import type { KubeObject, Resource } from '../src/kube/object.ts'
import { Reflector } from '../src/kube/reflector.ts'
import type { Store } from '../src/kube/store.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../src/model/names.ts'
import type { Clock } from '../src/runtime/clock.ts'
import type { Random } from '../src/runtime/random.ts'

export interface MirrorOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly onError: (error: unknown) => void
}

export class Mirror {
  readonly #options: MirrorOptions
  readonly #reflectors: Reflector<never>[] = []
  readonly serviceExports
  readonly services
  readonly slices
  readonly pods
  readonly nodes
  readonly namespaces
  readonly imports
  readonly peers
  readonly #trust
  readonly #caRequest
  readonly #root
  readonly #join

  constructor(options: MirrorOptions) {
    this.#options = options
    this.serviceExports = this.#reflect(SERVICE_EXPORTS)
    this.services = this.#reflect(SERVICES)
    this.slices = this.#reflect(ENDPOINT_SLICES)
    this.pods = this.#reflect(PODS)
    this.nodes = this.#reflect(NODES)
    this.namespaces = this.#reflect(NAMESPACES)
    this.imports = this.#reflect(SERVICE_IMPORTS)
    this.peers = this.#reflect(CLUSTER_PEERS)
    // By name: the controller may read these and no other Secret or ConfigMap of its namespace.
    this.#trust = this.#reflect(CONFIG_MAPS, named(OBJECTS.trust))
    this.#caRequest = this.#reflect(CONFIG_MAPS, named(OBJECTS.caRequest))
    this.#root = this.#reflect(SECRETS, named(OBJECTS.root))
    this.#join = this.#reflect(SECRETS, named(OBJECTS.join))
  }

  get trust(): ConfigMap | undefined {
    return this.#trust.get(OBJECTS.trust, SYSTEM_NAMESPACE)
  }

  get caRequest(): ConfigMap | undefined {
    return this.#caRequest.get(OBJECTS.caRequest, SYSTEM_NAMESPACE)
  }

  /** Only in the signer cluster. */
  get root(): Secret | undefined {
    return this.#root.get(OBJECTS.root, SYSTEM_NAMESPACE)
  }

  /** A join still to perform. */
  get join(): Secret | undefined {
    return this.#join.get(OBJECTS.join, SYSTEM_NAMESPACE)
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start()
  }

  /** Resolves when every store holds a first list: before that nothing may be concluded from absence. */
  async synced(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.synced))
  }

  /** Resolves when every store is at least as new as this call. */
  async renewed(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.renewed()))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()))
  }

  onTrust(listener: () => void): () => void {
    return this.#trust.subscribe(listener)
  }

  /** Anything that the trust keeper or the joiner acts on. */
  onTrustInput(listener: () => void): () => void {
    const stores = [this.#trust, this.#caRequest, this.#root, this.#join, this.peers] as const
    return joined(stores.map((store) => (store as Store<KubeObject>).subscribe(listener)))
  }

  /** Anything that exports or imports depend on. */
  onServices(listener: () => void): () => void {
    const stores = [
      this.serviceExports,
      this.services,
      this.slices,
      this.pods,
      this.nodes,
      this.namespaces,
      this.imports,
    ] as const
    return joined(stores.map((store) => (store as Store<KubeObject>).subscribe(listener)))
  }

  #reflect<T extends KubeObject>(resource: Resource<T>, scope?: ListOptions): Store<T> {
    const { client, clock, random, onError } = this.#options
    const reflector = new Reflector<T>({
      client,
      resource,
      clock,
      random,
      onError,
      ...(scope === undefined ? {} : { scope }),
    })
    this.#reflectors.push(reflector as unknown as Reflector<never>)
    return reflector.store
  }
}

const named = (name: string): ListOptions => ({ namespace: SYSTEM_NAMESPACE, fieldSelector: `metadata.name=${name}` })

function joined(unsubscribes: readonly (() => void)[]): () => void {
  return () => {
    for (const unsubscribe of unsubscribes) unsubscribe()
  }
}
