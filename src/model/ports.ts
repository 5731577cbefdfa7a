/**
 * Every port the mesh uses, named once. Numbers follow Istio's where it has one, so that network policies and
 * habits carry over; docs/reference/ports.md is checked against this table.
 */
export const PORTS = {
  /** Proxy admin, loopback only. */
  admin: 15000,
  /** Captured outbound connections; the kernel leads them here. */
  outbound: 15001,
  /** Explicit HTTP forward proxy for the applications of the same pod. */
  httpProxy: 15003,
  /** Captured inbound plaintext; the kernel leads it here. */
  inbound: 15006,
  /** Inbound mesh mTLS, told apart by SNI. */
  inboundMesh: 15008,
  /** xDS without TLS, loopback only, off by default. */
  xdsPlain: 15010,
  /** xDS and certificate signing over TLS. */
  xds: 15012,
  /** Metrics of control plane and federation. */
  controlMetrics: 15014,
  /** Admission webhooks. */
  webhook: 15017,
  /** Proxy metrics. */
  metrics: 15020,
  /** Readiness of every role. */
  readiness: 15021,
  /** Federation peer stream (gRPC over mTLS); reached only through a gateway's SNI splice. */
  federationPeer: 15022,
  /** Join requests; reached only through a gateway's SNI splice. */
  federationJoin: 15023,
  /** Rate limits of scope `cluster` (gRPC over mTLS), at the control plane. */
  rateLimits: 15024,
  /** DNS. */
  dns: 15053,
  /** East-west gateway. */
  eastWest: 15443,
} as const
