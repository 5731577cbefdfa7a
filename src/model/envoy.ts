/**
 * What an Envoy in the place of our proxy is told beside the model that both run: our proxy finds these things out by
 * itself, Envoy has settings for them. Only encoded, never decoded: our proxy refuses such resources by their paths.
 * Part of config.ts, which exports it.
 */

/** Where Envoy gets the mesh's own certificate and bundle: from the agent beside it, by this cluster of its bootstrap. */
export const AGENT_SECRETS_CLUSTER = 'sds-grpc'

/** Of a listener inside the process. `tunnel`: CONNECT over `cluster`. `bridge`: requests over HTTP/2 in, HTTP/1.1 out. */
export interface InternalListener {
  readonly kind: 'tunnel' | 'bridge'
  readonly cluster: string
}

/** Of an endpoint behind one of those; `id` tells apart what is behind the same listener. */
export interface InternalAddress {
  readonly listener: string
  readonly id: string
}

/** Of a cluster whose endpoints are not all reached in one way. */
export interface EnvoyCluster {
  /** Endpoints without a sidecar are behind the bridge: the cluster's own connections speak HTTP/2. */
  readonly bridged?: true
  /** By the cluster behind the tunnel: the name and the identities of the inner handshake. */
  readonly tunnels: readonly EnvoyTunnel[]
}

export interface EnvoyTunnel {
  readonly cluster: string
  readonly sni: string
  readonly identities: readonly string[]
}
