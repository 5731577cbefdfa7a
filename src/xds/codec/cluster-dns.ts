/** What kind of discovery a cluster has, and how its host names are resolved, to the IR and back. */
import {
  type Cluster as ClusterMessage,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_DnsLookupFamily as Family,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Cluster, DnsDiscovery } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { refuse, require, within } from './shape.ts'

const FAMILIES = {
  auto: Family.AUTO,
  v4: Family.V4_ONLY,
  v6: Family.V6_ONLY,
  'v4-preferred': Family.V4_PREFERRED,
  all: Family.ALL,
} as const satisfies Record<NonNullable<DnsDiscovery['family']>, Family>

export function discoveryType({ endpoints, dns, originalDst }: Cluster): DiscoveryType {
  if (originalDst !== undefined) return DiscoveryType.ORIGINAL_DST
  if (endpoints === 'eds') return DiscoveryType.EDS
  if (dns === undefined) return DiscoveryType.STATIC
  return dns.kind === 'strict' ? DiscoveryType.STRICT_DNS : DiscoveryType.LOGICAL_DNS
}

export function encodeDns(
  dns: DnsDiscovery,
): Partial<Pick<ClusterMessage, 'dnsRefreshRate' | 'respectDnsTtl' | 'dnsLookupFamily'>> {
  return {
    ...(dns.refreshMs !== undefined && { dnsRefreshRate: encodeDuration(dns.refreshMs) }),
    ...(dns.respectTtl === true && { respectDnsTtl: true }),
    ...(dns.family !== undefined && { dnsLookupFamily: FAMILIES[dns.family] }),
  }
}

export function decodeDns(path: string, message: ClusterMessage): Pick<Cluster, 'dns'> {
  const { clusterDiscoveryType: discovery, dnsRefreshRate, respectDnsTtl, dnsLookupFamily } = message
  const type = discovery.case === 'type' ? discovery.value : undefined
  if (type !== DiscoveryType.STRICT_DNS && type !== DiscoveryType.LOGICAL_DNS) {
    require(within(path, 'dns_refresh_rate'), dnsRefreshRate === undefined, 'is supported with DNS only')
    require(within(path, 'respect_dns_ttl'), !respectDnsTtl, 'is supported with DNS only')
    require(within(path, 'dns_lookup_family'), dnsLookupFamily === Family.AUTO, 'is supported with DNS only')
    return {}
  }
  const isLogical = type === DiscoveryType.LOGICAL_DNS
  const count = message.loadAssignment?.endpoints.reduce((sum, { lbEndpoints }) => sum + lbEndpoints.length, 0)
  require(within(path, 'load_assignment'), !isLogical || count === 1, 'must have one endpoint with LOGICAL_DNS')
  const refreshPath = within(path, 'dns_refresh_rate')
  const refreshMs = dnsRefreshRate && decodeDuration(refreshPath, dnsRefreshRate)
  require(refreshPath, refreshMs === undefined || refreshMs >= 50, 'must be at least 50 ms')
  const names = Object.keys(FAMILIES) as (keyof typeof FAMILIES)[]
  const family = names.find((name) => FAMILIES[name] === dnsLookupFamily)
  if (family === undefined) return refuse(within(path, 'dns_lookup_family'), 'is unknown')
  return {
    dns: {
      kind: isLogical ? 'logical' : 'strict',
      ...(refreshMs !== undefined && { refreshMs }),
      ...(respectDnsTtl && { respectTtl: true as const }),
      ...(family !== 'auto' && { family }),
    },
  }
}
