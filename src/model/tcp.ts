/**
 * TCP as plain data: where a connection's bytes go, and for how long. Part of config.ts, which exports it; what may
 * stand before the bytes flow (network filters) belongs to the chain.
 */

import type { AccessLog } from './access-log.ts'

export interface TcpProxy {
  readonly kind: 'tcp'
  readonly statPrefix: string
  readonly cluster: string
  /** Endpoints that are tried before the connection is given up. Absent: 1, as Envoy. */
  readonly connectAttemptsMax?: number
  /** Both directions silent for so long end the connection; 0: never. Absent: 1 h. */
  readonly idleMs?: number
  /** Whatever flows, no connection lives longer. Absent: no limit. */
  readonly durationMaxMs?: number
  readonly accessLogs?: readonly AccessLog[]
}

/** Protocol of a mesh connection that carries an application's bytes as they are, one connection each (wire contract). */
export const ALPN_TCP = 'isthmus-tcp'
