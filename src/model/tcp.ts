/**
 * TCP as plain data: who may connect, where a connection's bytes go, and for how long. Part of config.ts, which exports
 * it.
 */
import type { AccessLog } from './access-log.ts'
import type { Metadata } from './cluster.ts'
import type { TokenBucket } from './rate-limit.ts'
import type { RbacRules } from './rbac.ts'

export interface TcpProxy {
  readonly kind: 'tcp'
  readonly statPrefix: string
  /** Empty where `weighted` chooses. */
  readonly cluster: string
  /** At least one, with a total weight above 0. */
  readonly weighted?: readonly WeightedTcpCluster[]
  /** What the endpoint's metadata must have, where the cluster has subsets. */
  readonly subset?: Metadata
  /** Rings go by the client's address. */
  readonly hashSourceIp?: true
  /** Endpoints that are tried before the connection is given up. Absent: 1, as Envoy. */
  readonly connectAttemptsMax?: number
  /** Both directions silent for so long end the connection; 0: never. Absent: 1 h. */
  readonly idleMs?: number
  /** Whatever flows, no connection lives longer. Absent: no limit. */
  readonly durationMaxMs?: number
  readonly accessLogs?: readonly AccessLog[]
}

export interface WeightedTcpCluster {
  readonly name: string
  readonly weight: number
  /** Beside the proxy's own, and before it. */
  readonly subset?: Metadata
}

/** Who may connect. */
export interface ConnectionRules {
  readonly kind: 'rbac'
  readonly statPrefix: string
  readonly rules?: RbacRules
  readonly shadow?: RbacRules
}

/** What stands before a generic chain's reader, in the order connections meet it. */
export type NetworkFilter =
  | ConnectionRules
  /** At the same time, over all connections of the chain. */
  | {
      readonly kind: 'connection-limit'
      readonly statPrefix: string
      readonly connectionsMax: number
      /** How long a refused connection is held. */
      readonly delayMs?: number
    }
  | { readonly kind: 'rate-limit'; readonly statPrefix: string; readonly bucket: TokenBucket }
  /** The cluster is the one that the ClientHello names. */
  | { readonly kind: 'sni-cluster' }

/** The PROXY protocol before a listener's connections. */
export interface ProxyProtocol {
  /** Connections without a header are served too, as their own clients. */
  readonly optional?: true
  readonly disallowed?: readonly ('v1' | 'v2')[]
}

/** Protocol of a mesh connection that carries an application's bytes as they are, one connection each (wire contract). */
export const ALPN_TCP = 'isthmus-tcp'
