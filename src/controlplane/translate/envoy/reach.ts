/**
 * How the endpoints of a cluster are reached, all of them together: what decides what the cluster's connections speak.
 * Readiness and weights are no part of it, so that a cluster does not change with its pods' health. Pure.
 */
import type { Cluster, EnvoyTunnel, LoadAssignment, Tunnel } from '../../../model/config.ts'

export interface Gateway {
  readonly address: string
  readonly port: number
}

/** Of one cluster of the mesh, as its endpoints' tunnels say. */
export interface TunnelReach {
  readonly tunnel: Tunnel
  readonly gateways: readonly Gateway[]
}

export interface Reach {
  readonly hasMtls: boolean
  readonly hasPlain: boolean
  readonly tunnels: readonly TunnelReach[]
}

export function reachOf({ localities }: LoadAssignment): Reach {
  let [hasMtls, hasPlain] = [false, false]
  const tunnels = new Map<string, { tunnel: Tunnel; gateways: Map<string, Gateway> }>()
  for (const { endpoints } of localities) {
    for (const { transport, tunnel, address, port } of endpoints) {
      hasMtls ||= transport === 'mtls'
      hasPlain ||= transport === 'plain'
      if (tunnel === undefined) continue
      const known = tunnels.get(tunnel.cluster) ?? { tunnel, gateways: new Map<string, Gateway>() }
      known.gateways.set(`${address} ${port}`, { address, port })
      tunnels.set(tunnel.cluster, known)
    }
  }
  const sorted = [...tunnels].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    hasMtls,
    hasPlain,
    tunnels: sorted.map(([, { tunnel, gateways }]) => ({
      tunnel,
      gateways: [...gateways].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, gateway]) => gateway),
    })),
  }
}

export const envoyTunnels = ({ tunnels }: Reach): readonly EnvoyTunnel[] =>
  tunnels.map(({ tunnel: { cluster, innerSni, identities } }) => ({ cluster, sni: innerSni, identities }))

/** HTTP/2 to peers of the mesh; what has no sidecar speaks what the application does. */
export const speaksRequests = ({ tls }: Cluster): boolean => tls?.alpn.includes('h2') === true

/** One connection cannot speak both: endpoints without a sidecar are then behind the bridge. */
export const isBridged = (cluster: Cluster, { hasMtls, hasPlain, tunnels }: Reach): boolean =>
  speaksRequests(cluster) && hasPlain && (hasMtls || tunnels.length > 0)

export const isPlainOnly = ({ hasMtls, hasPlain, tunnels }: Reach): boolean =>
  hasPlain && !hasMtls && tunnels.length === 0
