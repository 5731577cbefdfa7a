/**
 * Watches the own cluster and keeps one immutable snapshot of it. Never empties anything because the API server is
 * away: reflectors keep what they knew, and trust, once seen, is never lost to a missing or damaged object.
 */
import type { KubeClient, ListOptions } from '../../kube/client.ts'
import {
  AUTHORIZATION_POLICIES,
  CIRCUIT_BREAKER_POLICIES,
  CLUSTER_PEERS,
  CONFIG_MAPS,
  type ConfigMap,
  ENDPOINT_SLICES,
  type Lease,
  LEASES,
  NAMESPACES,
  NODES,
  PEER_AUTHENTICATIONS,
  PODS,
  REQUEST_AUTHENTICATIONS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  TELEMETRIES,
} from '../../kube/kinds.ts'
import {
  DESTINATION_RULES,
  ISTIO_GATEWAYS,
  SERVICE_ENTRIES,
  SIDECARS,
  VIRTUAL_SERVICES,
  WORKLOAD_ENTRIES,
} from '../../kube/kinds/networking.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { Reflector } from '../../kube/reflector.ts'
import type { Store } from '../../kube/store.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { type MeshFacts, NO_SECURITY, NO_SETTINGS, type SecurityFacts, type Snapshot } from './facts.ts'
import { FactTable } from './fact-table.ts'
import { readExport, readImport, readNamespace, readNode, readPeer, readPod, readService, readSlice } from './read.ts'
import { readBreakerPolicy } from './read-breaker.ts'
import {
  readDestinationRule,
  readIstioGateway,
  readServiceEntry,
  readSidecar,
  readVirtualService,
  readWorkloadEntry,
} from './read-networking.ts'
import {
  readAuthorizationPolicy,
  readPeerAuthentication,
  readRequestAuthentication,
  readTelemetry,
} from './read-security.ts'
import { type ClusterTrust, readTrust } from './trust.ts'

export interface ObserverOptions {
  readonly client: KubeClient
  readonly mesh: MeshFacts
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** A new snapshot is there; bursts within `coalesceMs` count once. */
  readonly onSnapshot: (snapshot: Snapshot) => void
  readonly coalesceMs?: number
}

/** Together with the push's own 50 ms this stays under the design's 100 ms. */
const COALESCE_MS = 25

export class Observer {
  readonly #options: ObserverOptions
  readonly #reflectors: { readonly synced: Promise<void>; start(): unknown; stop(): Promise<void> }[] = []
  readonly #services
  readonly #pods
  readonly #slices
  readonly #nodes
  readonly #namespaces
  readonly #exports
  readonly #imports
  readonly #peers
  readonly #breakers
  readonly #networking
  readonly #peerAuthentications
  readonly #requestAuthentications
  readonly #authorizationPolicies
  readonly #telemetries
  #trust: ClusterTrust | undefined
  #leader = ''
  #version = 0
  #snapshot: Snapshot | undefined
  #isSynced = false
  #scheduled: Cancel | undefined

  constructor(options: ObserverOptions) {
    this.#options = options
    this.#services = this.#table(SERVICES, readService)
    this.#pods = this.#table(PODS, readPod)
    this.#slices = this.#table(ENDPOINT_SLICES, readSlice)
    this.#nodes = this.#table(NODES, readNode)
    this.#namespaces = this.#table(NAMESPACES, readNamespace)
    this.#exports = this.#table(SERVICE_EXPORTS, readExport)
    this.#imports = this.#table(SERVICE_IMPORTS, readImport)
    this.#peers = this.#table(CLUSTER_PEERS, readPeer)
    this.#breakers = this.#table(CIRCUIT_BREAKER_POLICIES, readBreakerPolicy)
    this.#networking = {
      virtualServices: this.#optional(VIRTUAL_SERVICES, readVirtualService),
      destinationRules: this.#optional(DESTINATION_RULES, readDestinationRule),
      serviceEntries: this.#optional(SERVICE_ENTRIES, readServiceEntry),
      workloadEntries: this.#optional(WORKLOAD_ENTRIES, readWorkloadEntry),
      sidecars: this.#optional(SIDECARS, readSidecar),
      istioGateways: this.#optional(ISTIO_GATEWAYS, readIstioGateway),
    }
    this.#peerAuthentications = this.#optional(PEER_AUTHENTICATIONS, readPeerAuthentication)
    this.#requestAuthentications = this.#optional(REQUEST_AUTHENTICATIONS, readRequestAuthentication)
    this.#authorizationPolicies = this.#optional(AUTHORIZATION_POLICIES, readAuthorizationPolicy)
    this.#telemetries = this.#optional(TELEMETRIES, readTelemetry)
    const named = (name: string): ListOptions => ({
      namespace: SYSTEM_NAMESPACE,
      fieldSelector: `metadata.name=${name}`,
    })
    this.#watch(CONFIG_MAPS, named(OBJECTS.trust)).subscribe(({ new: found }) => this.#takeTrust(found))
    this.#watch(LEASES, named(OBJECTS.federationLease)).subscribe(({ new: lease }) => this.#takeLease(lease))
  }

  /** Undefined until every kind has been listed once. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** What federation gave this cluster; undefined before it joined a mesh. */
  get trust(): ClusterTrust | undefined {
    return this.#trust
  }

  /** Resolves after the first whole snapshot. */
  async start(): Promise<void> {
    for (const reflector of this.#reflectors) reflector.start()
    await Promise.all(this.#reflectors.map(({ synced }) => synced))
    this.#isSynced = true
    this.#build()
  }

  async stop(): Promise<void> {
    this.#scheduled?.()
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()))
  }

  #table<T extends KubeObject, F>(resource: Resource<T>, read: (object: T) => F | undefined): FactTable<T, F> {
    const table = new FactTable<T, F>(read, () => this.#changed())
    this.#watch(resource).subscribe((change) => table.apply(change))
    return table
  }

  /** Of kinds that a cluster may lack altogether. */
  #optional<T extends KubeObject, F>(resource: Resource<T>, read: (object: T) => F | undefined): FactTable<T, F> {
    const table = new FactTable<T, F>(read, () => this.#changed())
    this.#watch(resource, {}, { mayBeAbsent: true }).subscribe((change) => table.apply(change))
    return table
  }

  #watch<T extends KubeObject>(
    resource: Resource<T>,
    scope: ListOptions = {},
    extra: { readonly mayBeAbsent?: true } = {},
  ): Store<T> {
    const { client, clock, random, log } = this.#options
    const onError = (error: unknown, retryMs: number): void => {
      log.warn({ kind: resource.kind, reason: messageOf(error), retryMs }, 'watching failed; what was known stays')
    }
    const reflector = new Reflector({ client, resource, scope, clock, random, onError, ...extra })
    this.#reflectors.push(reflector)
    return reflector.store
  }

  #takeTrust(found: ConfigMap | undefined): void {
    const { log, mesh } = this.#options
    if (found === undefined) {
      if (this.#trust !== undefined) log.error(`ConfigMap ${OBJECTS.trust} is gone; the trust last seen stays in force`)
      return
    }
    const read = readTrust(found, mesh)
    if ('problem' in read) log.error({ problem: read.problem }, `ConfigMap ${OBJECTS.trust} is not used`)
    else {
      this.#trust = read.trust
      this.#changed()
    }
  }

  #takeLease(lease: Lease | undefined): void {
    // Renewals come every few seconds and change nothing that matters here.
    const leader = lease?.spec?.holderIdentity ?? ''
    if (leader === this.#leader) return
    this.#leader = leader
    this.#changed()
  }

  #changed(): void {
    if (!this.#isSynced) return
    this.#scheduled ??= this.#options.clock.after(this.#options.coalesceMs ?? COALESCE_MS, () => this.#build())
  }

  #security(): SecurityFacts {
    return {
      peerAuthentications: this.#peerAuthentications.current,
      requestAuthentications: this.#requestAuthentications.current,
      authorizationPolicies: this.#authorizationPolicies.current,
      telemetries: this.#telemetries.current,
      settings: NO_SETTINGS,
      keySets: NO_SECURITY.keySets,
    }
  }

  #build(): void {
    this.#scheduled = undefined
    this.#version += 1
    this.#snapshot = {
      version: this.#version,
      mesh: this.#options.mesh,
      services: this.#services.current,
      pods: this.#pods.current,
      slices: this.#slices.current,
      nodes: this.#nodes.current,
      namespaces: this.#namespaces.current,
      exports: this.#exports.current,
      imports: this.#imports.current,
      peers: this.#peers.current,
      breakers: this.#breakers.current,
      networking: {
        virtualServices: this.#networking.virtualServices.current,
        destinationRules: this.#networking.destinationRules.current,
        serviceEntries: this.#networking.serviceEntries.current,
        workloadEntries: this.#networking.workloadEntries.current,
        sidecars: this.#networking.sidecars.current,
        istioGateways: this.#networking.istioGateways.current,
      },
      security: this.#security(),
      trust: this.#trust?.validation,
      federationLeader: this.#leader,
    }
    this.#options.onSnapshot(this.#snapshot)
  }
}
