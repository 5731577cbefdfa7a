/**
 * Clusters and endpoints: where requests go, how one of many endpoints is chosen, and when one is left alone. Part of
 * config.ts, which says what holds for all of it.
 */
import type { EnvoyCluster, InternalAddress } from './envoy.ts'
import type { Locality } from './locality.ts'
import type { ClientTls } from './tls.ts'

export interface Cluster {
  readonly name: string
  /** Inline endpoints, or `eds`: a LoadAssignment of the same name. */
  readonly endpoints: 'eds' | LoadAssignment
  /** Instead of endpoints: where each connection or request wanted to go. */
  readonly originalDst?: OriginalDst
  /** Host names among inline endpoints are resolved; without it they are dialled as they stand. */
  readonly dns?: DnsDiscovery
  readonly lb: LbPolicy
  readonly leastRequest?: LeastRequest
  readonly ringHash?: RingHash
  readonly maglev?: Maglev
  /** With round robin and least request. */
  readonly slowStart?: SlowStart
  /** Below this share of healthy endpoints all are used; 0 never. Absent: 50. */
  readonly panicPercent?: number
  /** `false`: weights of localities count nothing. */
  readonly localityWeighted?: false
  readonly subsets?: Subsets
  readonly connectTimeoutMs: number
  /** Envoy's transport socket matches: an endpoint's `transport` picks one. */
  readonly tls?: UpstreamTls
  /** Outside the mesh: how every endpoint without a transport of the mesh is dialled. Absent: in plaintext. */
  readonly clientTls?: ClientTls
  /** Absent: `http1`; endpoints of the mesh always speak HTTP/2. */
  readonly protocol?: UpstreamProtocol
  /** Of TCP connections: who the client is, told before the connection's own bytes and before TLS. */
  readonly proxyHeader?: 'v1' | 'v2'
  readonly outlier?: OutlierDetection
  readonly healthCheck?: HealthCheck
  readonly circuitBreakers?: CircuitBreakers
  readonly breaker?: ServiceBreaker
  readonly connections?: ConnectionSettings
  /** For Envoy only. */
  readonly envoy?: EnvoyCluster
}

export interface OriginalDst {
  /** Requests name it in this header; it wins over the connection's own. */
  readonly header?: string
  readonly portOverride?: number
  /** For Envoy only: metadata of the request's connection says it, as `address` in this namespace. */
  readonly metadata?: string
}

/** Every endpoint is asked in turn; it is taken for ill until its first good answer. */
export interface HealthCheck {
  readonly timeoutMs: number
  readonly intervalMs: number
  readonly initialJitterMs?: number
  readonly intervalJitterMs?: number
  readonly intervalJitterPercent?: number
  /** Without an answer; an answer that says no counts at once. */
  readonly unhealthyThreshold: number
  readonly healthyThreshold: number
  /** Until the cluster has its first request. Absent: 60 s. */
  readonly noTrafficIntervalMs?: number
  readonly noTrafficHealthyIntervalMs?: number
  /** While ill, and right after a change. Absent: the usual interval. */
  readonly unhealthyIntervalMs?: number
  readonly unhealthyEdgeIntervalMs?: number
  readonly healthyEdgeIntervalMs?: number
  readonly check: HttpCheck | { readonly kind: 'tcp' } | GrpcCheck
}

export interface HttpCheck {
  readonly kind: 'http'
  readonly path: string
  /** Absent: the cluster's name. */
  readonly host?: string
  readonly method?: 'GET' | 'HEAD' | 'OPTIONS'
  /** `from` is in it, `to` is not. Absent: 200 only. */
  readonly expected?: readonly { readonly from: number; readonly to: number }[]
  /** Count towards the threshold instead of at once. */
  readonly retriable?: readonly { readonly from: number; readonly to: number }[]
}

/** grpc.health.v1; needs HTTP/2. */
export interface GrpcCheck {
  readonly kind: 'grpc'
  readonly service?: string
  readonly authority?: string
}

/** What one proxy may have under way to the cluster; what goes beyond is refused with flag UO. */
export interface CircuitBreakers {
  /** Absent: 10,000 requests, 1,024 waiting, and a fifth of the last ten seconds' requests as retries. */
  readonly default?: Thresholds
  /** For routes of high priority. */
  readonly high?: Thresholds
  /** Connections per endpoint. */
  readonly hostConnectionsMax?: number
}

/** Absent fields are Envoy's defaults: 1,024, for retries 3. */
export interface Thresholds {
  /** An endpoint without any connection gets one all the same. */
  readonly connectionsMax?: number
  /** Requests that wait for a connection. */
  readonly pendingMax?: number
  readonly requestsMax?: number
  /** At the same time; `retryBudget` replaces it. */
  readonly retriesMax?: number
  /** Of the requests under way; absent: 20 % and 3. */
  readonly retryBudget?: { readonly percent?: number; readonly concurrencyMin?: number }
}

/**
 * Cuts a failing service off from one caller: opens when too large a share of the requests of a rolling window failed
 * or was slow, lets one probe through after a while, and then 10 to 100 % of the requests. Shares are percent.
 */
export interface ServiceBreaker {
  readonly windowMs: number
  /** With fewer requests in the window nothing is judged. */
  readonly requestsMin: number
  /** Of answers of 500 and above, gRPC's equals of those, and requests without an answer. Absent: not watched. */
  readonly failurePercent?: number
  /** Answers that begin later than `afterMs` after the complete request. */
  readonly slow?: { readonly afterMs: number; readonly percent: number }
  readonly openMs: number
  /** 0: everything at once. */
  readonly rampMs: number
  /** Absent: 503 with Retry-After. */
  readonly fallback?: BreakerFallback
}

export interface BreakerFallback {
  readonly status: number
  readonly body: string
  /** Names in lower case, each followed by its value. */
  readonly headers: readonly string[]
}

/** `auto`: what ALPN agrees on. `downstream`: what the client spoke. */
export type UpstreamProtocol = 'http1' | 'http2' | 'auto' | 'downstream'

/** Absent fields: as suits the transport. */
export interface ConnectionSettings {
  /** Without a request for so long a connection closes; 0: never. */
  readonly idleMs?: number
  /** After this a connection takes nothing new. */
  readonly durationMaxMs?: number
  readonly requestsMax?: number
  /** HTTP/1.1: trailers pass. Absent: as the role has it. */
  readonly http1Trailers?: true
  /** HTTP/2: requests at a time on one connection. */
  readonly streamsMax?: number
  /** HTTP/2: PING after this long a silence, and how long its answer may take. */
  readonly keepAlive?: { readonly intervalMs: number; readonly timeoutMs: number }
}

export interface DnsDiscovery {
  /** `strict`: every address is an endpoint. `logical`: the name is one endpoint, at one of its addresses. */
  readonly kind: 'strict' | 'logical'
  /** Absent: 5 s. */
  readonly refreshMs?: number
  /** Asked again when an answer ends, between 1 s and 300 s. */
  readonly respectTtl?: true
  /** `auto`: IPv6 if there is any. Absent: `auto`. */
  readonly family?: 'auto' | 'v4' | 'v6' | 'v4-preferred' | 'all'
}

export type LbPolicy = 'least-request' | 'round-robin' | 'random' | 'ring-hash' | 'maglev'

export interface LeastRequest {
  /** At least 2. */
  readonly choiceCount?: number
  /** How much requests under way weigh where weights differ; absent: 1. */
  readonly activeRequestBias?: number
}

export interface RingHash {
  readonly sizeMin?: number
  readonly sizeMax?: number
}

export interface Maglev {
  /** A prime. */
  readonly tableSize: number
}

/** An endpoint that is new, or healthy again, begins with a part of its weight. */
export interface SlowStart {
  readonly windowMs: number
  /** Above 1: quicker at first. Absent: 1, a straight line. */
  readonly aggression?: number
  /** Absent: 10. */
  readonly weightPercentMin?: number
}

/** What metadata may hold, as JSON. */
export type MetadataValue = string | number | boolean | null | readonly MetadataValue[] | Metadata
export interface Metadata {
  readonly [key: string]: MetadataValue
}

/** Endpoints grouped by their metadata; a request names the values that its endpoint must have. */
export interface Subsets {
  readonly selectors: readonly SubsetSelector[]
  /** Where nothing matches, or the request names nothing. */
  readonly fallback: 'none' | 'any' | 'default'
  /** The values that an endpoint of the default subset has. */
  readonly defaultSubset?: Metadata
  /** Localities' weights count within a subset too. */
  readonly localityWeightAware?: true
  /** Of a list in an endpoint's metadata any item may match. */
  readonly listAsAny?: true
}

export interface SubsetSelector {
  readonly keys: readonly string[]
  /** Absent: the one of all subsets. `keys`: look again with `fallbackKeys` only. */
  readonly fallback?: 'none' | 'any' | 'default' | 'keys'
  readonly fallbackKeys?: readonly string[]
}

export interface UpstreamTls {
  readonly certificate: string
  readonly validation: string
  readonly sni: string
  readonly alpn: readonly string[]
  /** Exact SPIFFE ids the service's own cluster published; tunnels carry their own list. */
  readonly identities: readonly string[]
  /** For Envoy only: its agent has what is named here. */
  readonly secrets?: 'agent'
}

/** Endpoints that fail are left alone for a while. An attempt without an answer counts as 503, unless split off. */
export interface OutlierDetection {
  /** Gateway errors (502 to 504) in a row; 0: not watched. */
  readonly consecutiveErrors: number
  /** Any 5xx in a row; absent: not watched. */
  readonly consecutive5xx?: number
  /** Attempts without an answer in a row, which then count nowhere else; absent: not split off. */
  readonly consecutiveLocalOrigin?: number
  /** Percent of the cases above in which an endpoint is ejected; absent: 100. */
  readonly enforcing?: { readonly errors?: number; readonly fives?: number; readonly localOrigin?: number }
  readonly successRate?: SuccessRate
  readonly failurePercentage?: FailurePercentage
  /** How often rates are judged and ejections end. Absent: 10 s. */
  readonly intervalMs?: number
  /** Times the number of ejections in a row. */
  readonly baseEjectionMs: number
  /** Absent: 300 s, or the base if that is longer. */
  readonly ejectionMsMax?: number
  readonly ejectionJitterMs?: number
  readonly ejectionPercentMax: number
  /** One endpoint may be ejected whatever the percentage. */
  readonly alwaysEjectOne?: true
}

/** Ejects whose success rate is far below the others'. */
export interface SuccessRate {
  /** Endpoints with enough requests; absent: 5. */
  readonly hostsMin?: number
  /** Requests in an interval; absent: 100. */
  readonly volumeMin?: number
  /** Thousandths of a standard deviation; absent: 1,900. */
  readonly stdevFactor?: number
  /** Percent; absent: 100. */
  readonly enforcing?: number
  readonly enforcingLocalOrigin?: number
}

/** Ejects whose share of failures is at the threshold or above. */
export interface FailurePercentage {
  /** Absent: 85. */
  readonly threshold?: number
  /** Absent: 5. */
  readonly hostsMin?: number
  /** Absent: 50. */
  readonly volumeMin?: number
  /** Percent; absent: 0. */
  readonly enforcing?: number
  readonly enforcingLocalOrigin?: number
}

export interface LoadAssignment {
  readonly cluster: string
  /** A priority is whole as long as 100 / this of it is healthy. Absent: 140. */
  readonly overprovisioningPercent?: number
  readonly localities: readonly LocalityEndpoints[]
  /**
   * For Envoy only: which state of the cluster it is for. An Envoy whose cluster changed waits for endpoints anew, and
   * takes those it has only after 15 s: so they are news whenever the cluster is.
   */
  readonly clusterState?: string
}

export interface LocalityEndpoints {
  readonly locality: Locality
  /** 0 is tried first; spill follows Envoy's overprovisioning of 1.4. */
  readonly priority: number
  readonly weight: number
  readonly endpoints: readonly Endpoint[]
}

export interface Endpoint {
  readonly address: string
  readonly port: number
  /** What its host is called, for routes that write it into requests. Of a resolved endpoint: the name, unless said otherwise. */
  readonly hostname?: string
  readonly health: 'healthy' | 'unhealthy' | 'draining'
  readonly weight: number
  /** `mtls`: direct to the pod's 15008. `tunnel`: nested through a gateway. `plain`: no sidecar there. */
  readonly transport: 'mtls' | 'tunnel' | 'plain'
  readonly workload: WorkloadFacts
  /** What subsets go by (`envoy.lb`); `hash_key` stands for the address where requests are placed by hash. */
  readonly metadata?: Metadata
  /** Opaque id for `isthmus-endpoint` and `isthmus-avoid`; set where a gateway picks. */
  readonly id?: string
  readonly tunnel?: Tunnel
  /** For Envoy only: dialled inside the process. */
  readonly internal?: InternalAddress
}

export interface WorkloadFacts {
  readonly cluster: string
  readonly namespace: string
  readonly workload: string
}

export interface Tunnel {
  /** CONNECT `:authority`, and the server name's service part. */
  readonly authority: string
  readonly cluster: string
  readonly trustDomain: string
  /** Server name of the gateway (outer handshake). */
  readonly gatewaySni: string
  /** The one identity the gateway may have. */
  readonly gatewayIdentity: string
  /** Inner handshake: server name and the identities the exporting cluster published. */
  readonly innerSni: string
  readonly identities: readonly string[]
  /** Ready endpoints behind the gateway: the caller keeps at most this many tunnels. */
  readonly endpoints: number
}
