/**
 * A snapshot from a list of Kubernetes objects, by the same readers as the observer's: for golden pairs and tests of
 * translate. Never used by the product, which gets its objects from reflectors.
 */
import type { Lease } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import { keyOfObject } from '../../kube/store.ts'
import { LABELS, OBJECTS } from '../../model/names.ts'
import { TRUST_BUNDLE } from '../../model/config.ts'
import { readKeySets } from '../issuer-keys/key-store.ts'
import { type MeshFacts, type MeshSettings, type Snapshot } from '../observe/facts.ts'
import {
  readExport,
  readImport,
  readNamespace,
  readNode,
  readPeer,
  readPod,
  readService,
  readSlice,
} from '../observe/read.ts'
import { readTlsSecret } from '../observe/read-secret.ts'
import { readSettings } from '../observe/read-settings.ts'
import { readCredentials } from '../observe/read-credentials.ts'
import { readAuthenticationPolicy, readRateLimitPolicy } from '../observe/read-own.ts'
import { readBreakerPolicy } from '../observe/read-breaker.ts'
import {
  readBackendTlsPolicy,
  readGateway,
  readGatewayClass,
  readGrpcRoute,
  readHttpRoute,
  readReferenceGrant,
  readTcpRoute,
  readTlsRoute,
} from '../observe/read-gateway-api.ts'
import {
  readDestinationRule,
  readIstioGateway,
  readServiceEntry,
  readSidecar,
  readVirtualService,
  readWorkloadEntry,
} from '../observe/read-networking.ts'
import {
  readAuthorizationPolicy,
  readPeerAuthentication,
  readRequestAuthentication,
  readTelemetry,
} from '../observe/read-security.ts'

export interface SnapshotInput {
  readonly mesh: MeshFacts
  readonly objects: readonly KubeObject[]
  /** Absent: the cluster has not joined a mesh. */
  readonly roots?: Readonly<Record<string, readonly string[]>>
}

const KINDS: ReadonlySet<string> = new Set([
  'Service',
  'Pod',
  'EndpointSlice',
  'Node',
  'Namespace',
  'ServiceExport',
  'ServiceImport',
  'ClusterPeer',
  'CircuitBreakerPolicy',
  'RateLimitPolicy',
  'AuthenticationPolicy',
  'Secret',
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'Telemetry',
  'ConfigMap',
  'Lease',
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'Secret',
  'ServiceEntry',
  'WorkloadEntry',
  'Sidecar',
  'HTTPRoute',
  'GRPCRoute',
  'TLSRoute',
  'TCPRoute',
  'ReferenceGrant',
  'BackendTLSPolicy',
  'GatewayClass',
])

/** Throws on a kind that the control plane does not watch: a typo in a case must not pass silently. */
export function snapshotOf({ mesh, objects, roots }: SnapshotInput): Snapshot {
  for (const { kind } of objects) if (!KINDS.has(kind)) throw new Error(`${kind} is not watched`)
  // Istio has a kind Gateway too.
  const table = <F>(kind: string, read: (object: never) => F | undefined, group = ''): ReadonlyMap<string, F> => {
    const rows = new Map<string, F>()
    for (const object of objects) {
      const isOne = object.kind === kind && (group === '' || object.apiVersion.startsWith(group))
      const fact = isOne ? read(object as never) : undefined
      if (fact !== undefined) rows.set(keyOfObject(object), fact)
    }
    return rows
  }
  const lease = objects.find((object): object is Lease => object.kind === 'Lease')
  return {
    version: 1,
    mesh,
    services: table('Service', readService),
    pods: table('Pod', readPod),
    slices: table('EndpointSlice', readSlice),
    nodes: table('Node', readNode),
    namespaces: table('Namespace', readNamespace),
    exports: table('ServiceExport', readExport),
    imports: table('ServiceImport', readImport),
    peers: table('ClusterPeer', readPeer),
    breakers: table('CircuitBreakerPolicy', readBreakerPolicy),
    networking: {
      virtualServices: table('VirtualService', strictly(readVirtualService)),
      destinationRules: table('DestinationRule', strictly(readDestinationRule)),
      serviceEntries: table('ServiceEntry', strictly(readServiceEntry)),
      workloadEntries: table('WorkloadEntry', strictly(readWorkloadEntry)),
      sidecars: table('Sidecar', strictly(readSidecar)),
      istioGateways: table('Gateway', strictly(readIstioGateway), 'networking.istio.io'),
    },
    gatewayApi: {
      httpRoutes: table('HTTPRoute', strictly(readHttpRoute)),
      grpcRoutes: table('GRPCRoute', strictly(readGrpcRoute)),
      tlsRoutes: table('TLSRoute', strictly(readTlsRoute)),
      tcpRoutes: table('TCPRoute', strictly(readTcpRoute)),
      referenceGrants: table('ReferenceGrant', strictly(readReferenceGrant)),
      backendTlsPolicies: table('BackendTLSPolicy', strictly(readBackendTlsPolicy)),
      gateways: table('Gateway', strictly(readGateway), 'gateway.networking.k8s.io'),
      gatewayClasses: table('GatewayClass', strictly(readGatewayClass)),
    },
    security: {
      peerAuthentications: table('PeerAuthentication', readPeerAuthentication),
      requestAuthentications: table('RequestAuthentication', readRequestAuthentication),
      authorizationPolicies: table('AuthorizationPolicy', readAuthorizationPolicy),
      telemetries: table('Telemetry', readTelemetry),
      settings: settingsOf(objects),
      keySets: readKeySets(
        objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === OBJECTS.issuerKeys),
      ),
    },
    own: {
      rateLimits: table('RateLimitPolicy', readRateLimitPolicy),
      authentications: table('AuthenticationPolicy', readAuthenticationPolicy),
      credentials: table('Secret', labelled(readCredentials)),
    },
    secrets: {
      byName: table('Secret', readTlsSecret),
      namespaces: new Map(objects.map(({ metadata }) => [metadata.namespace ?? '', 'listed'])),
    },
    trust: roots === undefined ? undefined : { name: TRUST_BUNDLE, roots, revokedTrustDomains: [], revokedIssuers: [] },
    federationLeader: lease?.spec?.holderIdentity ?? '',
  }
}

/** As the observer asks for them. */
function labelled<T extends KubeObject, F>(read: (object: T) => F | undefined): (object: T) => F | undefined {
  return (object) => (object.metadata.labels?.[LABELS.credentials] === undefined ? undefined : read(object))
}

/** What does not fit its schema is a mistake of the case. */
function strictly<T extends KubeObject, F>(read: (object: T) => F | undefined): (object: T) => F {
  return (object) => {
    const fact = read(object)
    if (fact === undefined) throw new Error(`${object.kind ?? ''} ${object.metadata.name ?? ''} is not valid`)
    return fact
  }
}

/** ConfigMap `isthmus`; what of it has no effect is an error here, lest a case lie. */
function settingsOf(objects: readonly KubeObject[]): MeshSettings {
  const found = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === OBJECTS.meshSettings)
  const read = readSettings(found)
  if ('problem' in read) throw new Error(read.problem)
  if (read.settings.unsupported.length > 0) throw new Error(read.settings.unsupported.join('; '))
  return read.settings
}
