/** The upstream clusters of a sidecar: one per host and port, with the identities its own cluster's pods may have. */
import {
  ALPN_TCP,
  type Cluster,
  type OutlierDetection,
  OWN_CERTIFICATE,
  type ServiceBreaker,
  TRUST_BUNDLE,
  type UpstreamTls,
} from '../../model/config.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import { innerSni, innerSniOfHost } from '../../model/sni.ts'
import type { PodFacts, PortFacts, SliceFacts } from '../observe/facts.ts'
import { BY_ADDRESS, hasPods } from './headless.ts'
import type { Host } from './hosts.ts'
import { withTls } from './istio/client-tls.ts'
import type { PortPolicy } from './istio/destination-rules.ts'
import { entryCluster } from './istio/entry-cluster.ts'
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
  /** This one's name, and its identities' domain. */
  readonly cluster: string
  readonly trustDomain: string
  readonly breaker?: ServiceBreaker
  /** What the rules for it say. */
  readonly policy?: PortPolicy
}

export function outboundCluster(input: OutboundClusterInput): Cluster {
  const { name, host, port, breaker, policy, cluster: own } = input
  const { entry } = host
  const meshTls = meshTlsOf(input)
  const base =
    entry === undefined
      ? ({ name, endpoints: 'eds', lb: 'least-request', connectTimeoutMs: CONNECT_TIMEOUT_MS, tls: meshTls } as const)
      : entryCluster({ name, host, entry, port, meshTls, cluster: own })
  const cluster: Cluster = {
    ...base,
    ...(base.originalDst === undefined && { outlier: OUTLIER }),
    ...(hasPods(host) && { subsets: BY_ADDRESS }),
    ...(breaker !== undefined && { breaker }),
  }
  return policy === undefined
    ? cluster
    : withTls(withPolicy(cluster, policy), policy, {
        host: host.host,
        port,
        names: entry?.names ?? [],
        trustDomain: input.trustDomain,
      })
}

function meshTlsOf({ host, port, identities }: OutboundClusterInput): UpstreamTls {
  const { name: service, namespace, domain } = host
  return {
    certificate: OWN_CERTIFICATE,
    validation: TRUST_BUNDLE,
    sni:
      host.isEntry === true
        ? innerSniOfHost(host.host, port.port)
        : innerSni({ service, namespace, domain, port: port.port }),
    // What nobody declared is offered as requests; a connection that turns out to be none brings its own protocol.
    alpn: [port.protocol === 'tcp' ? ALPN_TCP : ALPN_H2],
    identities,
  }
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
