/**
 * What the control plane knows, as plain data: one compact record per Kubernetes object, holding only what translate
 * reads. So a pod's status ticking, a Lease's renewal or a managed field changes nothing here and pushes nothing.
 */
import type { ServiceBreaker, ValidationContext } from '../../model/config.ts'
import type { Locality } from '../../model/locality.ts'
import type { ImportedFacts } from '../../model/service.ts'
import type { GatewayApiFacts } from './facts-gateway-api.ts'
import type { NetworkingFacts } from './facts-networking.ts'
import type { OwnFacts } from './facts-own.ts'
import type { SecretFacts } from './facts-secrets.ts'
import type { SecurityFacts } from './facts-security.ts'

export * from './facts-gateway-api.ts'
export * from './facts-networking.ts'
export * from './facts-secrets.ts'
export * from './facts-security.ts'

export interface MeshFacts {
  readonly mesh: string
  readonly cluster: string
  readonly trustDomain: string
  /** Zone of local names: `cluster.local`. */
  readonly domain: string
}

export interface PortFacts {
  readonly name: string
  readonly port: number
  /** A number, or the name of a container port. Imports have none. */
  readonly targetPort?: number | string
  /** Declared by `appProtocol` or the port's name. Absent: nobody said. */
  readonly protocol?: 'http' | 'tcp'
  /** Declared as HTTP/2, gRPC too: endpoints outside the mesh are spoken to so. */
  readonly isHttp2?: true
  /** Declared as gRPC-Web: what browsers send becomes gRPC before the application. */
  readonly isGrpcWeb?: true
  /** Declared as TLS of the application's own: the server name tells connections apart. */
  readonly isTls?: true
}

export interface ServiceFacts {
  readonly namespace: string
  readonly name: string
  /** TCP ports only. */
  readonly ports: readonly PortFacts[]
  /** Absent: none. */
  readonly datagrams?: readonly DatagramPort[]
  /** Absent: endpoints are written by someone else. */
  readonly selector?: Readonly<Record<string, string>>
  /** False: the local name never spills to peers. */
  readonly localFailover: boolean
  /** Empty for headless services. */
  readonly addresses: readonly string[]
  /** Without an address on purpose: clients choose among its pods. */
  readonly isHeadless?: true
  /** Of a ServiceEntry with pods in the mesh: how it is called. Absent: by its own name. */
  readonly host?: string
  /** It is only another name for this one. */
  readonly externalName?: string
  /** Namespaces that see it: `.` its own, `*` all. Absent: all. */
  readonly exportTo?: readonly string[]
}

export interface PodFacts {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Empty until the pod has one. */
  readonly ip: string
  /** Beside an IPv4 address. */
  readonly ipv6?: string
  readonly serviceAccount: string
  readonly node: string
  readonly workload: string
  readonly hasSidecar: boolean
  /** The kernel leads its connections through the sidecar. */
  readonly captured: boolean
  /** Its proxy answers its DNS questions. */
  readonly answersNames?: true
  readonly ready: boolean
  readonly labels: Readonly<Record<string, string>>
  /** It serves Gateways, and takes callers of the mesh as a sidecar does. */
  readonly gateway?: GatewayRole
  /** What stands in front of it. Absent: nobody. */
  readonly topology?: GatewayTopology
  /** Named container ports. */
  readonly ports: Readonly<Record<string, number>>
}

export type GatewayRole = 'ingress' | 'egress'

export interface GatewayTopology {
  readonly trustedProxies: number
  /** Absent: what a client brings is removed, its own certificate is told. */
  readonly clientCertificate?: 'remove' | 'forward' | 'append' | 'always'
}

export interface SliceEndpointFacts {
  readonly address: string
  /** As a headless service's pods are named. */
  readonly hostname?: string
  /** Absent where no pod stands behind the address. */
  readonly pod?: string
  readonly node: string
  readonly zone: string
  readonly state: 'ready' | 'draining' | 'not-ready'
}

export interface SliceFacts {
  readonly namespace: string
  readonly service: string
  /** By port name; the port that the endpoints listen on. */
  readonly ports: Readonly<Record<string, number>>
  readonly endpoints: readonly SliceEndpointFacts[]
  /** On slices that federation wrote: one source cluster and zone. */
  readonly imported?: ImportedFacts
}

export interface ExportFacts {
  readonly namespace: string
  readonly name: string
  /** Absent: the namespace's default, and without that all peers. */
  readonly exportTo?: readonly string[]
}

export interface NamespaceFacts {
  readonly exportTo?: readonly string[]
  /** For listeners of Gateways that choose namespaces by them. */
  readonly labels?: Readonly<Record<string, string>>
}

export interface ImportFacts {
  readonly namespace: string
  readonly name: string
  readonly ports: readonly PortFacts[]
  /** Absent: none. */
  readonly datagrams?: readonly DatagramPort[]
  /** Virtual ones of this cluster; empty for headless imports. */
  readonly addresses: readonly string[]
}

export interface PeerFacts {
  readonly cluster: string
  readonly trustDomain: string
  /** Namespaces of the peer that count as ours where policies name no trust domain; `*`: all of them. Absent: none. */
  readonly sameNamespaces?: readonly string[]
  readonly gateways: readonly { readonly host: string; readonly port: number }[]
  /** Probes and proxies agree that no data gets through. */
  readonly dataLost: boolean
}

/** A port that this mesh does not carry, and names all the same. */
export interface DatagramPort {
  readonly name: string
  readonly port: number
}

/** A CircuitBreakerPolicy. */
export interface BreakerPolicyFacts {
  readonly namespace: string
  readonly name: string
  /** The older of two policies for one target wins; equal times: the name that sorts first. */
  readonly createdAt: string
  readonly generation: number | undefined
  readonly targets: readonly BreakerTarget[]
  /** What is wrong with it, where its fields fit the schema and not each other. */
  readonly breaker: ServiceBreaker | { readonly problem: string }
}

export interface BreakerTarget {
  readonly kind: 'Service' | 'ServiceImport'
  readonly name: string
  /** Absent: every port. */
  readonly port?: number
}

/** Everything at one moment; a table keeps its identity while nothing in it changed. */
export interface Snapshot {
  readonly version: number
  readonly mesh: MeshFacts
  readonly services: ReadonlyMap<string, ServiceFacts>
  readonly pods: ReadonlyMap<string, PodFacts>
  readonly slices: ReadonlyMap<string, SliceFacts>
  readonly nodes: ReadonlyMap<string, Locality>
  readonly namespaces: ReadonlyMap<string, NamespaceFacts>
  readonly exports: ReadonlyMap<string, ExportFacts>
  readonly imports: ReadonlyMap<string, ImportFacts>
  readonly peers: ReadonlyMap<string, PeerFacts>
  readonly breakers: ReadonlyMap<string, BreakerPolicyFacts>
  /** Its tables keep their identity, it does not. */
  readonly networking: NetworkingFacts
  /** Likewise. */
  readonly gatewayApi: GatewayApiFacts
  readonly security: SecurityFacts
  /** Absent: there are none. Its tables keep their identity. */
  readonly own?: OwnFacts
  /** For gateways. Absent: of none anything is known. */
  readonly secrets?: SecretFacts
  /** Absent until federation has brought this cluster into the mesh. */
  readonly trust: ValidationContext | undefined
  /** Pod name of the federation leader; empty while there is none. */
  readonly federationLeader: string
}

export const keyOf = (object: { readonly namespace: string; readonly name: string }): string =>
  `${object.namespace}/${object.name}`
