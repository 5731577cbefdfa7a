/** The upstream clusters of a sidecar: one per host and port, with the identities its own cluster's pods may have. */
import {
  ALPN_TCP,
  type Cluster,
  type OutlierDetection,
  OWN_CERTIFICATE,
  type ServiceBreaker,
  TRUST_BUNDLE,
} from '../../model/config.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import { innerSni } from '../../model/sni.ts'
import type { PodFacts, PortFacts, SliceFacts } from '../observe/facts.ts'
import type { Host } from './hosts.ts'
import type { PortPolicy } from './istio/destination-rules.ts'
import { withPolicy } from './istio/policy-cluster.ts'

export const CONNECT_TIMEOUT_MS = 1_000
export const ALPN_H2 = 'h2'
/** Envoy's count and time. Its 10 % cap is not: with it, ten failing pods keep nine tenths of their traffic. */
const OUTLIER: OutlierDetection = { consecutiveErrors: 5, baseEjectionMs: 30_000, ejectionPercentMax: 100 }

export interface OutboundClusterInput {
  readonly name: string
  readonly host: Host
  readonly port: PortFacts
  readonly identities: readonly string[]
  readonly breaker?: ServiceBreaker
  /** What the rules for it say. */
  readonly policy?: PortPolicy
}

export function outboundCluster({ name, host, port, identities, breaker, policy }: OutboundClusterInput): Cluster {
  const service = { service: host.name, namespace: host.namespace, domain: host.domain, port: port.port }
  const cluster: Cluster = {
    name,
    endpoints: 'eds',
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    tls: {
      certificate: OWN_CERTIFICATE,
      validation: TRUST_BUNDLE,
      sni: innerSni(service),
      // What nobody declared is offered as requests; a connection that turns out to be none brings its own protocol.
      alpn: [port.protocol === 'tcp' ? ALPN_TCP : ALPN_H2],
      identities,
    },
    outlier: OUTLIER,
    ...(breaker !== undefined && { breaker }),
  }
  return policy === undefined ? cluster : withPolicy(cluster, policy)
}

/**
 * Who may answer for a service in this cluster: the ServiceAccounts of the pods behind it, ready or not, so that
 * readiness changes no cluster.
 */
export function identitiesOf(
  slices: readonly SliceFacts[],
  pods: ReadonlyMap<string, PodFacts>,
  trustDomain: string,
): readonly string[] {
  const ids = new Set<string>()
  for (const { namespace, endpoints, imported } of slices) {
    if (imported !== undefined) continue
    for (const { pod } of endpoints) {
      const found = pod === undefined ? undefined : pods.get(`${namespace}/${pod}`)
      if (found !== undefined) ids.add(formatSpiffeId({ trustDomain, namespace, serviceAccount: found.serviceAccount }))
    }
  }
  return [...ids].sort()
}
