/**
 * Which replica of the control plane counts a policy of scope `cluster`: the ready one that wins a draw by hash, so that
 * every replica says the same without talking to another, policies spread over all, and only those of a replica that
 * goes away move. Each policy has a cluster of its own, whose one endpoint moves; no listener does. Pure.
 */
import { createHash } from 'node:crypto'
import {
  type Cluster,
  type Endpoint,
  type LoadAssignment,
  OWN_CERTIFICATE,
  TRUST_BUNDLE,
} from '../../../model/config.ts'
import { formatSpiffeId } from '../../../model/identity.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../../model/names.ts'
import { PORTS } from '../../../model/ports.ts'
import type { SliceFacts } from '../../observe/facts.ts'
import { ALPN_H2, CONNECT_TIMEOUT_MS } from '../clusters.ts'
import { NOWHERE } from '../tables.ts'

export const LIMITS_SERVICE = `${SYSTEM_NAMESPACE}/${SYSTEM_ACCOUNTS.controlPlane}`
/** What proxies call the server; it has one name however many replicas there are. */
export const LIMITS_AUTHORITY = 'isthmus-rate-limits'

export const limitsCluster = (policy: string): string => `isthmus-rate-limits|${policy}`

/** Addresses of the replicas that count: those that are ready, else all that are there. */
export function replicasOf(slices: readonly SliceFacts[]): readonly string[] {
  const endpoints = slices.flatMap((slice) => slice.endpoints)
  const ready = endpoints.filter(({ state }) => state === 'ready')
  return [...new Set((ready.length > 0 ? ready : endpoints).map(({ address }) => address))].sort()
}

export function ownerOf(policy: string, replicas: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDraw = ''
  for (const replica of replicas) {
    const draw = createHash('sha256').update(`${policy}\n${replica}`).digest('hex')
    if (draw > bestDraw) [best, bestDraw] = [replica, draw]
  }
  return best
}

export interface LimitsClusterInput {
  readonly replicas: readonly string[]
  readonly trustDomain: string
  /** This one's name. */
  readonly cluster: string
}

/** The same whoever counts. */
export function limitsClusterOf(policy: string, { trustDomain }: Pick<LimitsClusterInput, 'trustDomain'>): Cluster {
  return {
    name: limitsCluster(policy),
    endpoints: 'eds',
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    tls: {
      certificate: OWN_CERTIFICATE,
      validation: TRUST_BUNDLE,
      sni: LIMITS_AUTHORITY,
      alpn: [ALPN_H2],
      identities: [
        formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: SYSTEM_ACCOUNTS.controlPlane }),
      ],
    },
    // A server that does not answer costs three requests their wait, and then none for a while.
    panicPercent: 0,
    outlier: { consecutiveErrors: 3, consecutive5xx: 3, baseEjectionMs: 5_000, ejectionPercentMax: 100 },
  }
}

export function limitsEndpointsOf(policy: string, { replicas, cluster }: LimitsClusterInput): LoadAssignment {
  const owner = ownerOf(policy, replicas)
  const endpoint = (address: string): Endpoint => ({
    address,
    port: PORTS.rateLimits,
    health: 'healthy',
    weight: 1,
    transport: 'mtls',
    workload: { cluster, namespace: SYSTEM_NAMESPACE, workload: SYSTEM_ACCOUNTS.controlPlane },
  })
  return {
    cluster: limitsCluster(policy),
    localities:
      owner === undefined ? [] : [{ locality: NOWHERE, priority: 0, weight: 1, endpoints: [endpoint(owner)] }],
  }
}
