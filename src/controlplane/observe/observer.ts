/**
 * Watches the own cluster and keeps one immutable snapshot of it. Never empties anything because the API server is
 * away: reflectors keep what they knew, and trust, once seen, is never lost to a missing or damaged object.
 */
import { isDeepStrictEqual } from 'node:util'
import type { KubeClient, ListOptions } from '../../kube/client.ts'
import {
  AUTHENTICATION_POLICIES,
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
  RATE_LIMIT_POLICIES,
  REQUEST_AUTHENTICATIONS,
  SECRETS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  TELEMETRIES,
} from '../../kube/kinds.ts'
import {
  BACKEND_TLS_POLICIES,
  GATEWAY_CLASSES,
  GATEWAYS,
  GRPC_ROUTES,
  HTTP_ROUTES,
  REFERENCE_GRANTS,
  TCP_ROUTES,
  TLS_ROUTES,
} from '../../kube/kinds/gateway-api.ts'
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
import { STORED_KINDS } from '../../kube/schemas/stored/stored.ts'
import type { Store } from '../../kube/store.ts'
import { LABELS, OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import {
  type MeshFacts,
  NO_SECURITY,
  NO_SETTINGS,
  type MeshSettings,
  type SecurityFacts,
  type Snapshot,
} from './facts.ts'
import { FactTable } from './fact-table.ts'
import { isJudged, judgeOf, type OnVerdict } from './judge.ts'
import { readExport, readImport, readNamespace, readNode, readPeer, readPod, readService, readSlice } from './read.ts'
import { readBreakerPolicy } from './read-breaker.ts'
import { readCredentials } from './read-credentials.ts'
import { readAuthenticationPolicy, readRateLimitPolicy } from './read-own.ts'
import {
  readBackendTlsPolicy,
  readGateway,
  readGatewayClass,
  readGrpcRoute,
  readHttpRoute,
  readReferenceGrant,
  readTcpRoute,
  readTlsRoute,
} from './read-gateway-api.ts'
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
import { nobodyInstead, noTokensInstead, strictInstead } from './read-unsound.ts'
import { readKeySets } from '../issuer-keys/key-store.ts'
import { readSettings } from './read-settings.ts'
import { SecretWatch } from './secret-watch.ts'
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
  /** Istio's kinds are judged before they are read, and this is told of each. */
  readonly onVerdict?: OnVerdict
}

export interface ObjectName {
  readonly group: string
  readonly plural: string
  /** Empty for objects of the cluster. */
  readonly namespace: string
  readonly name: string
}

export interface Observed {
  /** False: no object of this kind changes what proxies run. */
  readonly isWatched: boolean
  /** Every change heard of is in the snapshot. */
  readonly isSettled: boolean
  readonly generation: number | undefined
  readonly resourceVersion: string | undefined
}

/** A kind's objects as last seen. */
interface Known extends Pick<Store<KubeObject>, 'get' | 'values'> {
  readonly apiVersion: string
  readonly kind: string
}

/** Together with the push's own 50 ms this stays under the design's 100 ms. */
const COALESCE_MS = 25

export class Observer {
  readonly #options: ObserverOptions
  readonly #reflectors: { readonly synced: Promise<void>; start(): unknown; stop(): Promise<void> }[] = []
  readonly #stores = new Map<string, Known>()
  readonly #services
  readonly #pods
  readonly #slices
  readonly #nodes
  readonly #namespaces
  readonly #exports
  readonly #imports
  readonly #peers
  readonly #breakers
  readonly #own
  readonly #networking
  readonly #gatewayApi
  readonly #peerAuthentications
  readonly #requestAuthentications
  readonly #authorizationPolicies
  readonly #telemetries
  readonly #secrets
  #settings: MeshSettings = NO_SETTINGS
  #keySets = NO_SECURITY.keySets
  #trust: ClusterTrust | undefined
  #leader = ''
  #version = 0
  #snapshot: Snapshot | undefined
  #isSynced = false
  #scheduled: Cancel | undefined

  constructor(options: ObserverOptions) {
    this.#options = options
    const { client, clock, random, log } = options
    this.#secrets = new SecretWatch({ client, clock, random, log, onChange: () => this.#changed() })
    this.#services = this.#table(SERVICES, readService)
    this.#pods = this.#table(PODS, readPod)
    this.#slices = this.#table(ENDPOINT_SLICES, readSlice)
    this.#nodes = this.#table(NODES, readNode)
    this.#namespaces = this.#table(NAMESPACES, readNamespace)
    this.#exports = this.#table(SERVICE_EXPORTS, readExport)
    this.#imports = this.#table(SERVICE_IMPORTS, readImport)
    this.#peers = this.#table(CLUSTER_PEERS, readPeer)
    this.#breakers = this.#table(CIRCUIT_BREAKER_POLICIES, readBreakerPolicy)
    this.#own = {
      rateLimits: this.#optional(RATE_LIMIT_POLICIES, readRateLimitPolicy),
      authentications: this.#optional(AUTHENTICATION_POLICIES, readAuthenticationPolicy),
      credentials: this.#table(SECRETS, readCredentials, { labelSelector: LABELS.credentials }),
    }
    this.#networking = {
      virtualServices: this.#optional(VIRTUAL_SERVICES, readVirtualService),
      destinationRules: this.#optional(DESTINATION_RULES, readDestinationRule),
      serviceEntries: this.#optional(SERVICE_ENTRIES, readServiceEntry),
      workloadEntries: this.#optional(WORKLOAD_ENTRIES, readWorkloadEntry),
      sidecars: this.#optional(SIDECARS, readSidecar),
      istioGateways: this.#optional(ISTIO_GATEWAYS, readIstioGateway),
    }
    this.#gatewayApi = {
      httpRoutes: this.#optional(HTTP_ROUTES, readHttpRoute),
      grpcRoutes: this.#optional(GRPC_ROUTES, readGrpcRoute),
      tlsRoutes: this.#optional(TLS_ROUTES, readTlsRoute),
      tcpRoutes: this.#optional(TCP_ROUTES, readTcpRoute),
      referenceGrants: this.#optional(REFERENCE_GRANTS, readReferenceGrant),
      backendTlsPolicies: this.#optional(BACKEND_TLS_POLICIES, readBackendTlsPolicy),
      gateways: this.#optional(GATEWAYS, readGateway),
      gatewayClasses: this.#optional(GATEWAY_CLASSES, readGatewayClass),
    }
    this.#peerAuthentications = this.#optional(PEER_AUTHENTICATIONS, readPeerAuthentication, strictInstead)
    this.#requestAuthentications = this.#optional(REQUEST_AUTHENTICATIONS, readRequestAuthentication, noTokensInstead)
    this.#authorizationPolicies = this.#optional(AUTHORIZATION_POLICIES, readAuthorizationPolicy, nobodyInstead)
    this.#telemetries = this.#optional(TELEMETRIES, readTelemetry)
    // Never read, so that they only get their condition.
    for (const { resource } of STORED_KINDS) this.#optional(resource, () => undefined)
    const named = (name: string): ListOptions => ({
      namespace: SYSTEM_NAMESPACE,
      fieldSelector: `metadata.name=${name}`,
    })
    this.#watch(CONFIG_MAPS, named(OBJECTS.trust)).subscribe(({ new: found }) => this.#takeTrust(found))
    this.#watch(CONFIG_MAPS, named(OBJECTS.meshSettings)).subscribe(({ new: found }) => this.#takeSettings(found))
    this.#watch(CONFIG_MAPS, named(OBJECTS.issuerKeys)).subscribe(({ new: found }) => this.#takeKeys(found))
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

  /** What is known of an object, for those who wait for a change of theirs to arrive. */
  observed({ group, plural, namespace, name }: ObjectName): Observed {
    const store = this.#stores.get(`${plural}.${group}`)
    const metadata = store?.get(name, namespace === '' ? undefined : namespace)?.metadata
    return {
      isWatched: store !== undefined,
      isSettled: this.#isSynced && this.#scheduled === undefined,
      generation: metadata?.generation,
      resourceVersion: metadata?.resourceVersion,
    }
  }

  /** Everything that is watched, as it was last seen; each with its kind, which items of built-in lists lack. */
  objects(): readonly KubeObject[] {
    return Array.from(this.#stores.values()).flatMap(({ apiVersion, kind, values }) =>
      Array.from(values(), (object) => ({ ...object, apiVersion, kind })),
    )
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
    await Promise.all([this.#secrets, ...this.#reflectors].map((watching) => watching.stop()))
  }

  #table<T extends KubeObject, F>(
    resource: Resource<T>,
    read: (object: T) => F | undefined,
    scope: ListOptions = {},
  ): FactTable<T, F> {
    const table = new FactTable<T, F>(read, () => this.#changed())
    this.#watch(resource, scope).subscribe((change) => table.apply(change))
    return table
  }

  /** Of kinds that a cluster may lack altogether. `instead`: what stands for an object that never was sound. */
  #optional<T extends KubeObject, F>(
    resource: Resource<T>,
    read: (object: T) => F | undefined,
    instead: (object: T) => F | undefined = () => undefined,
  ): FactTable<T, F> {
    const { onVerdict } = this.#options
    const isSound = onVerdict !== undefined && isJudged(resource) ? judgeOf(resource, onVerdict) : undefined
    const judge = isSound === undefined ? undefined : { isSound, instead }
    const table = new FactTable<T, F>(read, () => this.#changed(), judge)
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
    const isWhole = scope.fieldSelector === undefined && scope.labelSelector === undefined
    if (isWhole) this.#know(resource, reflector.store)
    return reflector.store
  }

  #know<T extends KubeObject>({ group, version, plural, kind }: Resource<T>, store: Store<T>): void {
    this.#stores.set(`${plural}.${group}`, {
      apiVersion: group === '' ? version : `${group}/${version}`,
      kind,
      get: (name, namespace) => store.get(name, namespace),
      values: () => store.values(),
    })
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

  /** Deleting them is a wish; a text that cannot be read is none. */
  #takeSettings(found: ConfigMap | undefined): void {
    const { log } = this.#options
    const read = readSettings(found)
    if ('problem' in read) return log.error({ problem: read.problem }, `ConfigMap ${OBJECTS.meshSettings} is not used`)
    if (isDeepStrictEqual(read.settings, this.#settings)) return
    const { unsupported } = read.settings
    if (unsupported.length > 0)
      log.warn({ unsupported }, `ConfigMap ${OBJECTS.meshSettings} has settings without effect`)
    this.#settings = read.settings
    this.#changed()
  }

  /** Deleting them costs one fetch. */
  #takeKeys(found: ConfigMap | undefined): void {
    const keySets = readKeySets(found)
    if (isDeepStrictEqual(keySets, this.#keySets)) return
    this.#keySets = keySets
    this.#changed()
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
      settings: this.#settings,
      keySets: this.#keySets,
    }
  }

  #build(): void {
    this.#scheduled = undefined
    this.#version += 1
    this.#secrets.follow(this.#pods.current)
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
      gatewayApi: {
        httpRoutes: this.#gatewayApi.httpRoutes.current,
        grpcRoutes: this.#gatewayApi.grpcRoutes.current,
        tlsRoutes: this.#gatewayApi.tlsRoutes.current,
        tcpRoutes: this.#gatewayApi.tcpRoutes.current,
        referenceGrants: this.#gatewayApi.referenceGrants.current,
        backendTlsPolicies: this.#gatewayApi.backendTlsPolicies.current,
        gateways: this.#gatewayApi.gateways.current,
        gatewayClasses: this.#gatewayApi.gatewayClasses.current,
      },
      security: this.#security(),
      own: {
        rateLimits: this.#own.rateLimits.current,
        authentications: this.#own.authentications.current,
        credentials: this.#own.credentials.current,
      },
      secrets: this.#secrets.current,
      trust: this.#trust?.validation,
      federationLeader: this.#leader,
    }
    this.#options.onSnapshot(this.#snapshot)
  }
}
